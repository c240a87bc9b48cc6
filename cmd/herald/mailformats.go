package main

import (
	"fmt"
	"io"

	"herald/audit/mail"
)

var mailFormats = []string{"table", "jsonl"}

func writeMail(w io.Writer, format string, f *mail.Facts, findings []mail.Finding, s mail.Style) error {
	switch format {
	case "table":
		return mail.WriteTable(w, f, findings, s)
	case "jsonl":
		return mail.WriteLines(w, findings)
	}
	return fmt.Errorf("unknown format %q", format)
}

func mailExit(format string, findings []mail.Finding) int {
	n := mail.Count(findings)
	switch {
	case n[mail.Fail] > 0:
		return 1
	case n[mail.Unknown] > 0:
		return 3
	}
	return 0
}
