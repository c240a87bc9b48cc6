package report

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// connections tells each connection: the steps with their reasons, and what was said.
func (e *explainer) connections(s *scan.Service) {
	if len(s.Steps) == 0 {
		return
	}
	byNumber := map[int]*probes.Observation{}
	for _, o := range s.Seen {
		byNumber[o.Connection] = o
	}
	e.head("what was done")
	told := 0
	for i, step := range s.Steps {
		number := "  "
		if step.Connection != told {
			number, told = fmt.Sprintf("%d ", step.Connection), step.Connection
		}
		line := Printable(step.What, 200)
		if step.Why != "" {
			line += ": " + Printable(step.Why, 300)
		}
		for j, part := range strings.Split(text.WrapSoft(line, e.Width-8), "\n") {
			if j > 0 {
				number = "    "
			}
			e.line(4, number+strings.TrimRight(part, " "))
		}
		last := !slices.ContainsFunc(s.Steps[i+1:], func(later scan.Step) bool { return later.Connection == step.Connection })
		if o := byNumber[step.Connection]; last && o != nil {
			e.exchange(o)
		}
	}
}

// exchange shows what was said on a connection, and how it ended.
func (e *explainer) exchange(o *probes.Observation) {
	record := o.Exchange()
	for _, event := range record.Events {
		switch event.Mark {
		case '~':
			e.line(8, e.paint("~ "+event.Wait.String()+" of silence", text.Faint))
		case '!':
			e.line(8, e.paint("! "+event.TLS.VersionName()+" "+event.TLS.CipherName(), text.FgYellow))
		default:
			e.message(event)
		}
	}
	if end := record.End; end != "" && end != "left" {
		e.line(8, e.paint(". "+end, text.Faint))
	}
}

// message shows what one side said, by its first lines.
func (e *explainer) message(m wire.Event) {
	colour, most := text.FgCyan, 4
	if m.Mark == '>' {
		colour, most = text.FgGreen, 2 // our own words are always the same
	}
	lines := slices.Collect(bytes.Lines(m.Data))
	for i, l := range lines {
		if i == most && len(lines) > most+1 {
			e.line(8, e.paint(fmt.Sprintf("%c … %d more lines", m.Mark, len(lines)-most), text.Faint))
			break
		}
		e.line(8, e.paint(string(m.Mark)+" ", text.Faint)+e.paint(text.Snip(Printable(string(l), 400), e.Width-10, "…"), colour))
	}
}
