package fingerprint

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// withExamples is the built-in set as it stands in the YAML files, parsed once for all tests.
var withExamples = sync.OnceValues(func() (*Set, error) { return Load(Files()) })

func builtinWithExamples(t testing.TB) *Set {
	t.Helper()
	set, err := withExamples()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// files makes a set of signature files; products.yaml is one of them.
func loadFiles(t testing.TB, files map[string]string) *Set {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, err := Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const testProducts = `
- name: Alpha
  vendor: Alpha Inc.
  cpe: cpe:2.3:a:alpha:alpha_server
- name: Beta
- name: Linux
  vendor: Linux
  cpe: cpe:2.3:o:linux:linux_kernel
`

const testSignatures = `
- id: x-alpha-narrow
  on: x.greeting
  match: '^Alpha (?P<version>\S+) narrow(?: on (?P<host>\S+))?$'
  product: Alpha
  certainty: 95
- id: x-linux
  on: x.greeting
  match: '\((?i:linux)(?: (?P<os_version>[\d.]+))?\)'
  os: Linux
  adds: true
  certainty: 80
- id: x-alpha
  on: x.greeting
  match: '^Alpha (?P<version>\S+)'
  product: Alpha
  component: 'libalpha/${version}'
  certainty: 90
- id: x-beta
  on: x.greeting
  match: '(?s)^[AB].*beta\xe9'
  product: Beta
  behaviour: true
  certainty: 40
- id: x-other-key
  on: x.help
  match: '^Beta help of (?P<host>.+)$'
  product: Beta
  cpe: 'cpe:2.3:a:beta:beta:${major}:*:*:*:*:*:*:*'
  certainty: 60
`

func testSet(t testing.TB) *Set {
	signatures := strings.Replace(testSignatures, "help of (?P<host>.+)$", "help(?: (?P<major>\\S+))? of (?P<host>.+)$", 1)
	return loadFiles(t, map[string]string{"products.yaml": testProducts, "x.yaml": signatures})
}

// claims writes claims shortly: field=value certainty.
func brief(claims []Claim) (list []string) {
	for _, c := range claims {
		list = append(list, fmt.Sprintf("%s %s=%q %d", c.Signature, c.Field, c.Value, c.Certainty))
	}
	return list
}

func TestAppend(t *testing.T) {
	set := testSet(t)
	for _, test := range []struct {
		name, key, text string
		want            []string
	}{
		{"first wins", "x.greeting", "Alpha 1.2 narrow on mail", []string{
			`x-alpha-narrow product="Alpha" 95`, `x-alpha-narrow version="1.2" 95`, `x-alpha-narrow host="mail" 95`,
			`x-alpha-narrow vendor="Alpha Inc." 95`, `x-alpha-narrow cpe="cpe:2.3:a:alpha:alpha_server:1.2:*:*:*:*:*:*:*" 95`}},
		{"empty group is not claimed", "x.greeting", "Alpha 1.2 narrow", []string{
			`x-alpha-narrow product="Alpha" 95`, `x-alpha-narrow version="1.2" 95`,
			`x-alpha-narrow vendor="Alpha Inc." 95`, `x-alpha-narrow cpe="cpe:2.3:a:alpha:alpha_server:1.2:*:*:*:*:*:*:*" 95`}},
		{"adds before, version escaped", "x.greeting", "Alpha 1+(Linux 6.1)", []string{
			`x-linux os="Linux" 80`, `x-linux os_version="6.1" 80`, `x-linux cpe="cpe:2.3:o:linux:linux_kernel:6.1:*:*:*:*:*:*:*" 80`,
			`x-alpha product="Alpha" 90`, `x-alpha component="libalpha/1+(Linux" 90`, `x-alpha version="1+(Linux" 90`,
			`x-alpha vendor="Alpha Inc." 90`, `x-alpha cpe="cpe:2.3:a:alpha:alpha_server:1\\+\\(linux:*:*:*:*:*:*:*" 90`}},
		{"bytes are Latin-1", "x.greeting", "B\r\n\x80 beta\xe9", []string{`x-beta product="Beta" 40`}},
		{"UTF-8 is two bytes", "x.greeting", "B beta\u00e9", nil},
		{"case counts", "x.greeting", "alpha 1.2", nil},
		{"other key", "x.help", "Alpha 1.2", nil},
		{"unknown key", "y.greeting", "Alpha 1.2", nil},
		{"UTF-8 value", "x.help", "Beta help of caf\u00e9", []string{
			`x-other-key product="Beta" 60`, `x-other-key cpe="cpe:2.3:a:beta:beta:*:*:*:*:*:*:*:*" 60`, `x-other-key host="café" 60`}},
		{"Latin-1 value", "x.help", "Beta help 2:x of caf\xe9", []string{
			`x-other-key product="Beta" 60`, `x-other-key cpe="cpe:2.3:a:beta:beta:2\\:x:*:*:*:*:*:*:*" 60`, `x-other-key host="café" 60`}},
		{"empty", "x.greeting", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := brief(set.Append(nil, Evidence{Key: test.key, Text: []byte(test.text)}))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLongTextIsCut(t *testing.T) {
	set := testSet(t)
	text := []byte("B" + strings.Repeat(" ", maxText-6) + "beta\xe9")
	if got := set.Append(nil, Evidence{Key: "x.greeting", Text: text[1:]}); got != nil {
		t.Errorf("without its first byte: %v", brief(got))
	}
	if got := set.Append(nil, Evidence{Key: "x.greeting", Text: text}); len(got) != 1 {
		t.Errorf("%d bytes: %v, want Beta", len(text), brief(got))
	}
	text = []byte("B" + strings.Repeat(" ", maxText-5) + "beta\xe9")
	if got := set.Append(nil, Evidence{Key: "x.greeting", Text: text}); got != nil {
		t.Errorf("the literal is behind %d bytes, but found: %v", maxText, brief(got))
	}
	long := set.Append(nil, Evidence{Key: "x.help", Text: []byte("Beta help of " + strings.Repeat("\u00e9", 2000))})
	host, _ := Best(long, "host")
	if want := strings.Repeat("\u00e9", 126) + "…"; host.Value != want {
		t.Errorf("host is %d bytes, %q", len(host.Value), host.Value)
	}
}

func TestMatchAndBest(t *testing.T) {
	set := testSet(t)
	claims := set.Match([]Evidence{
		{Key: "x.help", Text: []byte("Beta help of b")},
		{Key: "x.greeting", Text: []byte("Alpha 3 (linux)")},
		{Key: "x.greeting", Text: []byte("Alpha 3 narrow")},
	})
	want := []string{
		`x-alpha-narrow product="Alpha" 95`, `x-other-key product="Beta" 60`,
		`x-alpha-narrow vendor="Alpha Inc." 95`,
		`x-alpha-narrow version="3" 95`,
		`x-alpha-narrow cpe="cpe:2.3:a:alpha:alpha_server:3:*:*:*:*:*:*:*" 95`,
		`x-linux cpe="cpe:2.3:o:linux:linux_kernel:*:*:*:*:*:*:*:*" 80`,
		`x-other-key cpe="cpe:2.3:a:beta:beta:*:*:*:*:*:*:*:*" 60`,
		`x-linux os="Linux" 80`,
		`x-other-key host="b" 60`,
		`x-alpha component="libalpha/3" 90`,
	}
	if diff := cmp.Diff(want, brief(claims)); diff != "" {
		t.Error(diff)
	}
	for field, want := range map[string]string{"product": "Alpha", "version": "3", "os": "Linux", "host": "b", "device": ""} {
		if got, ok := Best(claims, field); got.Value != want || ok != (want != "") {
			t.Errorf("Best(%s) = %q, %v; want %q", field, got.Value, ok, want)
		}
	}
}

func TestMergeKeepsTheCPEThatSaysMore(t *testing.T) {
	set := testSet(t)
	claims := set.Match([]Evidence{
		{Key: "x.greeting", Text: []byte("(Linux)")},
		{Key: "x.greeting", Text: []byte("Alpha 3 (Linux 6.1)")},
	})
	var names []string
	for _, c := range claims {
		if c.Field == "cpe" {
			names = append(names, c.Value)
		}
	}
	want := []string{"cpe:2.3:a:alpha:alpha_server:3:*:*:*:*:*:*:*", "cpe:2.3:o:linux:linux_kernel:6.1:*:*:*:*:*:*:*"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if again := Merge(claims); len(again) != len(claims) {
		t.Errorf("%d claims, merged again %d", len(claims), len(again))
	}
}

func TestBestVersionIsOfTheBestProduct(t *testing.T) {
	claims := []Claim{
		{Field: "product", Value: "nginx", Product: "nginx", Certainty: 95},
		{Field: "product", Value: "Apache", Product: "Apache", Certainty: 80},
		{Field: "version", Value: "2.4", Product: "Apache", Certainty: 80},
	}
	if got, ok := Best(claims, "version"); ok {
		t.Errorf("the version of nginx is told as %q, which is that of Apache", got.Value)
	}
}

func TestExplain(t *testing.T) {
	set := testSet(t)
	type short struct {
		ID              string
		Near            bool
		Wanted, Missing string
		Groups          []string
	}
	explain := func(key, text string) (list []short) {
		for _, m := range set.Explain(Evidence{Key: key, Text: []byte(text)}) {
			s := short{m.Signature.ID, m.Near, m.Wanted, m.Missing, nil}
			for _, g := range m.Groups {
				s.Groups = append(s.Groups, g.Name+"="+string(m.Text[g.Start:g.End]))
			}
			list = append(list, s)
		}
		return list
	}
	for _, test := range []struct {
		name, key, text string
		want            []short
	}{
		{"match", "x.greeting", "Alpha 7 narrow (Linux)", []short{
			{"x-linux", false, "", "", []string{"=(Linux)"}},
			{"x-alpha", false, "", "", []string{"=Alpha 7", "version=7"}}}},
		{"bytes before a match", "x.help", "Beta help \xff of caf\u00e9", []short{
			{"x-other-key", false, "", "", []string{"=Beta help \xff of caf\u00e9", "major=\xff", "host=caf\u00e9"}}}},
		{"near", "x.help", "Beta helps b", []short{
			{"x-other-key", true, `" of " or " "`, " of ", []string{"=Beta help"}}}},
		{"nothing near", "x.greeting", "hello", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, explain(test.key, test.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithAndThen(t *testing.T) {
	set := testSet(t)
	own, err := Parse("own.yaml", strings.NewReader("- {id: own-alpha, on: x.greeting, match: '^Alpha \\S+', product: Mine, certainty: 50}"))
	if err != nil {
		t.Fatal(err)
	}
	ev := Evidence{Key: "x.greeting", Text: []byte("Alpha 1")}
	if got, _ := Best(set.With(own).Append(nil, ev), "product"); got.Value != "Mine" {
		t.Errorf("With: %q", got.Value)
	}
	if got, _ := Best(set.Then(own).Append(nil, ev), "product"); got.Value != "Alpha" {
		t.Errorf("Then: %q", got.Value)
	}
	if got, found := set.Then(own).Find("own-alpha"); !found || got.File != "own.yaml" {
		t.Errorf("Find: %+v, %v", got, found)
	}
	if _, found := set.Find("own-alpha"); found {
		t.Error("Find finds what is not in the set")
	}
	if got, _ := Best(set.Append(nil, ev), "product"); got.Value != "Alpha" || set.Len() != 5 {
		t.Errorf("the set itself has changed: %q, %d signatures", got.Value, set.Len())
	}
}

func TestBefore(t *testing.T) {
	own := loadFiles(t, map[string]string{
		"products.yaml": "[{name: Alpha, vendor: Somebody}, {name: Mine, vendor: Me}]",
		"own.yaml":      "- {id: own-alpha, on: x.greeting, match: '^Alpha 7', product: Mine, certainty: 50}",
	})
	set := own.Before(testSet(t))
	for text, want := range map[string][]string{
		"Alpha 7":        {`own-alpha product="Mine" 50`, `own-alpha vendor="Me" 50`},
		"Alpha 8 narrow": {`x-alpha-narrow product="Alpha" 95`, `x-alpha-narrow version="8" 95`, `x-alpha-narrow vendor="Somebody" 95`},
		"(Linux)":        {`x-linux os="Linux" 80`, `x-linux cpe="cpe:2.3:o:linux:linux_kernel:*:*:*:*:*:*:*:*" 80`},
	} {
		if diff := cmp.Diff(want, brief(set.Append(nil, Evidence{Key: "x.greeting", Text: []byte(text)}))); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	if n := len(set.Signatures()); n != 6 || set.Signatures()[0].ID != "own-alpha" {
		t.Errorf("%d signatures, first %s", n, set.Signatures()[0].ID)
	}
}

// TestPrefilterLosesNothing compares the search with running every pattern in turn.
func TestPrefilterLosesNothing(t *testing.T) {
	set := builtinWithExamples(t)
	byKey := map[string][]*rule{}
	var texts []Evidence
	for _, r := range set.rules() {
		byKey[r.On] = append(byKey[r.On], r)
		for _, e := range r.Examples {
			texts = append(texts, Evidence{Key: r.On, Text: e.Text})
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for i, ev := range texts {
		if i%4 != 0 { // TestSignatures compares for each example its own pattern
			continue
		}
		mutant := append([]byte{}, ev.Text...)
		for range random.IntN(3) {
			if len(mutant) > 0 {
				mutant[random.IntN(len(mutant))] ^= byte(1 << random.IntN(8))
			}
		}
		for _, raw := range [][]byte{ev.Text, mutant} {
			var want, got []string
			text, _ := latin1(raw)
			decided := false
			for _, r := range byKey[ev.Key] {
				if (!decided || r.Adds) && r.program().re.Match(text) {
					want = append(want, r.ID)
					decided = decided || !r.Adds
				}
			}
			set.each(ev.Key, raw, func(r *rule, _ *program, _ reading, _ []int) { got = append(got, r.ID) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %q: %s", ev.Key, raw, diff)
			}
		}
	}
}

func TestLiterals(t *testing.T) {
	for pattern, want := range map[string][][]string{
		`^220 (\S+) ESMTP Postfix$`:   {{" esmtp postfix"}, {"220 "}},
		`(?i)FileZilla|FTPd`:          {{"filezilla", "ftpd"}},
		`^a(?:bc|bd)?$`:               {{"abc", "abd", "a"}},
		`x*`:                          nil,
		`[ab]cd+e`:                    {{"acd", "bcd"}, {"e"}},
		`^220 (?:x(FS|KM)-\d+) FTP$`:  {{"220 xfs-", "220 xkm-"}, {" ftp"}},
		`(?:ab){2,}c`:                 {{"abab"}, {"c"}},
		`(?:foo.*|bar)`:               {{"foo", "bar"}},
		`(?:foo.*|.)`:                 nil,
		`(?i)caf\xe9 ole`:             nil,
		`caf\xe9 ol\x{e9}`:            {{"caf\xe9 ol\xe9"}},
		`a\x{20ac}b`:                  nil,
		`[0-9a-f]{2}-Server-[A-Z]{3}`: {{"-server-"}},
	} {
		if diff := cmp.Diff(want, literals(pattern, latin1Alphabet)); diff != "" {
			t.Errorf("%s: %s", pattern, diff)
		}
	}
}

// TestLiteralsAreRequired draws texts from patterns: whatever a pattern matches has its literals.
func TestLiteralsAreRequired(t *testing.T) {
	var patterns []string
	for s := range builtinWithExamples(t).All() {
		patterns = append(patterns, s.Match)
	}
	patterns = append(patterns, `(?i)a[bc]{2,3}(?:de|f+g)?h`, `(?:x|yz)+\d(?:ab|ac){2}`, `(?i:ABC)d[ef]`)
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.SampledFrom(patterns).Draw(t, "pattern")
		text := rapid.StringMatching(pattern).Draw(t, "text")
		if !regexp.MustCompile(pattern).MatchString(text) {
			return // the generator does not know about every anchor
		}
		var raw []byte
		for _, r := range text {
			if r > 0xff {
				return
			}
			raw = append(raw, byte(r))
		}
		for _, place := range literals(pattern, latin1Alphabet) {
			found := false
			for _, l := range place {
				found = found || strings.Contains(string(folded(raw)), l)
			}
			if !found {
				t.Fatalf("%q matches %s, but has none of %q", raw, pattern, place)
			}
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	set := builtinWithExamples(t).With(nil) // a set whose filters are not made yet
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for _, r := range set.rules() {
				for _, e := range r.Examples {
					if len(set.Append(nil, Evidence{Key: r.On, Text: e.Text})) == 0 {
						t.Errorf("%s:%d: nothing found", r.File, e.Line)
					}
				}
			}
		})
	}
	wait.Wait()
}

// saysRandom fails where random text is given a product with certainty above 50. Where the key is
// itself the name of the product (a header that nothing else sends), the text does not matter.
func saysRandom(t interface{ Fatalf(string, ...any) }, key string, text []byte) {
	for _, c := range Builtin().Append(nil, Evidence{Key: key, Text: text}) {
		if c.Field == "product" && c.Certainty > 50 && needNoLiteral[c.Signature] == "" {
			t.Fatalf("%s %q is taken for %s (%d) by %s", key, text, c.Value, c.Certainty, c.Signature)
		}
	}
}

func TestRandomTextIsNoProduct(t *testing.T) {
	keys := Builtin().Keys()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom(keys).Draw(t, "key")
		saysRandom(t, key, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "text"))
	})
	for _, key := range keys {
		for _, text := range randomTexts() {
			saysRandom(t, key, text)
		}
	}
}

// What is remembered is what would be concluded anew, also when the caller uses his bytes again.
func TestMatchRemembersTheSame(t *testing.T) {
	set := builtinWithExamples(t).Only(builtinWithExamples(t).Signatures())
	for s := range set.All() {
		for _, e := range s.Examples {
			want := Merge(set.Append(nil, Evidence{Key: s.On, Text: e.Text}))
			for turn := range 3 {
				text := bytes.Clone(e.Text)
				if diff := cmp.Diff(want, set.Match([]Evidence{{Key: s.On, Text: text}}), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("%s, turn %d of %q: %s", s.ID, turn, e.Text, diff)
				}
				clear(text)
			}
		}
	}
	greeting := Evidence{Key: "smtp.greeting", Text: []byte("220 mail.example.org ESMTP Postfix")}
	help := Evidence{Key: "smtp.help", Text: greeting.Text}
	for range 3 {
		if len(set.Match([]Evidence{greeting})) == 0 || len(set.Match([]Evidence{help})) != 0 {
			t.Fatal("what one key gave was remembered for another")
		}
	}
}
