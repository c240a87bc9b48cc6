package audit

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"herald/fingerprint"
)

// A line of the grammar means what the keys of a file mean.
func TestLineMeansWhatKeysMean(t *testing.T) {
	for line, keys := range map[string]string{
		"smtp": `{protocol: smtp}`,
		"smtp; product=Postfix; version>=3.7; starttls":                      `{protocol: smtp, product: {name: Postfix, version: ">=3.7"}, tls: starttls}`,
		"imap; product=Cyrus IMAP; tls; tls>=1.2":                            `{protocol: imap, product: Cyrus IMAP, tls: {mode: tls, min_version: TLS1.2}}`,
		"smtp; plain; has=PIPELINING,SIZE; lacks=XCLIENT":                    `{protocol: smtp, tls: plain, capabilities: {contains: [PIPELINING, SIZE], lacks: [XCLIENT]}}`,
		"imap; auth-before-tls=none; auth-after-tls=PLAIN,X":                 `{protocol: imap, auth: {before_tls: none, after_tls: {contains: [PLAIN, X]}}}`,
		"pop3; auth-before-tls=any":                                          `{protocol: pop3, auth: {before_tls: any}}`,
		"http; names=a.example,b.example; valid>=14d; key=rsa-2048; trusted": `{protocol: http, certificate: {names: [a.example, b.example], valid_for: ">=14d", key: rsa-2048, trusted: true}}`,
		"smtp; greeting-name=a.example; greeting-delay<10s":                  `{protocol: smtp, greeting_name: a.example, greeting_delay: "<10s"}`,
		"http-proxy; no-open-proxy":                                          `{protocol: http-proxy, open_proxy: false}`,
		"closed":                                                             `{port: closed}`,
		"silent":                                                             `{port: silent}`,
		"tls; tls":                                                           `{protocol: tls, tls: tls}`,
	} {
		short, err := ParseExpect(line)
		if err != nil {
			t.Error(err)
			continue
		}
		f, err := Parse("long.yaml", strings.NewReader("version: 1\nservices: [{id: a, at: \"127.0.0.1:1\", expect: "+keys+"}]\n"), nil)
		if err != nil {
			t.Errorf("%s: %v", keys, err)
			continue
		}
		same := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b *fingerprint.Constraint) bool { return fmt.Sprint(a) == fmt.Sprint(b) })}
		if diff := cmp.Diff(short, f.Services[0].Expect, same); diff != "" {
			t.Errorf("%s: %s", line, diff)
		}
	}
}

// docs/audit.md lists every kind of finding, and no other.
func TestFindingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if strings.Count(line, "|") == 4 && (strings.Contains(line, "| high |") || strings.Contains(line, "| medium |") || strings.Contains(line, "| low |")) {
			rows++
		}
	}
	if rows != len(Kinds) {
		t.Errorf("%d findings are documented, there are %d", rows, len(Kinds))
	}
	for _, k := range Kinds {
		if row := "| `" + k.ID + "` | " + k.Severity + " | " + k.About + " |\n"; !strings.Contains(string(text), row) {
			t.Errorf("docs/audit.md lacks %s", row)
		}
	}
	for _, w := range GrammarWords() {
		name, _, _ := strings.Cut(strings.NewReplacer("<", "=", ">", "=").Replace(w), "=")
		if !strings.Contains(string(text), "`"+name) {
			t.Errorf("docs/audit.md lacks the part %s", w)
		}
	}
}

// No file takes the program down, and what is read has a place to look at.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"version: 1\nservices: [{id: a, at: \"127.0.0.1:1\", expect: smtp; tls}]\n", "a: &a [*a]\n", "version: 1\nx-a: &a {contains: [A]}\nservices: [{id: a, at: \"[::1]:1-9\", expect: {capabilities: *a}}]\n", "? a\n: b", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("a.yaml", strings.NewReader(text), nil)
		if err == nil && len(file.Services) == 0 {
			t.Errorf("read without an error, and asserts nothing: %q", text)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "a.yaml:") {
			t.Errorf("an error without its file: %v", err)
		}
	})
}
