package fingerprint

import (
	"fmt"
)

// taken warns where a user's signature takes the examples of other products: a few of them are
// named, the rest is counted.
func (c *checker) taken(own []Signature) {
	mine := map[*rule]*Signature{}
	for i := range own {
		for _, r := range c.ids[own[i].ID] {
			if r.File == own[i].File && r.Line == own[i].Line {
				mine[r] = &own[i]
			}
		}
	}
	const named = 3
	robbed := map[*Signature]int{}
	for _, other := range c.set.rules() {
		if mine[other] != nil || other.Adds {
			continue
		}
		for _, e := range other.Examples {
			for _, r := range c.speakers(other.On, e.Text) {
				s := mine[r]
				if s == nil || r.Adds || product(s) == product(&other.Signature) {
					continue
				}
				if robbed[s]++; robbed[s] <= named {
					c.warn(s, "takes the example %s of %s (%s:%d), another product", quoted(e.Text), other.ID, other.File, e.Line)
				}
			}
		}
	}
	for i := range own {
		if more := robbed[&own[i]] - named; more > 0 {
			c.warn(&own[i], "takes %d more examples of other products", more)
		}
	}
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
