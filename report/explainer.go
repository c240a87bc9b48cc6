package report

import (
	"bytes"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// explainer writes reasons into a buffer.
type explainer struct {
	WhyOptions
	b    bytes.Buffer
	told map[string]bool // what was told of a signature and its claims
}

func newExplainer(o WhyOptions) *explainer {
	if o.Width == 0 {
		o.Width = 100
	}
	o.Width = max(40, min(o.Width, 160))
	return &explainer{WhyOptions: o, told: map[string]bool{}}
}

func (e *explainer) paint(s string, colours ...text.Color) string {
	if !e.Colour || s == "" {
		return s
	}
	return text.Colors(colours).Sprint(s)
}

// line writes one line; what it holds is printable and short enough already.
func (e *explainer) line(indent int, s string) {
	e.b.WriteString(strings.Repeat(" ", indent) + strings.TrimRight(s, " ") + "\n")
}

// wrap writes words in lines that are not longer than the width.
func (e *explainer) wrap(indent int, words string, colours ...text.Color) {
	for line := range strings.SplitSeq(text.WrapSoft(words, e.Width-indent), "\n") {
		e.line(indent, e.paint(strings.TrimRight(line, " "), colours...))
	}
}

// list writes items with commas between, none of them broken over two lines.
func (e *explainer) list(indent int, items []string, colours ...text.Color) {
	line := ""
	for i, item := range items {
		if i+1 < len(items) {
			item += ","
		}
		if line != "" && text.StringWidthWithoutEscSequences(line+" "+item) > e.Width-indent {
			e.line(indent, e.paint(line, colours...))
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += item
	}
	e.wrap(indent, line, colours...)
}

func (e *explainer) head(s string) { e.line(2, e.paint(s, text.Bold, text.FgBlue)) }

func quoted(s string) string { return `"` + Printable(s, 60) + `"` }

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by) + "\n"
}
