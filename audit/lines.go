package audit

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"herald/report"
)

// tap writes the Test Anything Protocol, version 13 or 14: a point an expectation, with
// its details as YAML.
func (r *Result) tap(w io.Writer, version int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "TAP version %d\n1..%d\n", version, len(r.Findings))
	for i := range r.Findings {
		f := &r.Findings[i]
		word, directive := "ok", ""
		switch f.State {
		case Fail:
			word = "not ok"
		case Unknown:
			word = "not ok"
			if r.File.Defaults.Unknown != "fail" {
				directive = " # TODO unknown"
			}
		case Warn:
			word, directive = "not ok", " # TODO warning"
		case NA:
			directive = " # SKIP " + tapText(f.line())
		}
		fmt.Fprintf(&b, "%s %d - %s%s\n", word, i+1, tapText(f.Service+" "+f.Where+" "+f.ID), directive)
		if f.State == Pass || f.State == NA {
			continue
		}
		b.WriteString("  ---\n")
		for _, p := range [][2]string{{"state", string(f.State)}, {"severity", f.Severity}, {"expected", f.Expected}, {"seen", f.Seen}, {"heard", f.Evidence}, {"mend", f.Fix}} {
			if p[1] != "" {
				fmt.Fprintf(&b, "  %s: %s\n", p[0], strconv.QuoteToGraphic(p[1]))
			}
		}
		b.WriteString("  ...\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// tapText keeps a number sign from beginning a directive.
func tapText(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(report.Printable(s, 300), `\`, `\\`), "#", `\#`)
}

// github writes workflow commands, which GitHub shows at the line of the file.
func (r *Result) github(w io.Writer) error {
	var b strings.Builder
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	for i := range r.Findings {
		f := &r.Findings[i]
		command := map[State]string{Fail: "error", Warn: "warning", Unknown: "warning"}[f.State]
		if command == "" {
			continue
		}
		if f.State == Unknown && r.File.Defaults.Unknown == "fail" {
			command = "error"
		}
		text := f.Service + " at " + f.Where + ": " + f.line()
		if f.Fix != "" {
			text += "\nTo mend it: " + f.Fix
		}
		fmt.Fprintf(&b, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", command, property.Replace(f.File), max(f.Line, 1), max(f.Column, 1), property.Replace(string(f.State)+" "+f.ID), data.Replace(text))
	}
	fmt.Fprintf(&b, "::notice file=%s,title=herald audit::%s\n", property.Replace(r.File.Name), data.Replace(counts(r.Findings)))
	_, err := io.WriteString(w, b.String())
	return err
}

// nagiosState is the exit status of a monitoring plugin: OK, WARNING, CRITICAL, UNKNOWN.
func (r *Result) nagiosState() int {
	v := VerdictOf(r.Findings)
	unknown := r.File.Defaults.Unknown
	switch {
	case v.Count[Fail] > 0:
		return 2
	case v.Count[Unknown] > 0 && unknown == "fail":
		return 3
	case v.Count[Warn] > 0, v.Count[Unknown] > 0 && unknown == "warn":
		return 1
	}
	return 0
}

// nagios is the one line of a monitoring plugin: a state, the worst findings, performance
// data.
func (r *Result) nagios() string {
	state := [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[r.nagiosState()]
	var told []string
	for _, s := range []State{Fail, Unknown, Warn} {
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.State == s && len(told) < 3 {
				told = append(told, fmt.Sprintf("%s %s: %s", f.Service, f.ID, f.line()))
			}
		}
	}
	text := counts(r.Findings)
	if len(told) > 0 {
		text += ": " + strings.Join(told, "; ")
	}
	v := VerdictOf(r.Findings)
	return fmt.Sprintf("HERALD %s - %s | pass=%d warn=%d fail=%d unknown=%d", state, strings.ReplaceAll(text, "|", "/"), v.Count[Pass], v.Count[Warn], v.Count[Fail], v.Count[Unknown])
}
