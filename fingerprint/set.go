package fingerprint

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/bits"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxText and maxValue bound what is matched and what is claimed, in bytes.
const (
	maxText  = 64 << 10
	maxValue = 255
)

// Set is signatures in their order, ready to match. It does not change; methods may be called
// from many goroutines.
type Set struct {
	rules     func() []*rule       // all; a compiled set is decoded for it
	searches  map[string][]*search // by evidence key
	catalogue func() *catalogue
	memory    *memory // of Match
}

// search is the rules that read one key in one form, in order. A key has more than one only where
// signatures of recog want its text in another form than ours.
type search struct {
	form     form
	rules    []*rule // see all
	filter   *prefilter
	sections []section // compiled, of which rules are made
	decoding sync.Once
	using    sync.Once
}

// all are the rules; those of a compiled set are decoded when they are first asked for.
func (k *search) all() []*rule {
	k.decoding.Do(func() {
		for i := range k.sections {
			rules, err := k.sections[i].decode()
			if err != nil {
				panic(fmt.Sprintf("%s: %v: run go generate ./fingerprint", k.sections[i].file, err)) // the build is broken; a test holds it
			}
			k.rules = append(k.rules, rules...)
		}
		k.sections = nil
	})
	return k.rules
}

func (k *search) prefilter() *prefilter {
	k.using.Do(func() { k.filter = newPrefilter(k.all()) })
	return k.filter
}

func newSet(rules []*rule, c func() *catalogue) *Set {
	s := &Set{rules: func() []*rule { return rules }, searches: map[string][]*search{}, catalogue: c, memory: newMemory()}
	for _, r := range rules {
		k := s.search(r.On, r.form)
		k.rules = append(k.rules, r)
	}
	return s
}

func (s *Set) search(key string, f form) *search {
	for _, k := range s.searches[key] {
		if k.form == f {
			return k
		}
	}
	k := &search{form: f}
	s.searches[key] = append(s.searches[key], k)
	return k
}

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

func signatureFiles(fsys fs.FS) ([]string, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	slices.Sort(names)
	return slices.DeleteFunc(names, func(n string) bool { return path.Base(n) == productsFile }), err
}

func parseFile(fsys fs.FS, name string) ([]Signature, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(name, f)
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

// With returns a set in which the given signatures stand before those of s.
func (s *Set) With(first []Signature) *Set {
	return newSet(append(newRules(first), s.rules()...), s.catalogue)
}

// Only returns a set of the given signatures alone, which knows the products of s.
func (s *Set) Only(list []Signature) *Set { return newSet(newRules(list), s.catalogue) }

// Then returns a set in which the given signatures stand behind those of s, such as those of
// LoadRecog: they speak where s has nothing to say about a piece of evidence.
func (s *Set) Then(last []Signature) *Set {
	return newSet(append(slices.Clip(s.rules()), newRules(last)...), s.catalogue)
}

// Before returns a set in which the signatures of s stand before those of base, and which knows
// the products of both: a user's directory before the built-in set.
func (s *Set) Before(base *Set) *Set {
	return newSet(slices.Concat(s.rules(), base.rules()), sync.OnceValue(func() *catalogue {
		own := s.catalogue()
		list := slices.Clone(own.list)
		for _, p := range base.catalogue().list {
			if own.byName[p.Name] == nil {
				list = append(list, p)
			}
		}
		return newCatalogue(list)
	}))
}

// Signatures returns the signatures in their order.
func (s *Set) Signatures() []Signature {
	list := make([]Signature, s.Len())
	for i, r := range s.rules() {
		list[i] = r.Signature
	}
	return list
}

// All iterates over the signatures in their order; they are not to be changed.
func (s *Set) All() iter.Seq[*Signature] {
	return func(yield func(*Signature) bool) {
		for _, r := range s.rules() {
			if !yield(&r.Signature) {
				return
			}
		}
	}
}

// Find returns the signature with an id; of two with the same, the one that is searched first.
func (s *Set) Find(id string) (Signature, bool) {
	for sig := range s.All() {
		if sig.ID == id {
			return *sig, true
		}
	}
	return Signature{}, false
}

// Len is the number of signatures.
func (s *Set) Len() int { return len(s.rules()) }

// Keys returns the evidence keys that some signature reads, sorted.
func (s *Set) Keys() []string {
	var keys []string
	for k := range s.searches {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Products returns the products that the set knows, sorted by name.
func (s *Set) Products() []Product { return slices.Clone(s.catalogue().list) }

// Append adds to dst what the signatures conclude from one piece of evidence: the claims of the
// first that matches, and of every one that only adds. Text beyond 64 KiB is not looked at.
func (s *Set) Append(dst []Claim, ev Evidence) []Claim {
	s.each(ev.Key, ev.Text, func(r *rule, p *program, t reading, m []int) {
		dst = s.claim(dst, r, p, t, m)
	})
	return dst
}

// reading is a text as it was sent (or rather in the form that a search wants), and the same with
// each byte as the character of its number, which is what patterns read.
type reading struct{ raw, text []byte }

// each calls do for the rules that speak: the first that matches, and all that only add.
func (s *Set) each(key string, sent []byte, do func(*rule, *program, reading, []int)) {
	sent = sent[:min(len(sent), maxText)]
	decided := false
	for _, k := range s.searches[key] {
		raw := k.form.of(sent)
		text, buffer := k.form.decode(raw)
		decided = k.each(reading{raw, text}, decided, do)
		if buffer != nil {
			buffers.Put(buffer)
		}
	}
}

func (k *search) each(t reading, decided bool, do func(*rule, *program, reading, []int)) bool {
	filter := k.prefilter()
	var small [12]uint64 // 768 rules of one key; beyond, an allocation
	found := small[:]
	if words := (len(k.rules) + 63) / 64; words > len(small) {
		found = make([]uint64, words)
	}
	filter.mark(t.raw, found)
	for i, w := range found {
		for ; w != 0; w &= w - 1 {
			r := k.rules[i*64+bits.TrailingZeros64(w)]
			if decided && !r.Adds {
				continue
			}
			p := r.program()
			if p == nil {
				continue
			}
			if m := p.re.FindSubmatchIndex(t.text); m != nil {
				do(r, p, t, m)
				decided = decided || !r.Adds
			}
		}
	}
	return decided
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// latin1 returns the text with each byte as the character of its number. ASCII is returned as
// it is; otherwise the buffer is to be put back when the text is done with.
func latin1(raw []byte) (text []byte, buffer *[]byte) {
	if isASCII(raw) {
		return raw, nil
	}
	buffer = buffers.Get().(*[]byte)
	text = (*buffer)[:0]
	for _, c := range raw {
		text = utf8.AppendRune(text, rune(c))
	}
	*buffer = text
	return text, buffer
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// claim appends what a matching rule says, and what follows from its product and system.
func (s *Set) claim(dst []Claim, r *rule, p *program, t reading, m []int) []Claim {
	start := len(dst)
	for i := range p.claims {
		c := &p.claims[i]
		if v := c.fill(t, m); v != "" {
			dst = r.claim(dst, c.field, v)
		}
	}
	product := first(dst[start:], "product")
	dst = s.implied(dst, start, r, product)
	for i := range dst[start:] {
		dst[start+i].Product = product
	}
	return dst
}

// implied appends the vendor and the CPE names that follow from a product and a system.
func (s *Set) implied(dst []Claim, start int, r *rule, product string) []Claim {
	given := dst[start:]
	known := s.catalogue()
	if p := known.byName[product]; p != nil {
		if p.Vendor != "" && first(given, "vendor") == "" {
			dst = r.claim(dst, "vendor", p.Vendor)
		}
		if p.CPE != "" && !namesCPE(given, func(part string) bool { return part == p.Part || part != "o" }) {
			dst = r.claim(dst, "cpe", cpeName(p.CPE, first(given, "version")))
		}
	}
	system := first(given, "os")
	if p := known.byName[system]; p != nil && p.CPE != "" && system != product {
		if !namesCPE(given, func(part string) bool { return part == "o" }) {
			dst = r.claim(dst, "cpe", cpeName(p.CPE, first(given, "os_version")))
		}
	}
	return dst
}

// claim appends one claim of the rule.
//
//go:noinline
func (r *rule) claim(dst []Claim, field, value string) []Claim {
	return append(dst, Claim{Field: field, Value: value, Signature: r.ID, Key: r.On, Certainty: r.Certainty, Behaviour: r.Behaviour})
}

// first is the value of the first claim of a field, "" for none.
func first(given []Claim, field string) string {
	for i := range given {
		if given[i].Field == field {
			return given[i].Value
		}
	}
	return ""
}

// namesCPE tells whether a signature gives a CPE name of some part (a, o or h) itself.
func namesCPE(given []Claim, fits func(part string) bool) bool {
	for i := range given {
		if given[i].Field == "cpe" {
			part, _, _ := strings.Cut(strings.TrimPrefix(given[i].Value, "cpe:2.3:"), ":")
			if fits(part) {
				return true
			}
		}
	}
	return false
}

// fill returns the value of a claim; "" where all groups of its template are empty. In a CPE
// name, groups are escaped, and an empty one is "any".
func (o *output) fill(t reading, m []int) string {
	if len(o.parts) == 1 && o.parts[0].group == 0 {
		return o.parts[0].literal
	}
	var out strings.Builder
	groups, filled := 0, 0
	for _, p := range o.parts {
		if p.group == 0 {
			out.WriteString(p.literal)
			continue
		}
		v := t.group(m, p.group)
		groups++
		if v != "" {
			filled++
		}
		if o.field == "cpe" {
			v = cpeValue(v)
		}
		out.WriteString(v)
	}
	if groups > 0 && filled == 0 && o.field != "cpe" {
		return ""
	}
	return shorten(strings.TrimSpace(out.String()))
}

// group returns what a group took: as UTF-8 where the server sent that, else as Latin-1.
func (t reading) group(m []int, group int) string {
	if m[2*group] < 0 {
		return ""
	}
	from, to := t.span(m, group)
	if sent := t.raw[from:to]; utf8.Valid(sent) {
		return string(sent)
	}
	return string(t.text[m[2*group]:m[2*group+1]])
}

// span returns the bytes of raw that a group took.
func (t reading) span(m []int, group int) (from, to int) {
	a, b := m[2*group], m[2*group+1]
	if len(t.raw) == len(t.text) { // ASCII, or UTF-8 read as such
		return a, b
	}
	from = utf8.RuneCount(t.text[:a])
	return from, from + utf8.RuneCount(t.text[a:b])
}

func shorten(v string) string {
	if len(v) <= maxValue {
		return v
	}
	cut := maxValue - len("…")
	for !utf8.RuneStart(v[cut]) {
		cut--
	}
	return v[:cut] + "…"
}

// Match concludes from everything that a server said. A value that is concluded twice is told
// once, by the surest; different values of a field all stay, the surest first; fields come in
// the order of Fields.
func (s *Set) Match(all []Evidence) []Claim {
	scratch := claimLists.Get().(*[]Claim)
	claims := (*scratch)[:0]
	for i := range all {
		claims = s.recall(claims, &all[i])
	}
	merged := Merge(claims)
	clear(claims) // their texts are not held
	*scratch = claims
	claimLists.Put(scratch)
	return merged
}

var claimLists = sync.Pool{New: func() any { return new([]Claim) }}

// recall is Append that remembers what it concluded from the same text before.
func (s *Set) recall(dst []Claim, ev *Evidence) []Claim {
	if len(ev.Text) > longestRemembered || s.searches[ev.Key] == nil {
		return s.Append(dst, *ev)
	}
	h := s.memory.hash(ev)
	known, ok := s.memory.recall(dst, h, ev)
	if ok {
		return known
	}
	before := len(dst)
	dst = s.Append(dst, *ev)
	s.memory.learn(h, ev, dst[before:])
	return dst
}

// Merge sorts and deduplicates claims as Match does. A CPE name without a version goes where there
// is one of the same product with a version: it says less, not otherwise.
func Merge(claims []Claim) []Claim {
	merged := make([]Claim, 0, len(claims))
	for _, field := range Fields {
		first := len(merged)
		for i := range claims {
			c := &claims[i]
			if c.Field != field || field == "cpe" && versionFollows(c, claims) {
				continue
			}
			at := first // behind those that are as sure
			for at < len(merged) && merged[at].Certainty >= c.Certainty {
				at++
			}
			if !slices.ContainsFunc(merged[first:at], c.says) {
				less := slices.DeleteFunc(merged[at:], c.says) // said before, less surely
				merged = slices.Insert(merged[:at+len(less)], at, *c)
			}
		}
	}
	return merged
}

// says whether another claim of the same field says the same.
func (c *Claim) says(other Claim) bool {
	if c.Value != other.Value || c.Field != other.Field {
		return false
	}
	if c.Field == "product" || c.Field == "host" || strings.HasPrefix(c.Field, "os") || strings.HasPrefix(c.Field, "distribution") {
		return true // says the same whatever else it is said of
	}
	return c.Product == other.Product
}

// versionFollows says whether a CPE name without a version has one with a version beside it.
func versionFollows(c *Claim, claims []Claim) bool {
	product, any := strings.CutSuffix(c.Value, anyVersion)
	if !any {
		return false
	}
	return slices.ContainsFunc(claims, func(other Claim) bool {
		rest, same := strings.CutPrefix(other.Value, product)
		return other.Field == "cpe" && same && strings.HasPrefix(rest, ":") && rest != anyVersion
	})
}
