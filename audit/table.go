package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/report"
)

var stateColour = map[State]text.Color{Pass: text.FgGreen, Warn: text.FgYellow, Fail: text.FgRed, Unknown: text.FgMagenta, NA: text.Faint}

// table writes one block for each place, and in it what did not pass; the worst come first.
func (r *Result) table(w io.Writer, s Style) error {
	paint := func(word string, colours ...text.Color) string {
		if !s.Colour {
			return word
		}
		return text.Colors(colours).Sprint(word)
	}
	var b strings.Builder
	width := 0
	all := groups(r.Findings)
	slices.SortStableFunc(all, func(a, b []Finding) int {
		return slices.Index(worst, worstOf(a)) - slices.Index(worst, worstOf(b))
	})
	for _, g := range all {
		width = max(width, len(g[0].Service))
	}
	width = min(width, 32)
	for _, g := range all {
		state := worstOf(g)
		head := paint(fmt.Sprintf("%-7s", state), stateColour[state], text.Bold)
		fmt.Fprintf(&b, "%s  %-*s  %s", head, width, report.Printable(g[0].Service, 60), report.Printable(g[0].Where, 80))
		hidden := 0
		for _, f := range g {
			if !s.All && (f.State == Pass || f.State == NA && f.Waived == "") {
				hidden++
			}
		}
		if hidden == len(g) {
			fmt.Fprintf(&b, "  %s", paint(counts(g), text.Faint))
		}
		b.WriteByte('\n')
		for _, f := range g {
			if !s.All && (f.State == Pass || f.State == NA && f.Waived == "") {
				continue
			}
			fmt.Fprintf(&b, "  %s %-20s %s\n", paint(fmt.Sprintf("%-7s", f.State), stateColour[f.State]), f.ID, f.line())
			if f.State == Pass || f.State == NA {
				continue
			}
			for _, more := range [][2]string{{"heard", f.Evidence}, {"mend", f.Fix}} {
				if more[1] != "" {
					fmt.Fprintf(&b, "  %s\n", paint(fmt.Sprintf("%28s %s: %s", "", more[0], report.Printable(more[1], 300)), text.Faint))
				}
			}
		}
	}
	fmt.Fprintf(&b, "%d %s of %s: %s\n", len(r.Findings), plural(len(r.Findings), "expectation"), report.Printable(r.File.Name, 80), counts(r.Findings))
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
