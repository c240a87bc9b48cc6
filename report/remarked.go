package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// remarked is a table whose last column is remarks, which are of any length. Where the
// terminal has no room for a row with its remarks, they stand below, indented.
type remarked struct {
	options TableOptions
	header  table.Row // without that of the remarks
	rows    []table.Row
	brief   []table.Row // the same in fewer words, for a terminal that has no room for all
	remarks []string
}

func (r *remarked) add(row, brief table.Row, remarks string) {
	r.rows = append(r.rows, row)
	r.brief = append(r.brief, brief)
	r.remarks = append(r.remarks, remarks)
}

func (r *remarked) write(w io.Writer) error {
	wide := newWriter(r.options)
	wide.AppendHeader(append(r.header[:len(r.header):len(r.header)], "remarks"))
	for i, row := range r.rows {
		wide.AppendRow(append(row[:len(row):len(row)], r.remarks[i]))
	}
	rendered := wide.Render()
	if r.options.Width == 0 || text.LongestLineLen(rendered) <= r.options.Width {
		_, err := fmt.Fprintln(w, rendered)
		return err
	}
	narrow := newWriter(r.options)
	narrow.AppendHeader(r.header)
	narrow.AppendRows(r.brief)
	lines := strings.Split(narrow.Render(), "\n") // no cell has a line end
	for i, line := range lines {
		sign := "…"
		if i == 0 {
			sign = "" // in colour, the header ends in spaces
		}
		if _, err := fmt.Fprintln(w, text.Snip(line, r.options.Width, sign)); err != nil {
			return err
		}
		if i == 0 || r.remarks[i-1] == "" {
			continue
		}
		const indent = "    "
		for part := range strings.SplitSeq(text.WrapSoft(r.remarks[i-1], max(r.options.Width-len(indent), 20)), "\n") {
			if _, err := fmt.Fprintln(w, indent+strings.TrimSpace(part)); err != nil {
				return err
			}
		}
	}
	return nil
}

// newWriter makes the frameless table that all listings for people are.
func newWriter(o TableOptions) table.Writer {
	tw := table.NewWriter()
	style := table.StyleDefault
	style.Box = table.BoxStyle{PaddingRight: "  "}
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatUpper
	if o.Colour {
		style.Color.Header = text.Colors{text.Bold}
	}
	tw.SetStyle(style)
	tw.SuppressTrailingSpaces()
	return tw
}
