package fingerprint

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Problem is one thing wrong with a signature.
type Problem struct {
	File      string
	Line      int
	Signature string // id; "" for a problem of a whole file
	Text      string
	Warning   bool // worth a look, but allowed
}

func (p Problem) String() string {
	text := p.Text
	if p.Signature != "" {
		text = p.Signature + ": " + text
	}
	if p.Warning {
		text = "warning: " + text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, text)
}

// Check holds signatures to the rules of db/README.md. They are searched in the order of s, which
// must hold them: s is Load(Files()) for the built-in ones, and own.Before(builtin) with builtin
// from Load(Files()) for a user's, so that shadowing either way is found. Keys are the evidence
// keys that exist, a final ".*" standing for any name; with none given, keys are not checked.
func (s *Set) Check(own []Signature, keys []string) []Problem {
	c := newChecker(s, keys)
	for i := range own {
		c.check(&own[i])
	}
	c.robbed(own)
	return c.problems
}

func newChecker(s *Set, keys []string) *checker {
	c := &checker{set: s, keys: keys, ids: map[string][]*rule{}}
	for _, r := range s.rules() {
		c.ids[r.ID] = append(c.ids[r.ID], r)
	}
	return c
}

type checker struct {
	set      *Set
	keys     []string           // that exist; nil where they are not checked
	ids      map[string][]*rule // rules of the set by id
	problems []Problem
	current  *Signature // that faults are of
}

func (c *checker) fault(line int, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: c.current.File, Line: line, Signature: c.current.ID, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) check(s *Signature) {
	c.current = s
	if s.Source == "" {
		c.fault(s.Line, "no source: say where the form of the text is documented, or was seen")
	}
	if len(s.Examples) == 0 {
		c.fault(s.Line, "no example")
	}
	if c.keys != nil && !noted(s.On, c.keys) {
		c.fault(s.Line, "no probe notes the key %q%s", s.On, similar(s.On, c.keys))
	}
	if s.Behaviour && s.Certainty > 75 {
		c.fault(s.Line, "certainty %d: what is concluded from behaviour is at most 75", s.Certainty)
	}
	c.templates(s)
	c.breadth(s)
	r := c.rule(s)
	if r == nil {
		return
	}
	for _, e := range s.Examples {
		c.example(r, e)
	}
	for _, x := range s.Rejects {
		if slices.Contains(c.speakers(s.On, x.Text), r) {
			c.fault(x.Line, "takes the reject %s", quoted(x.Text))
		}
	}
}

// noted says whether a key is one of those that exist, or one of a family: "http.header.via" of
// "http.header.*".
func noted(key string, keys []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool {
		family, open := strings.CutSuffix(k, "*")
		return k == key || open && strings.HasPrefix(key, family) && len(key) > len(family)
	})
}

// rule finds the signature in the set.
func (c *checker) rule(s *Signature) *rule {
	same := c.ids[s.ID]
	own := slices.IndexFunc(same, s.isAt)
	if own < 0 {
		c.fault(s.Line, "is not in the set that is searched")
		return nil
	}
	if len(same) > 1 {
		other := same[0]
		if own == 0 {
			other = same[1]
		}
		c.fault(s.Line, "the id is used in %s:%d too", other.File, other.Line)
	}
	return same[own]
}

// isAt says whether a rule was made of the signature: it stands at the same place.
func (s *Signature) isAt(r *rule) bool { return r.File == s.File && r.Line == s.Line }

func (c *checker) templates(s *Signature) {
	for _, t := range s.Claims {
		if !strings.Contains(t.Text, "${") {
			c.spelling(s.Line, t.Field, t.Text)
		}
		if t.Field == "protocol" && s.On != "tcp.greeting" && s.On != "tcp.answer" {
			c.fault(s.Line, "protocol is only claimed on tcp.greeting and tcp.answer")
		}
	}
}

// spelling holds products and systems to products.yaml.
func (c *checker) spelling(line int, field, value string) {
	if field != "product" && field != "os" || value == "" {
		return
	}
	known := c.set.catalogue()
	p := known.byName[value]
	switch {
	case p != nil && field == "os" && p.Part == "a":
		c.fault(line, "os %q is an application in products.yaml; want part o", value)
	case p != nil:
	case known.aka[strings.ToLower(value)] != "":
		c.fault(line, "%s %q is spelt %q in products.yaml", field, value, known.aka[strings.ToLower(value)])
	default:
		c.fault(line, "%s %q is not in products.yaml%s", field, value, similar(value, slices.Collect(maps.Keys(known.byName))))
	}
}

// speakers are the rules that speak on a text when the whole set is searched in order.
func (c *checker) speakers(key string, raw []byte) (list []*rule) {
	c.set.each(key, raw, func(r *rule, _ *program, _ reading, _ []int) { list = append(list, r) })
	return list
}

func (c *checker) example(r *rule, e Example) {
	text, _ := latin1(e.Text)
	prog := r.program()
	m := prog.re.FindSubmatchIndex(text)
	if m == nil {
		_, end, wanted := follow(r.Match, e.Text)
		if wanted != "" {
			wanted = ", then wants " + wanted
		}
		c.fault(e.Line, "the pattern does not match %s: it follows it up to %s%s", quoted(e.Text), quoted(e.Text[:end]), wanted)
		return
	}
	if !slices.Contains(c.speakers(r.On, e.Text), r) {
		for _, other := range c.speakers(r.On, e.Text) {
			if !other.Adds {
				c.fault(e.Line, "%s is taken by %s (%s:%d), which stands before it", quoted(e.Text), other.ID, other.File, other.Line)
				return
			}
		}
		c.fault(e.Line, "%s is matched by the pattern but not found by the search: the required literals are wrong", quoted(e.Text))
		return
	}
	c.gives(r, e, c.set.claim(nil, r, prog, reading{e.Text, text}, m))
}

// gives compares what an example says with what the signature claims from it.
func (c *checker) gives(r *rule, e Example, claims []Claim) {
	explicit := map[string]bool{}
	for _, out := range r.program().claims {
		explicit[out.field] = true
	}
	got := map[string]string{}
	for _, claim := range claims {
		c.spelling(e.Line, claim.Field, claim.Value)
		if _, twice := got[claim.Field]; !twice {
			got[claim.Field] = claim.Value
		}
	}
	for _, field := range Fields {
		want, said := e.Gives[field]
		have, claimed := got[field]
		followsProduct := field == "product" || field == "vendor" || field == "cpe"
		switch {
		case said && !claimed:
			c.fault(e.Line, "%s: does not give %s %q", quoted(e.Text), field, want)
		case said && want != have:
			c.fault(e.Line, "%s: gives %s %q, not %q", quoted(e.Text), field, have, want)
		case !said && claimed && !followsProduct:
			c.fault(e.Line, "%s: gives %s %q too, which \"gives\" does not say", quoted(e.Text), field, have)
		}
		if field == "cpe" && explicit["cpe"] && claimed && len(splitCPE(have)) != 13 {
			c.fault(e.Line, "cpe %q: want 13 parts, cpe:2.3:part:vendor:product:version:*:*:*:*:*:*:*", have)
		}
	}
}
