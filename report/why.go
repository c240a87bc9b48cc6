package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
)

// WhyOptions are by what, and how, reasons are written.
type WhyOptions struct {
	Signatures *fingerprint.Set
	Colour     bool // use colours
	Width      int  // columns, at most; 0 is 100
}

// Why writes why a service is what herald says: for each connection what was done and why,
// what was sent and what came back; then what [WhyHeard] writes.
func Why(w io.Writer, o WhyOptions, s *scan.Service) error {
	e := newExplainer(o)
	title := where(s)
	for _, more := range []string{what(s), product(s)} {
		if more != "" && more != "-" {
			title += "  " + more
		}
	}
	e.b.WriteByte('\n')
	e.line(0, e.paint(title, text.Bold))
	e.connections(s)
	e.heard(s.Claims, s.Evidence())
	if stub := s.Stub(); stub != "" {
		e.head("a signature to be completed")
		e.b.WriteString(indent(stub, "    "))
	}
	_, err := e.b.WriteTo(w)
	return err
}

// WhyHeard writes what is concluded from evidence: each claim with its signature, the
// evidence with the matched bytes marked, who is surer where it disagrees, and, where no
// product is named, the signatures that came nearest and what was missing.
func WhyHeard(w io.Writer, o WhyOptions, title string, claims []fingerprint.Claim, heard []fingerprint.Evidence) error {
	e := newExplainer(o)
	e.b.WriteByte('\n')
	e.line(0, e.paint(Printable(title, 200), text.Bold))
	e.heard(claims, heard)
	_, err := e.b.WriteTo(w)
	return err
}

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

// exchange shows what was said on a connection: a long message by its first lines.
func (e *explainer) exchange(o *probes.Observation) {
	record := o.Exchange()
	for _, event := range record.Events {
		switch event.Mark {
		case '~':
			e.line(8, e.paint("~ "+event.Wait.String()+" of silence", text.Faint))
		case '!':
			e.line(8, e.paint("! "+event.TLS.VersionName()+" "+event.TLS.CipherName(), text.FgYellow))
		default:
			colour, most := text.FgCyan, 4
			if event.Mark == '>' {
				colour, most = text.FgGreen, 2 // our own words are always the same
			}
			lines := bytes.SplitAfter(event.Data, []byte("\n"))
			if n := len(lines); n > 0 && len(lines[n-1]) == 0 {
				lines = lines[:n-1]
			}
			for i, l := range lines {
				if i == most && len(lines) > most+1 {
					e.line(8, e.paint(fmt.Sprintf("%c … %d more lines", event.Mark, len(lines)-most), text.Faint))
					break
				}
				e.line(8, e.paint(string(event.Mark)+" ", text.Faint)+e.paint(text.Snip(Printable(string(l), 400), e.Width-10, "…"), colour))
			}
		}
	}
	if end := record.End; end != "" && end != "left" {
		e.line(8, e.paint(". "+end, text.Faint))
	}
}

// claimed lists the claims, each with how sure it is and where it is from.
func (e *explainer) claimed(claims []fingerprint.Claim) {
	claims = slices.DeleteFunc(slices.Clone(claims), func(c fingerprint.Claim) bool {
		return c.Field == "vendor" || c.Field == "cpe" // follow from product and version
	})
	if len(claims) == 0 {
		return
	}
	several := len(products(claims)) > 1
	values := make([]string, len(claims))
	wide, fields := 0, 12
	for i, c := range claims {
		fields = max(fields, len(c.Field))
		values[i] = Printable(c.Value, 60)
		if several && c.Product != "" && c.Field == "version" {
			values[i] += " of " + Printable(c.Product, 40)
		}
		values[i] = text.Snip(values[i], e.Width/2-4, "…")
		wide = max(wide, text.StringWidthWithoutEscSequences(values[i]))
	}
	e.head("what is claimed")
	for i, c := range claims {
		field := ""
		if i == 0 || claims[i-1].Field != c.Field {
			field = strings.ReplaceAll(c.Field, "_", " ")
		}
		value := values[i]
		pad := strings.Repeat(" ", wide-text.StringWidthWithoutEscSequences(value))
		from := fmt.Sprintf("%3d %%  %s", c.Certainty, Printable(c.Key, 60))
		e.line(4, fmt.Sprintf("%-*s  ", fields, field)+e.paint(value, text.FgGreen)+pad+"  "+e.paint(text.Snip(from, max(4, e.Width-8-fields-wide), "…"), text.Faint))
	}
}

// heard tells what is concluded, and from what.
func (e *explainer) heard(claims []fingerprint.Claim, all []fingerprint.Evidence) {
	e.claimed(claims)
	e.rivals(claims)
	var silent []string // keys that no signature speaks on
	var near []nearMiss
	headed := false
	for _, ev := range all {
		spoken := false
		for _, m := range e.Signatures.Explain(ev) {
			if m.Near {
				near = append(near, nearMiss{ev.Key, m})
				continue
			}
			if !headed {
				e.head("what it is told by")
				headed = true
			}
			if !spoken {
				layer := ""
				if ev.TLS {
					layer = " (inside TLS)"
				}
				e.line(4, e.paint(Printable(ev.Key, 80)+layer, text.Bold))
			}
			spoken = true
			e.match(m)
		}
		if !spoken && !slices.Contains(silent, ev.Key) {
			silent = append(silent, ev.Key)
		}
	}
	named := slices.ContainsFunc(claims, func(c fingerprint.Claim) bool { return c.Field == "product" })
	if !named {
		e.unnamed(all)
		e.nearest(near)
	} else if len(silent) > 0 {
		e.head("heard too, no signature speaks on it")
		for i := range silent {
			silent[i] = Printable(silent[i], 80)
		}
		e.list(4, silent[:min(len(silent), 60)], text.Faint)
	}
}

// unnamed shows what was heard of a server that nobody names: it is what a new signature
// can be made of.
func (e *explainer) unnamed(all []fingerprint.Evidence) {
	const most = 12
	shown := 0
	for _, ev := range all {
		if strings.HasPrefix(ev.Key, "tls.") {
			continue
		}
		if shown == 0 {
			e.head("no product is named; this was heard")
		}
		if shown++; shown > most {
			e.line(4, e.paint("…", text.Faint))
			return
		}
		e.line(4, Printable(ev.Key, 80))
		e.line(6, e.paint(text.Snip(Printable(string(ev.Text), 400), e.Width-6, "…"), text.FgCyan))
	}
}

// nearMiss is a signature that came near to the text of a key.
type nearMiss struct {
	key string
	m   fingerprint.Match
}

func (n nearMiss) followed() int { return n.m.Groups[0].End - n.m.Groups[0].Start }

// nearest tells of the signatures that came nearest, three of all.
func (e *explainer) nearest(near []nearMiss) {
	const most = 3
	near = slices.DeleteFunc(near, func(n nearMiss) bool { return len(n.m.Groups) == 0 || n.followed() < 4 })
	slices.SortStableFunc(near, func(a, b nearMiss) int { return b.followed() - a.followed() })
	if len(near) == 0 {
		return
	}
	e.head("the nearest signatures")
	for _, n := range near[:min(len(near), most)] {
		e.line(4, e.paint(Printable(n.m.Signature.ID, 80), text.FgYellow)+" on "+Printable(n.key, 80))
		took := n.m.Text[n.m.Groups[0].Start:n.m.Groups[0].End]
		words := "goes along with " + quoted(string(took))
		switch {
		case n.m.Wanted != "":
			words += ", then wants " + Printable(n.m.Wanted, 120)
		case n.m.Missing != "":
			words += "; " + quoted(n.m.Missing) + ", or another of its literals, does not occur"
		}
		e.wrap(6, words)
	}
}

// products are the claims of products, the surest first.
func products(claims []fingerprint.Claim) (list []fingerprint.Claim) {
	for _, c := range claims {
		if c.Field == "product" {
			list = append(list, c)
		}
	}
	return list
}

// rivals tells of products that evidence names side by side: which is told, and why.
func (e *explainer) rivals(claims []fingerprint.Claim) {
	list := products(claims)
	if len(list) < 2 {
		return
	}
	e.head("more than one product is named")
	for i, c := range list {
		e.wrap(4, fmt.Sprintf("%s, %d %% sure: %s, in %s (%s)", Printable(c.Value, 60), c.Certainty, sureness(c), Printable(c.Key, 80), Printable(c.Signature, 80)))
		if i > 0 {
			continue
		}
		if list[1].Certainty == c.Certainty {
			e.wrap(6, "told, because it was heard first: others are as sure", text.Faint)
		} else {
			e.wrap(6, "told, because it is the surest", text.Faint)
		}
	}
	e.wrap(4, "Both can be right, where one stands in front of the other or carries it.", text.Faint)
}

// sureness is what a certainty means, in the words of fingerprint/db/README.md.
func sureness(c fingerprint.Claim) string {
	switch {
	case c.Behaviour:
		return "told by behaviour, not by a name"
	case c.Certainty >= 95:
		return "it names itself in a form of its own"
	case c.Certainty >= 80:
		return "it is named in a text that others could write too"
	case c.Certainty >= 60:
		return "a phrase, spelling or order that is known of it alone"
	}
	return "typical of it, and seen elsewhere"
}

func quoted(s string) string { return `"` + Printable(s, 60) + `"` }

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by) + "\n"
}
