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
		if len(changes) == 0 {
			b.WriteString("No differences.\n")
			break
		}
		cell := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`)
		b.WriteString("| what | where | field | old | new |\n|---|---|---|---|---|\n")
		for _, c := range changes {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.What, cell.Replace(report.Printable(c.Where, 100)), c.Field, cell.Replace(report.Printable(c.Old, 200)), cell.Replace(report.Printable(c.New, 200)))
		}
	case "table":
		colours := map[string]text.Color{"appeared": text.FgGreen, "gone": text.FgRed, "changed": text.FgYellow}
		for _, c := range changes {
			what := fmt.Sprintf("%-8s", c.What)
			if colour {
				what = colours[c.What].Sprint(what)
			}
			line := c.Where
			if c.Field != "" {
				line += "  " + c.Field
			}
			old, now := report.Printable(c.Old, 120), report.Printable(c.New, 120)
			switch {
			case c.Field == "capabilities":
				var parts []string
				if old != "" {
					parts = append(parts, "lost "+old)
				}
				if now != "" {
					parts = append(parts, "gained "+now)
				}
				now = strings.Join(parts, "; ")
			default:
				now = orNone(old) + " → " + orNone(now)
			}
			fmt.Fprintf(&b, "%s  %s: %s\n", what, report.Printable(line, 120), now)
		}
		b.WriteString(strconv.Itoa(len(changes)) + " " + plural(len(changes), "difference") + "\n")
	default:
		return fmt.Errorf("unknown format %q; allowed: %s", format, strings.Join(DiffFormats, ", "))
	}
	_, err := b.WriteTo(w)
	return err
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
