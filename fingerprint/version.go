package fingerprint

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// CompareVersions orders versions as their makers count: -1, 0 or 1. Numbers compare as numbers,
// of any length; missing numbers count as 0, so that 3.8 equals 3.8.0. A word between or after
// numbers is before the release where it says so (alpha, beta, pre, rc, dev, snapshot, "~"), and
// after it otherwise (9.2p1 after 9.2, 2.4.1a after 2.4.1, 4.96-15+deb12u3 after 4.96-15). Case
// and a leading "v" do not count. The order is total up to equality; empty is first.
func CompareVersions(a, b string) int {
	x, y := versionParts(a), versionParts(b)
	for i := range max(len(x), len(y)) {
		if c := comparePart(partAt(x, i), partAt(y, i)); c != 0 {
			return c
		}
	}
	return 0
}

// versionPart is a number or a word. rank orders kinds at the same place: a word that says
// "before", then the end of the version and zero, then words, then numbers above zero.
type versionPart struct {
	rank int
	text string // digits without leading zeros, or the word in lower case
}

const (
	rankBefore = iota
	rankEnd
	rankWord
	rankNumber
)

// before are the words for what comes before a release, in their order.
var before = map[string]int{
	"~": 1, "dev": 2, "snapshot": 3, "preview": 4, "alpha": 5, "a": 5, "beta": 6, "b": 6, "milestone": 7, "m": 7, "pre": 8, "rc": 9, "cr": 9,
}

var versionTokens = regexp.MustCompile(`[0-9]+|[a-z]+|~`)

func versionParts(v string) []versionPart {
	v = strings.TrimPrefix(strings.ToLower(v), "v")
	var parts []versionPart
	tokens := versionTokens.FindAllStringIndex(v, -1)
	for i, t := range tokens {
		parts = append(parts, newVersionPart(v[t[0]:t[1]], numberFollows(v, tokens, i)))
	}
	for len(parts) > 0 && parts[len(parts)-1].rank == rankEnd {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// numberFollows tells whether a token has a number directly behind it: "a" in 1.0a3 is an alpha, in
// 1.0.2a a patch level.
func numberFollows(v string, tokens [][]int, i int) bool {
	if i+1 == len(tokens) {
		return false
	}
	next := tokens[i+1]
	return next[0] == tokens[i][1] && v[next[0]] >= '0' && v[next[0]] <= '9'
}

func newVersionPart(token string, numbered bool) versionPart {
	if token[0] >= '0' && token[0] <= '9' {
		digits := strings.TrimLeft(token, "0")
		if digits == "" {
			return versionPart{rank: rankEnd}
		}
		return versionPart{rankNumber, digits}
	}
	if before[token] > 0 && (numbered || len(token) > 1 || token == "~") {
		return versionPart{rankBefore, token}
	}
	return versionPart{rankWord, token}
}

func partAt(parts []versionPart, i int) versionPart {
	if i < len(parts) {
		return parts[i]
	}
	return versionPart{rank: rankEnd}
}

func comparePart(a, b versionPart) int {
	switch {
	case a.rank != b.rank:
		return cmp.Compare(a.rank, b.rank)
	case a.rank == rankBefore:
		return cmp.Compare(before[a.text], before[b.text])
	case a.rank == rankNumber && len(a.text) != len(b.text):
		return cmp.Compare(len(a.text), len(b.text))
	}
	return cmp.Compare(a.text, b.text)
}

// Constraint is a condition on versions, such as ">=3.8 <4".
type Constraint struct {
	source string
	terms  []term
}

type term struct {
	operator, version string
}

var termForm = regexp.MustCompile(`^(>=|<=|!=|==|=|>|<)?\s*v?([0-9][0-9A-Za-z.+~_:-]*)$`)

// ParseConstraint reads terms with =, !=, <, <=, >, >= before a version, separated by spaces or
// commas; all must hold. A version alone means "=". "=" compares as CompareVersions does: =3.8
// holds for 3.8.0, not for 3.8.1.
func ParseConstraint(s string) (Constraint, error) {
	c := Constraint{source: s}
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	for i := 0; i < len(words); i++ {
		word := words[i]
		if strings.Trim(word, "<>=!") == "" && i+1 < len(words) { // ">= 3.8"
			i++
			word += words[i]
		}
		m := termForm.FindStringSubmatch(word)
		if m == nil {
			return Constraint{}, fmt.Errorf("version constraint %q: want terms such as >=3.8 or <4, not %q", s, word)
		}
		if m[1] == "" || m[1] == "==" {
			m[1] = "="
		}
		c.terms = append(c.terms, term{m[1], m[2]})
	}
	if len(c.terms) == 0 {
		return Constraint{}, fmt.Errorf("version constraint %q: want terms such as >=3.8 or <4", s)
	}
	return c, nil
}

// Holds tells whether a version satisfies all terms. No version satisfies none.
func (c Constraint) Holds(version string) bool {
	if version == "" {
		return false
	}
	for _, t := range c.terms {
		if !t.holds(CompareVersions(version, t.version)) {
			return false
		}
	}
	return true
}

func (t term) holds(order int) bool {
	switch t.operator {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// String returns the constraint as it was written.
func (c Constraint) String() string { return c.source }
