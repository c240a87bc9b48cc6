package main

import (
	"io"

	"herald/audit"
	"herald/audit/mail"
)

// mailFormats are the formats of herald mail: those of herald audit.
var mailFormats = audit.Formats

// writeMail writes findings: as their own table and lines, and as audit's in all formats
// that other programs read.
func writeMail(w io.Writer, format string, f *mail.Facts, findings []mail.Finding, s mail.Style) error {
	switch format {
	case "table":
		return mail.WriteTable(w, f, findings, s)
	case "jsonl":
		return mail.WriteLines(w, findings)
	}
	return mailResult(f, findings).Write(w, format, audit.Style{All: s.All, Colour: s.Colour})
}

func mailResult(f *mail.Facts, findings []mail.Finding) *audit.Result {
	r := &audit.Result{
		File: &audit.File{Name: mail.Subject(f), Defaults: audit.Defaults{Unknown: "fail"}, Checks: []audit.Check{&mail.Domains{}, &mail.Trips{}}},
		Made: f.Began,
	}
	for i := range findings {
		one := findings[i].Audit(mail.Subject(f))
		one.File, one.Line = mail.Subject(f), 1
		r.Findings = append(r.Findings, one)
	}
	return r
}

// mailExit is the exit status: that of audit, but a warning that is a fail to nobody is
// none.
func mailExit(format string, f *mail.Facts, findings []mail.Finding) int {
	return mailResult(f, findings).Exit(format)
}
