package fingerprint

import (
	"iter"
	"slices"
	"sync"
)

// Set is signatures in their order, ready to match. It does not change; methods may be called
// from many goroutines.
type Set struct {
	rules     func() []*rule       // all; a compiled set is decoded for it
	searches  map[string][]*search // by evidence key
	catalogue func() *catalogue
	memory    *memory // of Match
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
