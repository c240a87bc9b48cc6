package fingerprint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestRecogFixtures(t *testing.T) { testRecog(t, os.DirFS("testdata/recog"), 7) }

// TestRecog holds the reader to the examples of a copy of recog: that in $HERALD_RECOG, or one in
// shared/recog beside the checkout or above it.
func TestRecog(t *testing.T) {
	dir := recogDirectory(t)
	if dir == "" {
		t.Skip("no copy of recog: set HERALD_RECOG to its directory of *.xml; testdata/recog was read by TestRecogFixtures")
	}
	testRecog(t, os.DirFS(dir), 1000)
}

func recogDirectory(t *testing.T) string {
	if dir := os.Getenv("HERALD_RECOG"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		if found := filepath.Join(dir, "shared", "recog"); isDirectory(found) {
			return found
		}
	}
	return ""
}

func isDirectory(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// testRecog holds every example to three things: it gives what it says, in recog's own words; it
// is found by the search, first of its database; and the claims made of it say the same.
func testRecog(t *testing.T, fsys fs.FS, least int) {
	names, err := fs.Glob(fsys, "*.xml")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, ".xml"), func(t *testing.T) {
			prints, err := readRecog(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			var list []Signature
			for _, p := range prints {
				p.signature.form = utf8Text // examples are cut already
				list = append(list, p.signature)
			}
			set := newSet(newRules(list), func() *catalogue { return newCatalogue(nil) })
			for i, p := range prints {
				for _, e := range p.signature.Examples {
					total++
					checkRecog(t, set, set.rules()[i], p, e)
				}
			}
		})
	}
	if total < least {
		t.Errorf("%d examples, want %d or more", total, least)
	}
	t.Logf("%d examples in %d files", total, len(names))
}

func checkRecog(t *testing.T, set *Set, r *rule, p recogPrint, e Example) {
	t.Helper()
	text, _ := utf8Text.decode(e.Text)
	re := r.program().re
	m := re.FindSubmatchIndex(text)
	if m == nil {
		t.Errorf("%s:%d: %s does not match %s", r.File, r.Line, r.Match, quoted(e.Text))
		return
	}
	read := reading{e.Text, text}
	for name, want := range e.Gives {
		if got := recogValue(t, p.params[name], name, re, read, m); got != want {
			t.Errorf("%s:%d: %s: %s is %q, want %q", r.File, r.Line, quoted(e.Text), name, got, want)
		}
	}
	var first *rule
	var claims []Claim
	set.each(r.On, e.Text, func(found *rule, prog *program, read reading, m []int) {
		first, claims = found, set.claim(nil, found, prog, read, m)
	})
	if first != r {
		t.Errorf("%s:%d: %s is taken by line %d first", r.File, r.Line, quoted(e.Text), first.Line)
		return
	}
	for param, field := range map[string]string{"service.product": "product", "service.vendor": "vendor", "service.version": "version",
		"os.product": "os", "host.name": "host"} {
		if want, said := e.Gives[param]; said {
			if got, _ := Best(claims, field); strings.TrimSpace(want) != got.Value {
				t.Errorf("%s:%d: %s: claims %s %q, want %q", r.File, r.Line, quoted(e.Text), field, got.Value, want)
			}
		}
	}
	for _, c := range claims {
		if c.Field == "cpe" && len(splitCPE(c.Value)) != 13 {
			t.Errorf("%s:%d: cpe %q has %d parts", r.File, r.Line, c.Value, len(splitCPE(c.Value)))
		}
	}
}

// recogValue is a parameter in recog's own spelling, without our trimming and escaping.
func recogValue(t *testing.T, template, name string, re *regexp.Regexp, read reading, m []int) string {
	parts, err := parseTemplate(template, re)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, p := range parts {
		v := p.literal
		if p.group > 0 {
			v = read.group(m, p.group)
			if v == "" && strings.HasSuffix(name, ".cpe23") {
				v = "-"
			}
		}
		out.WriteString(v)
	}
	if len(parts) > 1 {
		return strings.TrimSpace(out.String())
	}
	return out.String()
}

func TestRecogClaims(t *testing.T) {
	list, err := LoadRecog(os.DirFS("testdata/recog"))
	if err != nil {
		t.Fatal(err)
	}
	set := testSet(t).Then(list)
	for text, want := range map[string][]string{
		"220 mx Invented Mailer v1.2": {
			`recog-example-banners-5 product="Mailer" 85`, `recog-example-banners-5 vendor="Invented" 85`, `recog-example-banners-5 version="1.2" 85`,
			`recog-example-banners-5 cpe="cpe:2.3:a:invented:mailer:1.2:*:*:*:*:*:*:*" 85`,
			`recog-example-banners-5 host="mx" 85`},
		"220-first\r\n220-SHOUTing 3\r\n220 more": {
			`recog-example-banners-21 product="Shout" 40`, `recog-example-banners-21 version="3" 40`},
		"220-begin\r\n220 end 12": {
			`recog-example-banners-39 os="Linux" 50`, `recog-example-banners-39 distribution="Debian" 50`, `recog-example-banners-39 distribution_version="12" 50`,
			`recog-example-banners-39 cpe="cpe:2.3:o:debian:debian_linux:12:*:*:*:*:*:*:*" 50`},
		"220-ruby\r\n220 here \xc3\xa9t": nil, // "." takes one character, the line end is two
		"220-ruby\n220 here \xc3\xa9t": {
			`recog-example-banners-49 product="Ruby" 85`, `recog-example-banners-49 version="ét" 85`,
			`recog-example-banners-49 cpe="cpe:2.3:a:r\\&d:ruby_1.0:*:sp1:*:*:*:*:*:*" 85`},
		"220 nothing at all": nil,
	} {
		got := brief(set.Append(nil, Evidence{Key: "smtp.greeting", Text: []byte(text)}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestRecogForms(t *testing.T) {
	for _, test := range []struct {
		form       form
		sent, want string
	}{
		{utf8Text, "220 x ", "220 x "},
		{trimmed, "\r\n x \r\n", "x"},
		{reply, "220-a\r\n220 b", "a\r\nb"},
		{reply, "220", "220"},
		{status, "+OK Dovecot ready.", "Dovecot ready."},
		{status, "* OK [CAPABILITY IMAP4rev1] ready", "[CAPABILITY IMAP4rev1] ready"},
		{identification, "SSH-2.0-OpenSSH_9.2p1 Debian-2", "OpenSSH_9.2p1 Debian-2"},
		{identification, "SSH-1.99-x", "x"},
	} {
		if got := string(test.form.of([]byte(test.sent))); got != test.want {
			t.Errorf("%s %q: %q, want %q", test.form, test.sent, got, test.want)
		}
	}
}

func TestRecogErrors(t *testing.T) {
	for text, want := range map[string]string{
		`<fingerprints><fingerprint pattern="("/></fingerprints>`:                                                                 "x.xml:1: missing closing ): `(?m)(`",
		`<fingerprints><fingerprint pattern="a"><param pos="2" name="service.version"/></fingerprint></fingerprints>`:             `x.xml:1: version: the pattern has no group "2"`,
		`<fingerprints><fingerprint pattern="a"><example _encoding="rot13">a</example></fingerprint></fingerprints>`:              `x.xml:1: example: encoding "rot13" is not known`,
		`<fingerprints><fingerprint pattern="a"><example _filename="../secret">a</example></fingerprint></fingerprints>`:          `x.xml:1: example: open secret: file does not exist`,
		`<fingerprints>` + "\n" + `<fingerprint pattern="a"><example _encoding="base64">!</example></fingerprint></fingerprints>`: `x.xml:2: example: illegal base64 data at input byte 0`,
		`<fingerprints`: `x.xml: XML syntax error on line 1: unexpected EOF`,
	} {
		_, err := LoadRecog(fstest.MapFS{"x.xml": &fstest.MapFile{Data: []byte(text)}})
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got: %v\nwant: %s", text, err, want)
		}
	}
	if _, err := LoadRecog(fstest.MapFS{}); err == nil {
		t.Error("an empty directory is no error")
	}
}

func FuzzRecog(f *testing.F) {
	data, err := os.ReadFile("testdata/recog/example_banners.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := LoadRecog(fstest.MapFS{"x.xml": &fstest.MapFile{Data: data}})
		if err != nil && !strings.HasPrefix(err.Error(), "x.xml:") {
			t.Errorf("an error without place: %v", err)
		}
		newSet(newRules(list), Builtin().catalogue).Append(nil, Evidence{Key: "smtp.greeting", Text: []byte("220 mx Invented Mailer v1.2")})
	})
}
