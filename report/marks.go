package report

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
)

// match tells what one signature took from a text, and what it makes of it.
func (e *explainer) match(m fingerprint.Match) {
	const most = 4 // lines of a text
	var claims []string
	for _, c := range m.Claims {
		if c.Field != "vendor" { // follows from the product
			claims = append(claims, c.Field+" "+Printable(c.Value, 100))
		}
	}
	if again := m.Signature.ID + "\n" + strings.Join(claims, "\n"); e.told[again] {
		e.wrap(6, "the same, by "+Printable(m.Signature.ID, 80), text.Faint)
		return
	} else {
		e.told[again] = true
	}
	shown := 0
	for at := 0; at < len(m.Text) && shown < most; {
		end := len(m.Text)
		if n := bytes.IndexByte(m.Text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if e.worthShowing(m, at, end) {
			e.marked(m, at, end)
			shown++
		}
		at = end
	}
	if len(claims) == 0 {
		claims = []string{"nothing that could be claimed"}
	}
	e.list(6, claims, text.FgGreen)
	how := ""
	if m.Signature.Behaviour {
		how = ", told by behaviour"
	}
	if m.Signature.Adds {
		how += ", beside whatever else is told"
	}
	e.wrap(6, fmt.Sprintf("by %s, %d %% sure%s", Printable(m.Signature.ID, 80), m.Signature.Certainty, how), text.Faint)
	e.wrap(6, "source: "+Printable(m.Signature.Source, 300), text.Faint)
}

// worthShowing says whether a line has something of the match in it: a group, or its beginning.
func (e *explainer) worthShowing(m fingerprint.Match, at, end int) bool {
	for i, g := range m.Groups {
		switch {
		case i == 0 && g.Start >= at && g.Start < end:
			return true
		case i > 0 && g.Name != "" && g.End > g.Start && g.Start < end && g.End > at:
			return true
		}
	}
	return false
}

// cell is a character of a line as it is shown, with its marks.
type cell struct {
	shown string
	width int
	mark  byte // ' ', '-' for what the pattern took, '^' for a group
}

// marked writes the part of a line around what was matched, and under it the marks and
// the names of the groups.
func (e *explainer) marked(m fingerprint.Match, at, end int) {
	line := bytes.TrimRight(m.Text[at:end], "\r\n")
	cells, first := cellsOf(m, line, at)
	var names []string
	for _, g := range m.Groups[min(1, len(m.Groups)):] {
		if g.Name != "" && g.End > g.Start && g.Start < at+len(line) && g.End > at {
			names = append(names, g.Name)
		}
	}
	room := e.Width - 8
	cells, before, after := window(cells, first, room)
	var shown, marks strings.Builder
	if before {
		shown.WriteString("…")
		marks.WriteByte(' ')
	}
	for _, c := range cells {
		switch c.mark {
		case '^':
			shown.WriteString(e.paint(c.shown, text.Bold, text.FgCyan))
		case '-':
			shown.WriteString(e.paint(c.shown, text.FgCyan))
		default:
			shown.WriteString(c.shown)
		}
		marks.WriteString(strings.Repeat(string(c.mark), c.width))
	}
	if after {
		shown.WriteString("…")
	}
	e.line(6, shown.String())
	under := strings.TrimRight(marks.String(), " ")
	if under == "" {
		return
	}
	label := strings.Join(names, ", ")
	if len(under)+2+len(label) > e.Width-6 {
		e.line(6, e.paint(under, text.FgYellow))
		if label != "" {
			e.line(6, e.paint("^ "+label, text.FgYellow))
		}
		return
	}
	e.line(6, e.paint(under+"  "+label, text.FgYellow))
}

// cellsOf are the characters of a line that begins at a place of the text, and the index of
// the first that is worth seeing: that of a group, or of the match.
func cellsOf(m fingerprint.Match, line []byte, at int) (cells []cell, first int) {
	const longest = 4 << 10 // bytes of a line that are looked at
	first = -1
	group := -1
	for i := 0; i < len(line) && i < longest; {
		_, n := utf8.DecodeRune(line[i:])
		c := cell{shown: Printable(string(line[i:i+n]), 8), mark: ' '}
		c.width = text.StringWidthWithoutEscSequences(c.shown)
		for k, g := range m.Groups {
			if at+i < g.Start || at+i >= g.End {
				continue
			}
			if k == 0 {
				c.mark = '-'
			} else if g.Name != "" {
				c.mark = '^'
			}
		}
		if c.mark != ' ' && first < 0 {
			first = len(cells)
		}
		if c.mark == '^' && group < 0 {
			group = len(cells)
		}
		cells = append(cells, c)
		i += n
	}
	if group >= 0 {
		first = group
	}
	return cells, max(first, 0)
}

// window is the part of a line that fits, beginning a little before what is worth seeing
// where that would not be in sight.
func window(cells []cell, first, room int) (part []cell, before, after bool) {
	fits := func(from int) (to int) {
		used := 0
		for to = from; to < len(cells) && used+cells[to].width <= room; to++ {
			used += cells[to].width
		}
		return to
	}
	from := 0
	if to := fits(0); to < len(cells) && first > to-room/4 {
		from = max(0, first-room/4)
	}
	to := fits(from)
	return cells[from:to], from > 0, to < len(cells)
}
