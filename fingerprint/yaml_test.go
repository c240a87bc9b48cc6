package fingerprint

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestParseErrors reads the files of testdata/parse: each is followed by what must be said of it.
func TestParseErrors(t *testing.T) {
	signatures := func(name string, r io.Reader) error { _, err := Parse(name, r); return err }
	products := func(name string, r io.Reader) error { _, err := ParseProducts(name, r); return err }
	for archive, parse := range map[string]func(string, io.Reader) error{
		"testdata/parse/errors.txt":   signatures,
		"testdata/parse/products.txt": products,
	} {
		a, err := txtar.ParseFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(a.Files); i += 2 {
			file, want := a.Files[i], a.Files[i+1]
			t.Run(file.Name, func(t *testing.T) {
				err := parse(file.Name, strings.NewReader(string(file.Data)))
				if got := errorText(err); got != strings.TrimSuffix(string(want.Data), "\n") {
					t.Errorf("\n got: %s\nwant: %s", got, want.Data)
				}
			})
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

func TestParse(t *testing.T) {
	const file = `
# a comment
- id: x-one
  on: x.greeting
  match: >-
    ^One
    (?P<version>\S+)$
  os: Linux
  product: One
  certainty: 90
  adds: true
  behaviour: false
  source: https://example.org/#one
  examples:
    - text: "One \x00\xe9\r\n é"
      gives: {version: 3.10, host: on, component: 'a: b', info: ~x}
    - text: |-
        two
        lines
  rejects: ["no", 220]
`
	got, err := Parse("x.yaml", strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []Signature{{
		ID: "x-one", On: "x.greeting", Match: `^One (?P<version>\S+)$`, Certainty: 90, Adds: true,
		Claims: []Template{{Field: "product", Text: "One", line: 9, col: 12}, {Field: "os", Text: "Linux", line: 8, col: 7}},
		Source: "https://example.org/#one", File: "x.yaml", Line: 3,
		Examples: []Example{
			{Text: []byte("One \x00\xe9\r\n \xe9"), Gives: map[string]string{"version": "3.10", "host": "on", "component": "a: b", "info": "~x"}, Line: 15},
			{Text: []byte("two\nlines"), Line: 17},
		},
		Rejects: []Reject{{Text: []byte("no"), Line: 20}, {Text: []byte("220"), Line: 20}},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Signature{}, Template{})); diff != "" {
		t.Error(diff)
	}
}

func TestParseEmpty(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "---\n"} {
		if list, err := Parse("x.yaml", strings.NewReader(text)); err != nil || len(list) != 0 {
			t.Errorf("%q: %v, %v", text, list, err)
		}
	}
}

func TestParseTooLong(t *testing.T) {
	_, err := Parse("x.yaml", io.LimitReader(zeros{}, maxFile+1))
	if want := "x.yaml: longer than 16777216 bytes"; errorText(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestCheck holds what Check says of testdata/check.txt, a user's file beside built-in ones.
func TestCheck(t *testing.T) {
	a, err := txtar.ParseFile("testdata/check.txt")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	own, err := Parse("own.yaml", strings.NewReader(files["own.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	base := loadFiles(t, map[string]string{"products.yaml": files["products.yaml"], "builtin.yaml": files["builtin.yaml"]})
	var got strings.Builder
	for _, p := range base.With(own).Check(own, []string{"x.greeting", "x.help"}) {
		got.WriteString(p.String() + "\n")
	}
	plain := regexp.MustCompile(`such as ".*"…?:`).ReplaceAllString(got.String(), `such as "…":`)
	if diff := cmp.Diff(files["want"], plain); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"db/misc.yaml", "testdata/parse/errors.txt"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Parse("x.yaml", strings.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x.yaml:") {
				t.Errorf("an error without place: %v", err)
			}
			return
		}
		decoded, err := decodeRules(string(Compile(list)), "x.yaml")
		if err != nil || len(decoded) != len(list) {
			t.Errorf("%d signatures compiled, %d read, %v", len(list), len(decoded), err)
		}
	})
}

// decodeRules reads a whole compiled file.
func decodeRules(data, file string) (all []*rule, err error) {
	sections, err := decodeSections(data, file)
	for i := range sections {
		rules, bad := sections[i].decode()
		all, err = append(all, rules...), errors.Join(err, bad)
	}
	return all, err
}

func FuzzDecode(f *testing.F) {
	data, err := compiled.ReadFile("db/compiled/misc.bin")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Fuzz(func(t *testing.T, data string) {
		if list, err := decodeRules(data, "x.yaml"); err == nil {
			newSet(list, Builtin().catalogue).Append(nil, Evidence{Key: "dns.version-bind", Text: []byte("9.18.1")})
		}
	})
}

func FuzzAppend(f *testing.F) {
	f.Add("smtp.greeting", []byte("220 mail ESMTP Postfix"))
	f.Add("dns.version-bind", []byte("9.18.1"))
	keys := Builtin().Keys()
	f.Fuzz(func(t *testing.T, key string, text []byte) {
		if n := len(key); n > 0 && Builtin().searches[key] == nil {
			key = keys[int(key[0])%len(keys)]
		}
		ev := Evidence{Key: key, Text: text}
		claims := Builtin().Append(nil, ev)
		for _, c := range claims {
			if c.Value == "" || len(c.Value) > maxValue || !isField(c.Field) {
				t.Errorf("claim %+v", c)
			}
		}
		explained := 0
		for _, m := range Builtin().Explain(ev) {
			explained += len(m.Claims)
			for _, g := range m.Groups {
				if g.Start < 0 || g.End < g.Start || g.End > len(m.Text) {
					t.Errorf("%s: group %+v of %d bytes", m.Signature.ID, g, len(m.Text))
				}
			}
		}
		if explained != len(claims) {
			t.Errorf("%d claims, %d explained", len(claims), explained)
		}
	})
}
