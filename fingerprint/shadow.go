package fingerprint

import (
	"fmt"
)

// robbed warns where a user's signature takes the examples of other products: a few of them are
// named, the rest is counted.
func (c *checker) robbed(own []Signature) {
	mine := map[*rule]*Signature{}
	for i := range own {
		for _, r := range c.ids[own[i].ID] {
			if own[i].isAt(r) {
				mine[r] = &own[i]
			}
		}
	}
	const named = 3
	taken := map[*Signature]int{}
	for _, other := range c.set.rules() {
		if mine[other] != nil || other.Adds {
			continue
		}
		for _, e := range other.Examples {
			for _, s := range c.takers(other, e, mine) {
				if taken[s]++; taken[s] <= named {
					c.warn(s, "takes the example %s of %s (%s:%d), another product", quoted(e.Text), other.ID, other.File, e.Line)
				}
			}
		}
	}
	for i := range own {
		if more := taken[&own[i]] - named; more > 0 {
			c.warn(&own[i], "takes %d more examples of other products", more)
		}
	}
}

// takers are those of a user's signatures that speak on an example of another one's, and name
// another product.
func (c *checker) takers(other *rule, e Example, mine map[*rule]*Signature) (list []*Signature) {
	for _, r := range c.speakers(other.On, e.Text) {
		if s := mine[r]; s != nil && !r.Adds && product(s) != product(&other.Signature) {
			list = append(list, s)
		}
	}
	return list
}

func (c *checker) warn(s *Signature, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: s.File, Line: s.Line, Signature: s.ID, Warning: true, Text: fmt.Sprintf(format, args...)})
}

func product(s *Signature) string {
	for _, t := range s.Claims {
		if t.Field == "product" {
			return t.Text
		}
	}
	return ""
}
