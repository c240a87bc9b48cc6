package fingerprint

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// Limits of the literals kept for a pattern: how many strings may stand for one place, how long
// they may become, and how many places are kept. Beyond them a pattern is only filtered less.
const (
	maxAlternatives = 32
	maxLiteral      = 48
	maxPlaces       = 4
)

// literals returns what a text must contain to match the pattern: for each place of the
// pattern that is fixed, the strings of which one must occur there. ASCII letters are folded to
// lower case; a character is the byte of its number. Empty: nothing is sure to occur.
//
// Beyond is the first character that a text may have in more than one form: 0x100 where texts are
// Latin-1, 0x80 where they may be UTF-8.
func literals(pattern string, beyond alphabet) [][]string {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	f := beyond.factorOf(re)
	places := f.need
	if f.exact != nil {
		places = append(places, f.exact)
	}
	places = slices.DeleteFunc(places, func(p []string) bool { return weight(p) == 0 })
	slices.SortStableFunc(places, func(a, b []string) int { return weight(b) - weight(a) })
	return places[:min(len(places), maxPlaces)]
}

// weight of a place: the length of its shortest string, its number of strings counting against it.
func weight(place []string) int {
	if len(place) == 0 {
		return 0
	}
	shortest := len(place[0])
	for _, s := range place {
		shortest = min(shortest, len(s))
	}
	if shortest == 0 {
		return 0
	}
	return max(1, 16*min(shortest, 12)-len(place))
}

// alphabet is the first character that has no single byte in the texts to be matched.
type alphabet rune

const (
	latin1Alphabet alphabet = 0x100
	asciiAlphabet  alphabet = 0x80
)

// factor is what is known of the texts that an expression matches: all of them (exact), or
// else places of which each must occur in them (need).
type factor struct {
	exact []string // nil: unknown
	need  [][]string
}

func (a alphabet) factorOf(re *syntax.Regexp) factor {
	switch re.Op {
	case syntax.OpLiteral:
		return a.literalFactor(re)
	case syntax.OpCharClass:
		return a.classFactor(re)
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return factor{exact: []string{""}}
	case syntax.OpCapture:
		return a.factorOf(re.Sub[0])
	case syntax.OpQuest:
		if f := a.factorOf(re.Sub[0]); f.exact != nil {
			return factor{exact: union(f.exact, []string{""})}
		}
	case syntax.OpPlus:
		return repeated(a.factorOf(re.Sub[0]), 1, -1)
	case syntax.OpRepeat:
		return repeated(a.factorOf(re.Sub[0]), re.Min, re.Max)
	case syntax.OpConcat:
		var c concatenation
		for _, sub := range flattened(nil, re) {
			c.add(a.factorOf(sub))
		}
		return c.factor()
	case syntax.OpAlternate:
		return a.alternated(re.Sub)
	}
	return factor{}
}

// flattened lists what stands one after another, so that a literal goes on into a group and out of
// it: 220 (FS-[0-9]+) has "220 fs-". What repeats is there once, and then maybe more.
func flattened(list []*syntax.Regexp, re *syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			list = flattened(list, sub)
		}
		return list
	case syntax.OpCapture:
		return flattened(list, re.Sub[0])
	case syntax.OpPlus:
		return append(flattened(list, re.Sub[0]), anything)
	}
	return append(list, re)
}

// anything is an expression of which nothing is known.
var anything = &syntax.Regexp{Op: syntax.OpStar}

func (a alphabet) literalFactor(re *syntax.Regexp) factor {
	folded := re.Flags&syntax.FoldCase != 0
	var out strings.Builder
	for _, r := range re.Rune {
		if r >= rune(a) || folded && r > unicode.MaxASCII {
			return factor{} // has another case beyond ASCII, which the filter does not fold
		}
		out.WriteByte(lower[byte(r)])
	}
	return factor{exact: []string{out.String()}}
}

func (a alphabet) classFactor(re *syntax.Regexp) factor {
	var set []string
	for i := 0; i+1 < len(re.Rune); i += 2 {
		lo, hi := re.Rune[i], re.Rune[i+1]
		if hi-lo >= 8 {
			return factor{}
		}
		for r := lo; r <= hi; r++ {
			switch {
			case r < rune(a):
				set = union(set, []string{string([]byte{lower[byte(r)]})})
			case a != latin1Alphabet:
				return factor{}
			} // no text in Latin-1 has others
		}
	}
	if len(set) > 4 {
		return factor{}
	}
	return factor{exact: set}
}

func repeated(f factor, least, most int) factor {
	if least == 0 {
		return factor{}
	}
	if f.exact == nil {
		return factor{need: f.need}
	}
	var c concatenation
	for range min(least, 8) {
		c.add(f)
	}
	if least != most || least > 8 {
		c.add(factor{})
	}
	return c.factor()
}

func (a alphabet) alternated(subs []*syntax.Regexp) factor {
	all, exact := []string{}, true
	place := []string{}
	for _, sub := range subs {
		f := a.factorOf(sub)
		if exact = exact && f.exact != nil; exact {
			all = union(all, f.exact)
		}
		best := f.exact
		for _, p := range f.need {
			if weight(p) > weight(best) {
				best = p
			}
		}
		if weight(best) == 0 || place == nil {
			place = nil // this branch may match a text with nothing sure in it
		} else {
			place = union(place, best)
		}
	}
	switch {
	case exact && len(all) <= maxAlternatives:
		return factor{exact: all}
	case len(place) == 0 || len(place) > 4*maxAlternatives:
		return factor{}
	}
	return factor{need: [][]string{place}}
}

// concatenation grows the exact strings as long as they stay few and short.
type concatenation struct {
	run    []string // nil: just the empty string
	need   [][]string
	broken bool // something unknown stood in it
}

func (c *concatenation) add(f factor) {
	if f.exact == nil {
		c.flush()
		c.need = append(c.need, f.need...)
		c.broken = true
		return
	}
	if c.run == nil {
		c.run = []string{""}
	}
	if len(c.run)*len(f.exact) > maxAlternatives || longest(c.run)+longest(f.exact) > maxLiteral {
		c.flush()
		c.broken = true
		c.run = f.exact
		return
	}
	next := make([]string, 0, len(c.run)*len(f.exact))
	for _, a := range c.run {
		for _, b := range f.exact {
			next = append(next, a+b)
		}
	}
	c.run = union(nil, next)
}

func (c *concatenation) flush() {
	if weight(c.run) > 0 {
		c.need = append(c.need, c.run)
	}
	c.run = nil
}

func (c *concatenation) factor() factor {
	if !c.broken {
		if c.run == nil {
			c.run = []string{""}
		}
		return factor{exact: c.run}
	}
	c.flush()
	return factor{need: c.need}
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

func longest(set []string) (n int) {
	for _, s := range set {
		n = max(n, len(s))
	}
	return n
}

// lower folds ASCII letters.
var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()
