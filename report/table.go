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
	"herald/wire"
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
	_, err := fmt.Fprintf(t.w, "%d %s: %s\n", t.total, plural(t.total, "endpoint"), strings.Join(counts, ", "))
	if spent := t.spent.String(); err == nil && spent != "" {
		_, err = fmt.Fprintln(t.w, spent)
	}
	everything := t.spent.answerEverything()
	const shown = 10 // addresses
	for _, addr := range everything[:min(len(everything), shown)] {
		if err == nil {
			h := t.spent.hosts[addr]
			_, err = fmt.Fprintf(t.w, "%s accepts connections on all %d ports, and %d are not what the port promises, or not understood: a honeypot or a middlebox may answer for them all\n", addr, h.asked, h.odd)
		}
	}
	if n := len(everything) - shown; n > 0 && err == nil {
		_, err = fmt.Fprintf(t.w, "and %d more addresses like that\n", n)
	}
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

// where is the address with its port, and the name by which it was found.
func where(s *scan.Service) string {
	if !s.Endpoint.Addr.IsValid() {
		return Printable(s.Target.String(), 80)
	}
	at := s.Endpoint.Addr.String()
	if s.Endpoint.Name != "" {
		at += " (" + Printable(s.Endpoint.Name, 60) + ")"
	}
	return at
}

func what(s *scan.Service) string {
	protocol := s.Protocol
	if protocol == "" {
		if s.Security == wire.TLS {
			return "tls, unknown inside"
		}
		return "-"
	}
	if s.Security == wire.TLS || s.Security == wire.StartTLS {
		protocol += " " + string(s.Security)
	}
	return Printable(protocol, 30)
}

func product(s *scan.Service) string {
	name := s.Claim("product")
	if name == "" {
		return ""
	}
	if v := s.Claim("version"); v != "" {
		name += " " + v
	}
	return Printable(name, 60)
}

func (t *Table) verdict(s *scan.Service) string {
	switch s.Verdict {
	case scan.AsExpected:
		return t.paint("expected", text.FgGreen)
	case scan.Unexpected:
		if len(s.Expected) == 0 {
			return t.paint("unexpected: unregistered", text.Faint)
		}
		return t.paint("unexpected: promises "+names(s.Expected), text.FgYellow)
	case scan.Unknown:
		return t.paint("unknown", text.FgMagenta)
	}
	return t.paint(string(s.Verdict), text.Faint)
}

func names(expected []scan.Expected) string {
	var all []string
	for _, e := range expected {
		all = append(all, expectedName(e))
	}
	return strings.Join(all, " or ")
}

// remarks are what else a reader wants at once: the system, the announced name, how sure
// it is, what an unknown server said, what failed.
func remarks(s *scan.Service) string {
	var all []string
	add := func(format string, a ...any) { all = append(all, fmt.Sprintf(format, a...)) }
	if s.Declined {
		add("turns us away")
	}
	if s.Protocol != "" && !s.Confirmed && !s.Declined {
		add("not confirmed")
	}
	if s.Doubt != "" {
		add("may be made up: %s", Printable(s.Doubt, 120))
	}
	for _, field := range []string{"distribution", "os", "device", "component"} {
		if v := s.Claim(field); v != "" {
			add("%s", Printable(v, 50))
		}
	}
	for _, c := range s.Claims {
		if c.Field == "product" && c.Behaviour && c.Value == s.Claim("product") {
			add("told by behaviour, %d %% sure", c.Certainty)
			break
		}
	}
	if s.Greeting.Seconds() >= 1 {
		add("greets after %.1f s", s.Greeting.Seconds())
	}
	if s.Claim("product") == "" {
		if e := firstWords(s); e != nil {
			add("%s: %s", Printable(e.Key, 80), Printable(string(e.Text), 70))
		}
	}
	if f := s.Failure; f != nil && s.Verdict != scan.Closed {
		add("%s", f.Brief())
	}
	return strings.Join(all, "; ")
}

// firstWords are what was heard first of the protocol that was found, or else at all; nil for
// nothing but TLS.
func firstWords(s *scan.Service) *fingerprint.Evidence {
	var first *fingerprint.Evidence
	for _, e := range s.Evidence() {
		switch {
		case strings.HasPrefix(e.Key, "tls."):
		case strings.HasPrefix(e.Key, s.Protocol+"."):
			return &e
		case first == nil:
			first = &e
		}
	}
	return first
}

// Printable is a stranger's text made safe for a terminal: control characters and bytes
// that are no UTF-8 are written as Go escapes, and it is cut to so many characters.
func Printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n >= most {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case !printable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		n++
	}
	return b.String()
}
