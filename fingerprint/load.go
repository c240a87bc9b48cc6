package fingerprint

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Load reads a directory of signatures: its *.yaml files in the order of their names, and
// products.yaml, for which the built-in products stand in where there is none.
func Load(fsys fs.FS) (*Set, error) {
	products := Builtin().catalogue
	switch list, err := loadProducts(fsys); {
	case err == nil:
		own := newCatalogue(list)
		products = func() *catalogue { return own }
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	names, err := signatureFiles(fsys)
	if err != nil {
		return nil, err
	}
	var list []Signature
	for _, name := range names {
		more, err := parseFile(fsys, name)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if err := unique(list); err != nil {
		return nil, err
	}
	return newSet(newRules(list), products), nil
}

func loadProducts(fsys fs.FS) ([]Product, error) {
	f, err := fsys.Open(productsFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ParseProducts(productsFile, f)
}

const productsFile = "products.yaml"

func parseFile(fsys fs.FS, name string) ([]Signature, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(name, f)
}

func signatureFiles(fsys fs.FS) ([]string, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return path.Base(n) == productsFile }), err
}

func unique(list []Signature) error {
	seen := map[string]*Signature{}
	for i := range list {
		s := &list[i]
		if first := seen[s.ID]; first != nil {
			return fmt.Errorf("%s:%d: id %q is used in %s:%d already", s.File, s.Line, s.ID, first.File, first.Line)
		}
		seen[s.ID] = s
	}
	return nil
}

func newRules(list []Signature) []*rule {
	rules := make([]*rule, len(list))
	for i, s := range list {
		rules[i] = &rule{Signature: s, need: literals(s.Match, s.form.alphabet())}
	}
	return rules
}
