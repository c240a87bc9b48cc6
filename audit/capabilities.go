package audit

import (
	"fmt"
	"slices"
	"strings"

	"herald/report"
)

func (j *judge) capabilities() {
	e := &j.service.Expect
	if e.Capabilities == nil && e.Size.Text == "" {
		return
	}
	list := j.fact.last()
	if e.Capabilities != nil {
		if list == nil {
			j.add(Unknown, "capabilities", e.Capabilities.String(), "the server does not tell")
		} else {
			missing, unwanted := e.Capabilities.against(list)
			seen := difference(missing, unwanted)
			if seen == "" {
				seen = report.Printable(strings.Join(list, ", "), 200)
			}
			j.check(len(missing)+len(unwanted) == 0, "capabilities", e.Capabilities.String(), seen).
				heard(strings.Join(list, ", ")).fix("switch on what is missing and off what is not wanted, in the server's settings")
		}
	}
	if e.Size.Text == "" {
		return
	}
	for _, item := range list {
		word, value, _ := strings.Cut(item, " ")
		if !strings.EqualFold(word, "SIZE") {
			continue
		}
		n, err := parseSize(strings.TrimSpace(value) + "B")
		switch {
		case strings.TrimSpace(value) == "" || err == nil && n == 0: // RFC 1870, 3: no fixed maximum
			j.add(Pass, "size", e.Size.Text, "no fixed maximum")
		case err != nil:
			j.add(Unknown, "size", e.Size.Text, report.Printable(item, 60))
		default:
			j.check(e.Size.Holds(n), "size", e.Size.Text, fmt.Sprintf("%d bytes", n)).fix("set the server's size of messages")
		}
		return
	}
	j.add(Unknown, "size", e.Size.Text, "the server does not tell")
}

// against says which words a list lacks, and which it should not have. A word stands for
// a capability of that name whatever its parameters are; with parameters, all of them
// must be there.
func (l *List) against(list []string) (missing, unwanted []string) {
	has := func(want string) bool {
		return slices.ContainsFunc(list, func(item string) bool { return same(want, item) })
	}
	for _, w := range slices.Concat(l.Contains, l.ConsistOf) {
		if !has(w) && !slices.Contains(missing, w) {
			missing = append(missing, w)
		}
	}
	for _, w := range l.Lacks {
		if has(w) {
			unwanted = append(unwanted, w)
		}
	}
	if len(l.ConsistOf) > 0 {
		for _, item := range list {
			if !slices.ContainsFunc(l.ConsistOf, func(w string) bool { return same(w, item) }) {
				unwanted = append(unwanted, item)
			}
		}
	}
	return missing, unwanted
}

// same says whether a capability is the one that is meant.
func same(want, item string) bool {
	wanted, has := strings.Fields(strings.ToUpper(want)), strings.Fields(strings.ToUpper(item))
	if len(wanted) == 0 || len(has) == 0 || wanted[0] != has[0] {
		return false
	}
	for _, w := range wanted[1:] {
		if !slices.Contains(has[1:], w) {
			return false
		}
	}
	return true
}

func difference(missing, unwanted []string) string {
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "lacks "+strings.Join(missing, ", "))
	}
	if len(unwanted) > 0 {
		parts = append(parts, "has "+strings.Join(unwanted, ", "))
	}
	return report.Printable(strings.Join(parts, "; "), 200)
}
