package main

import (
	"io"
	"path/filepath"

	"herald/fingerprint"
	"herald/report"
	"herald/scan"
)

// resultFlags are the flags that say how results are written.
type resultFlags struct {
	format string // table, jsonl; "" follows from output
	output string // file; "" and "-" are standard output
	why    bool
}

// sink writes results to out in the format that was asked for; set explains the claims of --why.
func (f resultFlags) sink(out io.Writer, set *fingerprint.Set) (scan.Sink, error) {
	switch format := f.formatName(); format {
	case "table":
		width, _ := terminal(out)
		o := report.TableOptions{Colour: colourful(out), Width: width}
		if f.why {
			o.Why = set
		}
		return report.NewTable(out, o), nil
	case "jsonl":
		return report.NewJSONLines(out, 0), nil
	default:
		return nil, usagef("--format %q: table or jsonl", format)
	}
}

func (f resultFlags) formatName() string {
	if f.format != "" {
		return f.format
	}
	if ext := filepath.Ext(f.output); ext == ".jsonl" || ext == ".json" {
		return "jsonl"
	}
	return "table"
}
