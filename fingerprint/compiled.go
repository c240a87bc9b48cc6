package fingerprint

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:generate go run ./generate

// The YAML files are what people write; parsing them takes long, so that the program reads
// what `go generate` made of them. There is one compiled file for each YAML file: who changes
// different files never meets in a merge, and a conflict is solved by generating again.
//
//go:embed db/*.yaml
var source embed.FS

//go:embed db/compiled
var compiled embed.FS

// Files returns the built-in signature files: YAML, with their examples. Load reads them.
func Files() fs.FS {
	files, err := fs.Sub(source, "db")
	if err != nil {
		panic(err) // "db" is a valid path
	}
	return files
}

// Builtin returns the built-in set. Its signatures have no examples; those of Load(Files()) do.
var Builtin = sync.OnceValue(func() *Set {
	set, err := decodeAll(compiled, "db/compiled")
	if err != nil {
		panic(fmt.Sprintf("%v: run go generate ./fingerprint", err)) // the build is broken; a test holds it
	}
	return set
})

// CompiledName is the name of the compiled file of a YAML file.
func CompiledName(yaml string) string {
	if yaml == productsFile {
		return "products.tsv"
	}
	return strings.TrimSuffix(yaml, ".yaml") + ".bin"
}

func decodeAll(fsys fs.FS, dir string) (*Set, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	s := &Set{searches: map[string][]*search{}, memory: newMemory()}
	products := func() *catalogue { return newCatalogue(nil) }
	for _, e := range entries { // sorted by name
		data, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if e.Name() == CompiledName(productsFile) {
			products = sync.OnceValue(func() *catalogue {
				list, err := decodeProducts(string(data))
				if err != nil {
					panic(fmt.Sprintf("%s: %v: run go generate ./fingerprint", e.Name(), err))
				}
				return newCatalogue(list)
			})
			continue
		}
		sections, err := decodeSections(string(data), strings.TrimSuffix(e.Name(), ".bin")+".yaml")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		for _, one := range sections {
			k := s.search(one.key, asSent)
			k.sections = append(k.sections, one)
		}
	}
	s.rules, s.catalogue = sync.OnceValue(s.decoded), products
	return s, nil
}

// decoded are all rules of a compiled set in the order of their files and lines.
func (s *Set) decoded() (all []*rule) {
	for _, searches := range s.searches {
		for _, k := range searches {
			all = append(all, k.all()...)
		}
	}
	slices.SortFunc(all, func(a, b *rule) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all
}

// The compiled form: a magic line, then a section for each key: the key, how many signatures
// read it, and their properties in a fixed order, which are read when the key is first met.
// Numbers are varints, strings have their length before them, lists their count.
const magic = "herald signatures 2\n"

var errCompiled = errors.New("not a compiled signature file of this version")

// Compile makes the compiled form of a signature file.
func Compile(list []Signature) []byte {
	var keys []string
	byKey := map[string][]*Signature{}
	for i := range list {
		s := &list[i]
		if byKey[s.On] == nil {
			keys = append(keys, s.On)
		}
		byKey[s.On] = append(byKey[s.On], s)
	}
	e := encoder(magic)
	e.int(len(keys))
	for _, key := range keys {
		var section encoder
		for _, s := range byKey[key] {
			section.signature(s)
		}
		e.string(key)
		e.int(len(byKey[key]))
		e.string(string(section))
	}
	return e
}

func (e *encoder) signature(s *Signature) {
	e.string(s.ID)
	e.string(s.Match)
	e.string(s.Source)
	e.int(s.Certainty)
	e.int(flags(s))
	e.int(s.Line)
	e.int(len(s.Claims))
	for _, c := range s.Claims {
		e.string(c.Field)
		e.string(c.Text)
	}
	need := literals(s.Match, latin1Alphabet)
	e.int(len(need))
	for _, place := range need {
		e.strings(place)
	}
}

func flags(s *Signature) (f int) {
	if s.Adds {
		f |= 1
	}
	if s.Behaviour {
		f |= 2
	}
	return f
}

// CompileProducts makes the compiled form of products.yaml: a line for each product, so that
// git can merge what two people added (.gitattributes says merge=union).
func CompileProducts(list []Product) []byte {
	var out bytes.Buffer
	for _, p := range list {
		fields := append([]string{p.Name, p.Vendor, p.CPE, p.Home, p.Part}, p.Aka...)
		fmt.Fprintln(&out, strings.Join(fields, "\t"))
	}
	return out.Bytes()
}

func decodeProducts(data string) ([]Product, error) {
	list := make([]Product, 0, strings.Count(data, "\n"))
	for line := range strings.Lines(data) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) < 5 {
			return nil, errCompiled
		}
		list = append(list, Product{Name: f[0], Vendor: f[1], CPE: f[2], Home: f[3], Part: f[4], Aka: f[5:]})
	}
	return list, nil
}

// section is the signatures of one file that read one key, compiled.
type section struct {
	file, key string
	count     int
	data      string
}

func decodeSections(data, file string) ([]section, error) {
	rest, ok := strings.CutPrefix(data, magic)
	d := &decoder{rest: rest, bad: !ok}
	list := make([]section, d.count())
	for i := range list {
		list[i] = section{file: file, key: d.string(), count: d.int(), data: d.string()}
	}
	return list, d.end()
}

func (c *section) decode() ([]*rule, error) {
	d := &decoder{rest: c.data, bad: c.count > len(c.data)}
	if d.bad {
		return nil, errCompiled
	}
	store := make([]rule, c.count)
	list := make([]*rule, c.count)
	var templates []Template
	var places [][]string
	for i := range store {
		r := &store[i]
		r.File, r.On = c.file, c.key
		r.ID = d.string()
		r.Match = d.string()
		r.Source = d.string()
		r.Certainty = d.int()
		f := d.int()
		r.Adds, r.Behaviour = f&1 != 0, f&2 != 0
		r.Line = d.int()
		r.Claims = carve(&templates, d.count())
		for j := range r.Claims {
			r.Claims[j] = Template{Field: d.string(), Text: d.string()}
		}
		r.need = carve(&places, d.count())
		for j := range r.need {
			r.need[j] = d.strings()
		}
		list[i] = r
	}
	return list, d.end()
}

type encoder []byte

func (e *encoder) int(n int) { *e = binary.AppendUvarint(*e, uint64(n)) }

func (e *encoder) string(s string) {
	e.int(len(s))
	*e = append(*e, s...)
}

func (e *encoder) strings(list []string) {
	e.int(len(list))
	for _, s := range list {
		e.string(s)
	}
}

// decoder reads the compiled form; strings share the memory of the file.
type decoder struct {
	rest  string
	bad   bool
	lists []string // from which the lists of strings are carved
}

// carve takes n elements off a slab, which is made anew when it is used up: hundreds of short
// lists would otherwise be hundreds of allocations.
func carve[T any](slab *[]T, n int) []T {
	if n > len(*slab) {
		*slab = make([]T, max(n, 64))
	}
	taken := (*slab)[:n:n]
	*slab = (*slab)[n:]
	return taken
}

func (d *decoder) int() int {
	var v uint64
	for i := 0; i < len(d.rest) && i < 5; i++ {
		c := d.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.rest = d.rest[i+1:]
			return int(v)
		}
	}
	d.bad, d.rest = true, ""
	return 0
}

// count reads the length of a string or list, each element of which takes a byte at least.
func (d *decoder) count() int {
	n := d.int()
	if n > len(d.rest) || d.bad {
		d.bad, d.rest = true, ""
		return 0
	}
	return n
}

func (d *decoder) string() string {
	n := d.count()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) strings() []string {
	list := carve(&d.lists, d.count())
	for i := range list {
		list[i] = d.string()
	}
	return list
}

func (d *decoder) end() error {
	if d.bad || d.rest != "" {
		return errCompiled
	}
	return nil
}

// CompileAll compiles a directory of signatures: the compiled files by name.
func CompileAll(fsys fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{}
	names, err := signatureFiles(fsys)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		list, err := parseFile(fsys, name)
		if err != nil {
			return nil, err
		}
		files[CompiledName(name)] = Compile(list)
	}
	products, err := loadProducts(fsys)
	if err != nil {
		return nil, err
	}
	files[CompiledName(productsFile)] = CompileProducts(products)
	return files, nil
}
