package fingerprint

import (
	"slices"
	"strings"
	"sync"
)

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

// Append adds to dst what the signatures conclude from one piece of evidence: the claims of the
// first that matches, and of every one that only adds. Text beyond 64 KiB is not looked at.
func (s *Set) Append(dst []Claim, ev Evidence) []Claim {
	s.each(ev.Key, ev.Text, func(r *rule, p *program, t reading, m []int) {
		dst = s.claim(dst, r, p, t, m)
	})
	return dst
}
