package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"herald/report"
)

// Result is a verdict to be written.
type Result struct {
	File     *File
	Findings []Finding
	Made     time.Time // when the facts were gathered
}

// Style is how a table looks.
type Style struct {
	Colour bool
	All    bool // also what passed or does not apply
}

// Formats are the names of the formats that [Result.Write] knows.
var Formats = []string{"table", "jsonl", "junit", "sarif", "tap", "tap13", "github", "nagios"}

// Write writes the verdict in a format of [Formats].
func (r *Result) Write(w io.Writer, format string, s Style) error {
	shown := *r
	if r.File.Defaults.Unknown == "ignore" {
		shown.Findings = slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.State == Unknown })
	}
	if format == "jsonl" || format == "sarif" {
		w = report.SafeJSON(w)
	} else {
		shown.Findings = printable(shown.Findings)
	}
	switch format {
	case "table":
		return shown.table(w, s)
	case "jsonl":
		return shown.jsonLines(w)
	case "junit":
		return shown.junit(w)
	case "sarif":
		return shown.sarif(w)
	case "tap":
		return shown.tap(w, 14)
	case "tap13":
		return shown.tap(w, 13)
	case "github":
		return shown.github(w)
	case "nagios":
		_, err := fmt.Fprintln(w, shown.nagios())
		return err
	}
	return fmt.Errorf("unknown format %q; allowed: %s", format, strings.Join(Formats, ", "))
}

// printable are the findings with what is not for showing escaped: they cite servers, and
// names out of lists.
func printable(findings []Finding) []Finding {
	const most = 2000 // characters of a field
	safe := slices.Clone(findings)
	for i := range safe {
		f := &safe[i]
		for _, s := range []*string{&f.Service, &f.Where, &f.Expected, &f.Seen, &f.Evidence, &f.Fix, &f.Waived, &f.File} {
			*s = report.Printable(*s, most)
		}
	}
	return safe
}

// Exit is the exit status that a format's readers understand.
func (r *Result) Exit(format string) int {
	v := VerdictOf(r.Findings)
	if format == "nagios" {
		return r.nagiosState()
	}
	return v.Exit(r.File.Defaults.Unknown)
}

func (r *Result) jsonLines(w io.Writer) error {
	e := json.NewEncoder(w)
	for i := range r.Findings {
		if err := e.Encode(&r.Findings[i]); err != nil {
			return err
		}
	}
	return nil
}

// line is a finding in one sentence, safe for a terminal.
func (f *Finding) line() string {
	s := ""
	if f.Expected != "" {
		s = "expected " + f.Expected
	}
	if f.Seen != "" {
		if s != "" {
			s += "; "
		}
		s += "seen " + f.Seen
	}
	if f.Waived != "" {
		s += "; waived: " + f.Waived
	}
	return report.Printable(s, 500)
}

// counts is "3 fail, 1 warn, 20 pass".
func counts(findings []Finding) string {
	v := VerdictOf(findings)
	var parts []string
	for _, s := range worst {
		if n := v.Count[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	if len(parts) == 0 {
		return "nothing was judged"
	}
	return strings.Join(parts, ", ")
}

// groups are the findings by service and place, in their order.
func groups(findings []Finding) [][]Finding {
	var all [][]Finding
	for _, f := range findings {
		n := len(all) - 1
		if n >= 0 && all[n][0].Service == f.Service && all[n][0].Where == f.Where {
			all[n] = append(all[n], f)
			continue
		}
		all = append(all, []Finding{f})
	}
	return all
}

// worstOf is the worst state among findings.
func worstOf(findings []Finding) State {
	state := NA
	for _, f := range findings {
		if slices.Index(worst, f.State) < slices.Index(worst, state) {
			state = f.State
		}
	}
	return state
}
