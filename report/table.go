package report

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
	"herald/scan"
)

// Table writes an aligned table for people. Rows are sorted by address and port; more
// than a screenful of thousands is written in batches.
type Table struct {
	w       io.Writer
	options TableOptions
	held    []*scan.Service
	counts  map[scan.Verdict]int
	total   int
	spent   Spent
}

// TableOptions are how a table looks.
type TableOptions struct {
	Colour bool             // use colours: a terminal that wants them
	Width  int              // columns of the terminal; 0 is no bound
	Why    *fingerprint.Set // after the rows, why they say what they say, by these signatures; nil for no reasons
}

// NewTable makes a sink that writes to w.
func NewTable(w io.Writer, o TableOptions) *Table {
	return &Table{w: w, options: o, counts: map[scan.Verdict]int{}}
}

const tableBatch = 2000 // rows that are sorted and aligned together

func (t *Table) Write(_ context.Context, s *scan.Service) error {
	t.held = append(t.held, s)
	t.counts[s.Verdict]++
	t.total++
	t.spent.Add(s)
	if len(t.held) >= tableBatch {
		return t.flush()
	}
	return nil
}

// Close writes what is held and a line of counts.
func (t *Table) Close() error {
	if err := t.flush(); err != nil {
		return err
	}
	if t.total == 0 {
		return nil
	}
	var counts []string
	for _, v := range []scan.Verdict{scan.AsExpected, scan.Unexpected, scan.Unknown, scan.Silent, scan.Closed, scan.Filtered, scan.Unresolved, scan.Untried} {
		if n := t.counts[v]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, v))
		}
	}
	summary := []string{fmt.Sprintf("%d %s: %s", t.total, plural(t.total, "endpoint"), strings.Join(counts, ", "))}
	if spent := t.spent.String(); spent != "" {
		summary = append(summary, spent)
	}
	summary = append(summary, t.spent.suspicions()...)
	_, err := io.WriteString(t.w, strings.Join(summary, "\n")+"\n")
	return err
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	if strings.HasSuffix(word, "s") {
		return word + "es"
	}
	return word + "s"
}

func (t *Table) flush() error {
	if len(t.held) == 0 {
		return nil
	}
	slices.SortStableFunc(t.held, func(a, b *scan.Service) int {
		return cmp.Or(a.Endpoint.Addr.Addr().Compare(b.Endpoint.Addr.Addr()), cmp.Compare(a.Target.Port, b.Target.Port))
	})
	r := remarked{options: t.options, header: table.Row{"endpoint", "service", "product", "verdict"}}
	for _, s := range t.held {
		row := table.Row{where(s), what(s), t.paint(product(s), text.FgCyan), t.verdict(s)}
		brief := row
		if s.Verdict == scan.Unexpected && len(s.Expected) == 0 {
			brief = table.Row{row[0], row[1], row[2], t.paint(string(s.Verdict), text.Faint)}
		}
		r.add(row, brief, remarks(s))
	}
	if err := r.write(t.w); err != nil {
		return err
	}
	if t.options.Why != nil {
		for _, s := range t.held {
			if err := Why(t.w, WhyOptions{Signatures: t.options.Why, Colour: t.options.Colour, Width: t.options.Width}, s); err != nil {
				return err
			}
		}
	}
	t.held = t.held[:0]
	return nil
}

func (t *Table) paint(s string, colours ...text.Color) string {
	if !t.options.Colour || s == "" {
		return s
	}
	return text.Colors(colours).Sprint(s)
}
