package fingerprint

import (
	"bytes"
	"slices"
)

// Match tells why a signature speaks on a piece of evidence, or how near it came.
type Match struct {
	Signature Signature
	Claims    []Claim // none for a near miss
	Text      []byte  // what the pattern read: the evidence, or the form of it that recog wants
	Groups    []Span  // the whole match first, then the groups that took part

	// Near marks a signature that does not match. Groups then holds the bytes along which the
	// pattern could follow the text; Wanted says what it wanted next, and Missing which literal
	// of the pattern does not occur at all; either may be empty.
	Near            bool
	Wanted, Missing string
}

// Span is a range of bytes of a text that a group of a pattern took; the name of the whole is "".
type Span struct {
	Name       string
	Start, End int
}

// nearest is how many near misses Explain returns.
const nearest = 3

// Explain returns the signatures that speak on a piece of evidence, in their order; where none
// but adding ones does, then also those that came nearest.
func (s *Set) Explain(ev Evidence) []Match {
	var list []Match
	decided := false
	s.each(ev.Key, ev.Text, func(r *rule, p *program, t reading, m []int) {
		decided = decided || !r.Adds
		match := Match{Signature: r.Signature, Claims: s.claim(nil, r, p, t, m), Text: t.raw}
		for i, name := range p.re.SubexpNames() {
			if m[2*i] >= 0 {
				from, to := t.span(m, i)
				match.Groups = append(match.Groups, Span{name, from, to})
			}
		}
		list = append(list, match)
	})
	if !decided {
		list = append(list, s.near(ev)...)
	}
	return list
}

// near returns the signatures whose literals come nearest to the text; of those, the ones that
// follow it longest. Less than four bytes in common is chance.
func (s *Set) near(ev Evidence) []Match {
	type candidate struct {
		rule   *rule
		raw    []byte
		common int
		match  Match
	}
	var list []candidate
	for _, k := range s.searches[ev.Key] {
		raw := k.form.of(ev.Text[:min(len(ev.Text), maxNear)])
		text := folded(raw[:min(len(raw), 512)])
		for _, r := range k.all() {
			if common := commonLiteral(text, r.need); common >= window {
				list = append(list, candidate{rule: r, raw: raw, common: common})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return b.common - a.common })
	list = list[:min(len(list), 4*nearest)]
	for i := range list {
		c := &list[i]
		c.match = nearMiss(c.rule, c.raw)
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return b.common + b.match.followed() - a.common - a.match.followed()
	})
	var out []Match
	for _, c := range list[:min(len(list), nearest)] {
		out = append(out, c.match)
	}
	return out
}

func nearMiss(r *rule, raw []byte) Match {
	start, end, wanted := follow(r.Match, raw)
	m := Match{Signature: r.Signature, Near: true, Text: raw, Groups: []Span{{"", start, end}}, Wanted: wanted}
	text := folded(raw)
	for _, place := range r.need {
		if !slices.ContainsFunc(place, func(l string) bool { return bytes.Contains(text, []byte(l)) }) {
			m.Missing = place[0]
			break
		}
	}
	return m
}

func (m *Match) followed() int { return m.Groups[0].End - m.Groups[0].Start }

// commonLiteral is the length of the longest piece of a rule's literals that the text has.
func commonLiteral(text []byte, need [][]string) (longest int) {
	for _, place := range need {
		for _, literal := range place {
			longest = max(longest, commonPiece(text, literal))
		}
	}
	return longest
}

func commonPiece(text []byte, literal string) (longest int) {
	row := make([]int, len(literal)+1)
	for _, c := range text {
		for j := len(literal); j > 0; j-- {
			if literal[j-1] == c {
				row[j] = row[j-1] + 1
				longest = max(longest, row[j])
			} else {
				row[j] = 0
			}
		}
	}
	return longest
}

func folded(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = lower[c]
	}
	return out
}
