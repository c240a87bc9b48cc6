package fingerprint

import (
	"strings"
	"unicode/utf8"
)

// maxValue bounds the value of a claim, in bytes.
const maxValue = 255

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
