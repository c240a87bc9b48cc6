package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"herald/resolve"
)

// Style is how a report for people looks.
type Style struct {
	Colour bool
	All    bool // a row for each place also where all is well
	Why    bool // under each row its rule, evidence and fix
	Width  int  // columns of the terminal; 0 is no bound
}

// WriteTable writes the report for people: the verdict in a line; for each area what
// fails, warns, is unknown, passes and does not apply; the stages of each conversation
// with their times; what TLS changed; and what it cost.
func WriteTable(w io.Writer, f *Facts, findings []Finding, s Style) error {
	p := &printer{w: w, s: s}
	p.verdict(f, findings)
	for _, area := range Areas {
		p.area(area, findings)
	}
	p.stages(f)
	p.trip(f.RoundTrip)
	p.differences(f)
	p.cost(f)
	return p.err
}

// WriteLines writes the findings as JSON, one a line.
func WriteLines(w io.Writer, findings []Finding) error {
	for i := range findings {
		text, err := json.Marshal(findings[i])
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", asciiJSON(text)); err != nil {
			return err
		}
	}
	return nil
}

// asciiJSON writes what a terminal might obey as escapes (RFC 8259, 7).
func asciiJSON(text []byte) string {
	var b strings.Builder
	for _, r := range string(text) {
		if safe(r) {
			b.WriteRune(r)
		} else if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func safe(r rune) bool {
	return r != utf8.RuneError && unicode.IsPrint(r) && !unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs)
}

// clean makes a stranger's words fit for a terminal: one line, nothing that moves the
// cursor or hides.
func clean(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case safe(r):
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		default:
			fmt.Fprintf(&b, `\x%x`, s[i:i+n])
		}
		i += n
	}
	return b.String()
}

type printer struct {
	w   io.Writer
	s   Style
	err error
}

func (p *printer) line(format string, a ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", a...)
	}
}

var colours = map[State]string{Fail: "31;1", Warn: "33", Unknown: "35", Pass: "32", NA: "90"}

func (p *printer) paint(state State, text string) string {
	if !p.s.Colour {
		return text
	}
	return "\x1b[" + colours[state] + "m" + text + "\x1b[0m"
}

func (p *printer) bold(text string) string {
	if !p.s.Colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

func subject(f *Facts) string {
	return cmp.Or(f.Question.Domain, f.Question.Host, strings.Join(f.Question.Services, ", "))
}

func (p *printer) verdict(f *Facts, findings []Finding) {
	n := Count(findings)
	state, severity := Worst(findings)
	word := string(state)
	if severity != "" {
		word += " (" + string(severity) + ")"
	}
	defer p.breaksFirst(f, findings)
	p.line("%s: %s: %d fail, %d warn, %d unknown, %d pass, %d do not apply", p.bold(clean(subject(f))), p.paint(state, word), n[Fail], n[Warn], n[Unknown], n[Pass], n[NA])
}

// breaksFirst tells of the date that comes first, which is nobody's fault yet.
func (p *printer) breaksFirst(f *Facts, findings []Finding) {
	for _, x := range findings {
		if x.Check == "C4" && x.State == Pass && x.Where == subject(f) {
			p.line("%s", clean(x.Text))
		}
	}
}

func (p *printer) area(area string, findings []Finding) {
	rows := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Area != area })
	if len(rows) == 0 {
		return
	}
	p.line("\n%s", p.bold(strings.ToUpper(area)))
	var idle []string // checks without anything to judge: told in one line
	if !p.s.All {
		rows = slices.DeleteFunc(rows, func(f Finding) bool {
			if f.Text == nothingHere {
				idle = append(idle, f.Check)
			}
			return f.Text == nothingHere
		})
	}
	for len(rows) > 0 {
		f := rows[0]
		alike := func(o Finding) bool {
			if o.State != f.State || o.Check != f.Check {
				return false
			}
			return f.good() && !p.s.All || !f.good() && o.Text == f.Text && o.Fix == f.Fix && o.Severity == f.Severity
		}
		var wheres []string
		oneText := true
		for _, o := range rows {
			if !alike(o) {
				continue
			}
			oneText = oneText && o.Text == f.Text
			if !slices.Contains(wheres, o.Where) {
				wheres = append(wheres, o.Where)
			}
		}
		if len(wheres) > 1 && f.good() && (f.State == Pass || !oneText) {
			f.Text = "" // the reason that something does not apply is told, if it is one
		}
		p.row(f, wheres)
		if f.good() && p.s.All {
			rows = rows[1:]
		} else {
			rows = slices.DeleteFunc(rows, alike)
		}
	}
	if len(idle) > 0 {
		p.line("  %s          %s: %s", p.paint(NA, fmt.Sprintf("%-7s", NA)), strings.Join(idle, ", "), nothingHere)
	}
}

// good says that there is nothing to do.
func (f *Finding) good() bool { return f.State == Pass || f.State == NA }

// row is a finding, and where else the same was found.
func (p *printer) row(f Finding, wheres []string) {
	severity, where, text := "", clean(f.Where), clean(f.Text)
	if !f.good() {
		severity = string(f.Severity)
	}
	const most = 3 // places that are named
	switch n := len(wheres); {
	case n < 2:
		if f.good() && !p.s.All && !p.s.Why {
			text = clipRunes(text, 100)
		}
	case f.good():
		where = fmt.Sprintf("%d places", n)
	default:
		for _, w := range wheres[1:min(n, most)] {
			where += ", " + clean(w)
		}
		if n > most {
			where += fmt.Sprintf(" and %d more places", n-most)
		}
	}
	if text != "" {
		text = ": " + text
	}
	p.line("  %s %-8s %-4s %s: %s%s", p.paint(f.State, fmt.Sprintf("%-7s", f.State)), severity, f.Check, titleOf(f.Check), where, text)
	if !f.good() && f.Fix != "" {
		p.more("→ " + clean(f.Fix))
	}
	if !f.good() && f.Record != "" {
		p.more("  " + clean(f.Record))
	}
	if !p.s.Why || f.good() && len(wheres) > 1 && !p.s.All {
		return
	}
	if !f.good() || p.s.All {
		p.more("rule: " + f.Rule + " (" + f.Ref + ")")
	}
	for _, e := range f.Evidence {
		for part := range strings.SplitSeq(strings.TrimRight(e, "\r\n"), "\n") {
			p.more("| " + clean(strings.TrimRight(part, "\r")))
		}
	}
}

// more is a line that belongs to the row above.
func (p *printer) more(text string) { p.line("%25s%s", "", text) }

func clipRunes(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

func titleOf(id string) string {
	for _, c := range Checks {
		if c.ID == id {
			return c.Title
		}
	}
	return id
}

// stages are hosts × stages, with times.
func (p *printer) stages(f *Facts) {
	if len(f.Services) == 0 || p.err != nil {
		return
	}
	p.line("\n%s", p.bold("STAGES (milliseconds)"))
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  service\tconnect\tgreeting\thello\ttls\tagain\trcpt\tquit\tserver")
	closed := 0
	for _, s := range f.Services {
		if s.closed() && !isMX(s) {
			closed++
			continue
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", clean(s.Where()), dial(s), took(s, false, "greeting"), hello(s, false), handshakeMS(s), hello(s, true), took(s, true, "rcpt-postmaster"), took(s, true, "quit")+took(s, true, "logout"), clean(productOf(s)))
	}
	p.err = t.Flush()
	if closed > 0 {
		p.line("  %s closed", counted(closed, "more port"))
	}
	for _, s := range f.Services {
		if s.Taken != "" {
			p.line("  %s is judged as port %d: %s (%s://%s:%d says what it is)", clean(s.Where()), s.As, clean(s.Taken), schemeOf(s.As), clean(s.Host), s.Port)
		}
	}
}

func productOf(s *Service) string {
	j := judgeOf(context.Background(), &Facts{}, nil, Options{})
	r := j.product(s)
	return strings.TrimSpace(r.name + " " + r.version)
}

func dial(s *Service) string {
	if s.down() {
		return string(s.Failure.Kind)
	}
	return number(s.DialMS)
}

func number(ms float64) string { return fmt.Sprintf("%.0f", ms) }

// took is the time of a step, inside TLS where it was heard there.
func took(s *Service, tls bool, name string) string {
	step := s.Step(name, tls)
	if step == nil {
		step = s.Step(name, !tls)
	}
	if step == nil {
		if s.Failure != nil && s.Failure.Step == name {
			return string(s.Failure.Kind)
		}
		return ""
	}
	return number(step.MS)
}

func hello(s *Service, tls bool) string {
	for _, name := range []string{"ehlo", "capability", "capa"} {
		if step := s.Step(name, tls); step != nil {
			return number(step.MS)
		}
		if s.Failure != nil && s.Failure.Step == name && tls == s.secured() {
			return string(s.Failure.Kind)
		}
	}
	return ""
}

func handshakeMS(s *Service) string {
	switch {
	case s.TLS == nil:
		return ""
	case s.TLS.Failure != nil:
		return string(s.TLS.Failure.Kind)
	}
	return number(s.TLS.MS)
}

// differences are what TLS changes, on every protocol.
func (p *printer) differences(f *Facts) {
	if p.err != nil {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	any := false
	for _, s := range f.Services {
		before, after := s.offers(false), s.offers(true)
		if before == nil || after == nil || s.Step("starttls", false) == nil {
			continue
		}
		a, b := sorted(before), sorted(after)
		if !any {
			p.line("\n%s", p.bold("WHAT TLS CHANGES"))
			fmt.Fprintln(t, "  service\tonly in the clear\tonly inside TLS")
			any = true
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", clean(s.Where()), clean(cmp.Or(strings.Join(lacking(a, b), ", "), "–")), clean(cmp.Or(strings.Join(lacking(b, a), ", "), "–")))
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}

func (p *printer) cost(f *Facts) {
	total, most, asked := 0, 0, 0
	for _, a := range f.Answers {
		if a.Status != resolve.Unasked {
			asked++
		}
	}
	for _, n := range f.Connections() {
		total, most = total+n, max(most, n)
	}
	p.line("\n%s to %s (at most %d to one), %s of the DNS, %.1f s; as of %s", counted(total, "connection"), counted(len(f.Connections()), "address"), most,
		counted(asked, "question"), f.TookMS/1000, f.Began.Format("2006-01-02 15:04:05Z"))
}

// counted is a number and a word, in the plural where it must be.
func counted(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "s"):
		return fmt.Sprintf("%d %ses", n, word)
	}
	return fmt.Sprintf("%d %ss", n, word)
}
