package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Waiver says that a finding is known and borne for a while.
type Waiver struct {
	Finding   string // id, see [Kinds]
	Where     string // id of a service, or a place
	Reason    string
	Until     time.Time // the last day on which it holds, UTC
	Line, Col int
}

func (r *reader) waivers(n ast.Node, f *File) error {
	return r.each(func(n ast.Node) error {
		var w Waiver
		w.Line, w.Col = position(r.plain(n))
		err := r.mapping(n, properties{
			"finding": parsed(r, &w.Finding, func(s string) (string, error) {
				if allowed := f.waivable(); !slices.Contains(allowed, s) {
					return "", fmt.Errorf("unknown finding %q; allowed: %s", s, strings.Join(allowed, ", "))
				}
				return s, nil
			}),
			"where":  r.text(&w.Where),
			"reason": r.text(&w.Reason),
			"until": parsed(r, &w.Until, func(s string) (time.Time, error) {
				t, err := time.Parse(time.DateOnly, s)
				if err != nil {
					err = fmt.Errorf("%q: want a day, like 2027-01-31", s)
				}
				return t, err
			}),
		})
		switch {
		case err != nil:
			return err
		case w.Finding == "":
			return at(n, "a waiver without \"finding\"")
		case w.Where == "":
			return at(n, "a waiver without \"where\", the service that it is about")
		case w.Reason == "":
			return at(n, "a waiver without \"reason\"")
		case w.Until.IsZero():
			return at(n, "a waiver without \"until\": it must end")
		}
		f.Waivers = append(f.Waivers, w)
		return nil
	})(n)
}

// waivable are the ids of findings that a waiver may be about.
func (f *File) waivable() []string {
	var all []string
	for _, k := range f.Kinds() {
		if !strings.HasPrefix(k.ID, "waiver-") {
			all = append(all, k.ID)
		}
	}
	slices.Sort(all)
	return all
}

// Kinds are all kinds of finding that judging the file can give.
func (f *File) Kinds() []Kind {
	all := slices.Clone(Kinds)
	for _, c := range f.Checks {
		all = append(all, c.Kinds()...)
	}
	return all
}

// covers says whether the waiver is about a finding.
func (w *Waiver) covers(f *Finding) bool {
	if w.Finding != f.ID || f.State == Pass || f.State == NA {
		return false
	}
	place, _, _ := strings.Cut(f.Where, " ")
	return w.Where == f.Service || strings.EqualFold(w.Where, place)
}

// waive applies a file's waivers. One whose time is over covers nothing and is a finding,
// as is one that covers nothing.
func waive(file *File, findings []Finding, now time.Time) []Finding {
	for _, w := range file.Waivers {
		over := !now.Before(w.Until.AddDate(0, 0, 1))
		used := false
		for i := range findings {
			if !over && w.covers(&findings[i]) {
				findings[i].State, findings[i].Waived, used = NA, w.Reason, true
			}
		}
		f := Finding{State: Fail, Service: w.Where, Where: w.Where, Expected: "a waiver of " + w.Finding + " (" + w.Reason + ")", File: file.Name, Line: w.Line, Column: w.Col}
		switch {
		case over:
			f.ID, f.Seen = "waiver-expired", "it held until "+w.Until.Format(time.DateOnly)
			f.Fix = "mend what it covered, or decide anew and give it another day"
		case !used:
			f.ID, f.Seen = "waiver-unused", "there is no such finding"
			f.Fix = "remove the waiver"
		default:
			continue
		}
		k, _ := KindNamed(f.ID)
		f.Severity = k.Severity
		findings = append(findings, f)
	}
	return findings
}
