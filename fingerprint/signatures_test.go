package fingerprint

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestSignatures holds every built-in signature to the rules of db/README.md. Run one file's with
// `go test ./fingerprint -run TestSignatures/ftp`.
func TestSignatures(t *testing.T) {
	db := os.DirFS("db")
	products, err := loadProducts(db)
	if err != nil {
		t.Fatal(err)
	}
	names, err := signatureFiles(db)
	if err != nil {
		t.Fatal(err)
	}
	byFile := map[string][]Signature{}
	var all []Signature
	for _, name := range names { // a broken file must not hide the problems of the others
		list, err := parseFile(db, name)
		if err != nil {
			t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) { t.Errorf("db/%v", err) })
			continue
		}
		byFile[name] = list
		all = append(all, list...)
	}
	known := newCatalogue(products)
	set := newSet(newRules(all), func() *catalogue { return known })
	ids := newChecker(set, nil).ids
	for _, name := range names {
		own, parsed := byFile[name]
		if !parsed {
			continue
		}
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			for i := range own {
				t.Run(own[i].ID, func(t *testing.T) {
					c := checker{set: set, ids: ids}
					c.check(&own[i])
					for _, p := range c.problems {
						t.Errorf("db/%v", p)
					}
				})
			}
		})
	}
}

// TestCompiled holds the compiled files to the YAML.
func TestCompiled(t *testing.T) {
	want, err := CompileAll(os.DirFS("db"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := compiled.ReadDir("db/compiled")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, e := range entries {
		if got[e.Name()], err = compiled.ReadFile("db/compiled/" + e.Name()); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range want {
		if !bytes.Equal(data, got[name]) {
			t.Errorf("db/compiled/%s is stale: run go generate ./fingerprint", name)
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("db/compiled/%s has no YAML file: run go generate ./fingerprint", name)
		}
	}
}

// The compiled set is the same as that of the files, in the same order.
func TestBuiltinIsWhatTheFilesSay(t *testing.T) {
	got, want := Builtin().Signatures(), builtinWithExamples(t).Signatures()
	for i := range want {
		want[i].Examples, want[i].Rejects = nil, nil
		for j := range want[i].Claims {
			want[i].Claims[j] = Template{Field: want[i].Claims[j].Field, Text: want[i].Claims[j].Text}
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Signature{}, Template{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}
