package audit

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// The XML that JUnit's Ant task writes, as CI servers read it: a suite a service, a case
// an expectation.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string     `xml:"name,attr"`
		Class   string     `xml:"classname,attr"`
		File    string     `xml:"file,attr,omitempty"`
		Line    int        `xml:"line,attr,omitempty"`
		Failure *junitText `xml:"failure"`
		Error   *junitText `xml:"error"`
		Skipped *junitText `xml:"skipped"`
		Out     string     `xml:"system-out,omitempty"`
	}
	junitText struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

func (r *Result) junit(w io.Writer) error {
	top := junitSuites{Name: "herald audit " + r.File.Name}
	for _, g := range groups(r.Findings) {
		s := junitSuite{Name: g[0].Service + " " + g[0].Where, Timestamp: r.Made.UTC().Format(time.RFC3339)}
		for i := range g {
			f := &g[i]
			c := junitCase{Name: f.ID, Class: f.Service + "." + f.Where, File: f.File, Line: f.Line}
			said := &junitText{Message: f.line(), Type: f.ID, Text: f.details()}
			switch f.State {
			case Fail:
				c.Failure = said
				s.Failures++
			case Unknown:
				if r.File.Defaults.Unknown == "fail" {
					c.Error = said
					s.Errors++
				} else {
					c.Skipped = &junitText{Message: "unknown: " + f.line()}
					s.Skipped++
				}
			case NA:
				c.Skipped = &junitText{Message: f.line()}
				s.Skipped++
			case Warn:
				c.Out = "warning: " + f.line() + "\n" + f.details()
			}
			s.Tests++
			s.Cases = append(s.Cases, c)
		}
		top.Tests, top.Failures, top.Errors, top.Skipped = top.Tests+s.Tests, top.Failures+s.Failures, top.Errors+s.Errors, top.Skipped+s.Skipped
		top.Suites = append(top.Suites, s)
	}
	text, err := xml.MarshalIndent(top, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

// details are what stands below a finding's line.
func (f *Finding) details() string {
	var parts []string
	for _, p := range [][2]string{{"where", f.Where}, {"expected", f.Expected}, {"seen", f.Seen}, {"heard", f.Evidence}, {"mend", f.Fix}} {
		if p[1] != "" {
			parts = append(parts, p[0]+": "+p[1])
		}
	}
	return strings.Join(parts, "\n")
}
