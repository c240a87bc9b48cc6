package fingerprint

import (
	"fmt"
	"testing"
)

// examples are all examples of the built-in set, as evidence.
func examples(b *testing.B) (list []Evidence) {
	for s := range builtinWithExamples(b).All() {
		for _, e := range s.Examples {
			list = append(list, Evidence{Key: s.On, Text: e.Text})
		}
	}
	return list
}

// BenchmarkMatch: one example of the built-in set a turn.
func BenchmarkMatch(b *testing.B) { benchmarkMatch(b, Builtin(), examples(b)) }

// BenchmarkMiss: a greeting that nobody knows.
func BenchmarkMiss(b *testing.B) {
	benchmarkMatch(b, Builtin(), []Evidence{
		{Key: "smtp.greeting", Text: []byte("220 mail.example.org ESMTP Nothing that anybody has heard of")},
		{Key: "ftp.greeting", Text: []byte("220 Welcome to whatever, the time is 12:34")},
	})
}

func benchmarkMatch(b *testing.B, set *Set, all []Evidence) {
	var dst []Claim
	for _, ev := range all { // filters and patterns are made at first use
		dst = set.Append(dst[:0], ev)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		dst = set.Append(dst[:0], all[i])
		if i++; i == len(all) {
			i = 0
		}
	}
}

// The growth benchmarks put n signatures on one key: SMTP greetings of n invented products, in the
// six forms that greetings of real ones have.
func BenchmarkMatchAt100(b *testing.B)  { benchmarkMatchAt(b, 100) }
func BenchmarkMatchAt1000(b *testing.B) { benchmarkMatchAt(b, 1000) }
func BenchmarkMatchAt5000(b *testing.B) { benchmarkMatchAt(b, 5000) }

func benchmarkMatchAt(b *testing.B, n int) {
	list, all := invented(n)
	benchmarkMatch(b, newSet(newRules(list), Builtin().catalogue), all)
}

func invented(n int) (list []Signature, all []Evidence) {
	forms := []struct{ pattern, example string }{
		{`^220[ -](?P<host>[\w.-]+) ESMTP %s(?: (?P<version>\d[\w.]*))?$`, "220 mail.example.org ESMTP %s 1.2.3"},
		{`^220 (?P<host>\S+) %s SMTP Server \(version (?P<version>\d[\w.]*)\) ready`, "220 mx1.example.net %s SMTP Server (version 4.5) ready at Sun, 22 Nov 2026"},
		{`(?i)^220 (?P<host>\S+) .*%s (?P<version>\d[\w.]*);`, "220 a.example.org ESMTP Mailer %s 8.17.1; Sun, 22 Nov 2026 10:00:00 +0100"},
		{`^220 %s[ -]v?(?P<version>\d[\w.]*) (?:ESMTP|SMTP) (?:Service )?ready`, "220 %s v9.1 ESMTP Service ready"},
		{`^220 (?P<host>[\w.-]+) (?:Microsoft )?%s(?:/(?P<version>[\d.]+))? `, "220 host.example.com %s/7.0 at your service"},
		{`^220-(?P<host>[\w.-]+) \[%s\] `, "220-host.example.com [%s] no relaying\r\n220 go on"},
	}
	for i := range n {
		name := inventedName(i)
		f := forms[i%len(forms)]
		list = append(list, Signature{ID: fmt.Sprint("x-", i), On: "x.greeting", Match: fmt.Sprintf(f.pattern, name), Certainty: 90,
			Claims: []Template{{Field: "product", Text: name}}})
		all = append(all, Evidence{Key: "x.greeting", Text: fmt.Appendf(nil, f.example, name)})
	}
	return list, all
}

// inventedName is made of syllables that many other names have too.
func inventedName(i int) string {
	first := []string{"Mail", "Post", "Smart", "Net", "Inter", "Open", "Power", "Mega", "Ex", "Quick", "Mer", "Com", "Arg", "Tur", "Sur", "Zim", "Ax"}
	second := []string{"way", "fix", "box", "man", "master", "gate", "serve", "change", "port", "ware", "soft", "link", "hub", "ster", "gen", "bra", "ion", "cury", "mail"}
	third := []string{"", "X", "Pro", "MTA", "Suite", "NG", "Lite", "One", "2000", "Server", "d", "Plus", "Edge", "Cloud", "Relay", "Guard"}
	return first[i%len(first)] + second[i/len(first)%len(second)] + third[i/len(first)/len(second)%len(third)]
}

// BenchmarkLoad: what a program pays before its first match. Signatures are decoded when their key
// is first met.
func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		set, err := decodeAll(compiled, "db/compiled")
		if err != nil {
			b.Fatal(err)
		}
		if len(set.Keys()) == 0 {
			b.Fatal("nothing loaded")
		}
	}
}

// BenchmarkLoadAndFirst: and with the first match, for which the signatures of its key are
// decoded, their filter is made and the patterns that may match are compiled.
func BenchmarkLoadAndFirst(b *testing.B) {
	ev := Evidence{Key: "smtp.greeting", Text: []byte("220 mail.example.org ESMTP Postfix (Debian/GNU)")}
	for b.Loop() {
		set, err := decodeAll(compiled, "db/compiled")
		if err != nil {
			b.Fatal(err)
		}
		if len(set.Append(nil, ev)) == 0 {
			b.Fatal("no Postfix")
		}
	}
}
