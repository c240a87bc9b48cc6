package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// writeListing writes what a command lists: a table for people, or a JSON line for each of all.
func writeListing[T any](w io.Writer, format string, all []T, table func(io.Writer) error) error {
	switch format {
	case "table":
		return table(w)
	case "jsonl":
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		for _, one := range all {
			if err := lines.Encode(one); err != nil {
				return err
			}
		}
		return nil
	}
	return usagef("--format %q: table or jsonl", format)
}

// dash stands in a table where there is nothing.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// counted is a number with its noun: "1 record", "2 records".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
