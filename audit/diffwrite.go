package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/report"
)

// WriteChanges writes changes in a format of [DiffFormats].
func WriteChanges(w io.Writer, changes []Change, format string, colour bool) error {
	var b bytes.Buffer
	switch format {
	case "jsonl":
		e := json.NewEncoder(report.SafeJSON(&b))
		for _, c := range changes {
			if err := e.Encode(c); err != nil {
				return err
			}
		}
	case "markdown":
		markdownChanges(&b, changes)
	case "table":
		for _, c := range changes {
			b.WriteString(c.line(colour) + "\n")
		}
		b.WriteString(strconv.Itoa(len(changes)) + " " + plural(len(changes), "difference") + "\n")
	default:
		return fmt.Errorf("unknown format %q; allowed: %s", format, strings.Join(DiffFormats, ", "))
	}
	_, err := b.WriteTo(w)
	return err
}

func markdownChanges(b *bytes.Buffer, changes []Change) {
	if len(changes) == 0 {
		b.WriteString("No differences.\n")
		return
	}
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`)
	b.WriteString("| what | where | field | old | new |\n|---|---|---|---|---|\n")
	for _, c := range changes {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", c.What, cell.Replace(report.Printable(c.Where, 100)), c.Field, cell.Replace(report.Printable(c.Old, 200)), cell.Replace(report.Printable(c.New, 200)))
	}
}

// line is a change for people.
func (c Change) line(colour bool) string {
	what := fmt.Sprintf("%-8s", c.What)
	if colour {
		what = map[string]text.Color{"appeared": text.FgGreen, "gone": text.FgRed, "changed": text.FgYellow}[c.What].Sprint(what)
	}
	where := c.Where
	if c.Field != "" {
		where += "  " + c.Field
	}
	old, now := report.Printable(c.Old, 120), report.Printable(c.New, 120)
	change := orNone(old) + " → " + orNone(now)
	if c.Field == "capabilities" {
		var parts []string
		if old != "" {
			parts = append(parts, "lost "+old)
		}
		if now != "" {
			parts = append(parts, "gained "+now)
		}
		change = strings.Join(parts, "; ")
	}
	return what + "  " + report.Printable(where, 120) + ": " + change
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
