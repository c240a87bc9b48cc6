package fingerprint

import (
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Product is an entry of products.yaml: the one spelling of a product and what follows from it.
type Product struct {
	Name   string
	Vendor string
	CPE    string // "cpe:2.3:a:postfix:postfix": part, vendor and product as NVD spells them; may be empty
	Home   string // URL
	Part   string // "a" application, "o" operating system, "h" hardware
	Aka    []string

	line int
}

// catalogue finds products by name and by the spellings that must not be used.
type catalogue struct {
	list   []Product
	byName map[string]*Product
	aka    map[string]string // spelling, lower case, to the name to use
}

func newCatalogue(list []Product) *catalogue {
	c := &catalogue{list: list, byName: make(map[string]*Product, len(list)), aka: map[string]string{}}
	for i := range list {
		p := &list[i]
		c.byName[p.Name] = p
		for _, a := range p.Aka {
			c.aka[strings.ToLower(a)] = p.Name
		}
	}
	return c
}

// ParseProducts reads products.yaml. Its errors begin with name, line and column.
func ParseProducts(name string, r io.Reader) ([]Product, error) {
	items, err := parseList(name, r)
	if err != nil {
		return nil, err
	}
	var list []Product
	for _, item := range items {
		p, err := parseProduct(item)
		if err != nil {
			return nil, placed(name, err)
		}
		list = append(list, p)
	}
	seen := map[string]int{}
	vendors := map[string]string{}
	named := map[string]Product{} // by CPE
	for i, p := range list {
		if other, ok := vendors[strings.ToLower(p.Vendor)]; ok && other != p.Vendor {
			return nil, fmt.Errorf("%s:%d: vendor %q is spelt %q before", name, p.line, p.Vendor, other)
		}
		vendors[strings.ToLower(p.Vendor)] = p.Vendor
		if other, ok := named[p.CPE]; ok && p.CPE != "" && firstWordOf(other.Name) != firstWordOf(p.Name) {
			return nil, fmt.Errorf("%s:%d: %q has the CPE name of %q: one product has one name, and those of its parts begin alike", name, p.line, p.Name, other.Name)
		}
		named[p.CPE] = p
		for _, spelling := range append([]string{p.Name}, p.Aka...) {
			folded := strings.ToLower(spelling)
			if first, twice := seen[folded]; twice {
				return nil, fmt.Errorf("%s:%d: %q stands in line %d already", name, p.line, spelling, first)
			}
			seen[folded] = p.line
		}
		if i > 0 && strings.ToLower(list[i-1].Name) > strings.ToLower(p.Name) {
			return nil, fmt.Errorf("%s:%d: %q must stand before %q: the list is sorted by name", name, p.line, p.Name, list[i-1].Name)
		}
	}
	return list, nil
}

func firstWordOf(name string) string {
	word, _, _ := strings.Cut(name, " ")
	return word
}

func parseProduct(n ast.Node) (p Product, err error) {
	p.line = line(n)
	err = mapping(n, map[string]func(ast.Node) error{
		"name":   text(&p.Name),
		"vendor": text(&p.Vendor),
		"cpe":    text(&p.CPE),
		"home":   text(&p.Home),
		"part":   text(&p.Part),
		"aka": each(func(v ast.Node) error {
			var spelling string
			err := text(&spelling)(v)
			p.Aka = append(p.Aka, spelling)
			return err
		}),
	})
	if err != nil {
		return p, err
	}
	if p.Name == "" {
		return p, at(n, "a product without name")
	}
	for _, v := range append([]string{p.Name, p.Vendor, p.CPE, p.Home, p.Part}, p.Aka...) {
		if strings.ContainsAny(v, "\t\n") {
			return p, at(n, "%s: a tab or line end in %q", p.Name, v)
		}
	}
	part := "a"
	if p.CPE != "" {
		fields := splitCPE(p.CPE)
		if len(fields) != 5 || fields[0] != "cpe" || fields[1] != "2.3" || !strings.Contains("aoh", fields[2]) || len(fields[2]) != 1 {
			return p, at(n, "%s: cpe %q: want cpe:2.3:, part (a, o or h), vendor and product", p.Name, p.CPE)
		}
		part = fields[2]
		for _, f := range fields[3:] {
			if f == "" || f != strings.ToLower(f) || strings.ContainsAny(f, " */") {
				return p, at(n, "%s: cpe %q: vendor and product are lower case, without spaces; escape other signs with \\", p.Name, p.CPE)
			}
		}
	}
	if p.Part == "" {
		p.Part = part
	}
	if len(p.Part) != 1 || !strings.Contains("aoh", p.Part) || p.CPE != "" && p.Part != part {
		return p, at(n, "%s: part %q: want a, o or h, as in its cpe", p.Name, p.Part)
	}
	return p, nil
}
