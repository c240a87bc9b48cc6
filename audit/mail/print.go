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
	p.line("%s: %s: %d fail, %d warn, %d unknown, %d pass, %d do not apply", p.bold(clean(subject(f))), p.paint(state, word), n[Fail], n[Warn], n[Unknown], n[Pass], n[NA])
}

func (p *printer) area(area string, findings []Finding) {
	rows := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Area != area })
	if len(rows) == 0 {
		return
	}
	p.line("\n%s", p.bold(strings.ToUpper(area)))
	for i := 0; i < len(rows); i++ {
		f := rows[i]
		same := 1
		if !p.s.All && (f.State == Pass || f.State == NA) {
			for i+1 < len(rows) && rows[i+1].State == f.State && rows[i+1].Check == f.Check {
				i++
				same++
			}
		}
		p.row(f, same)
	}
}

func (p *printer) row(f Finding, same int) {
	title := titleOf(f.Check)
	severity := ""
	if f.State != Pass && f.State != NA {
		severity = string(f.Severity)
	}
	where, text := clean(f.Where), clean(f.Text)
	switch {
	case same > 1:
		where, text = fmt.Sprintf("%d places", same), ""
	case (f.State == Pass || f.State == NA) && !p.s.All && !p.s.Why:
		text = clipRunes(text, 100)
	}
	if text != "" {
		text = ": " + text
	}
	p.line("  %s %-8s %-4s %s: %s%s", p.paint(f.State, fmt.Sprintf("%-7s", f.State)), severity, f.Check, title, where, text)
	bad := f.State == Fail || f.State == Warn || f.State == Unknown
	if bad && f.Fix != "" {
		p.line("%25s→ %s", "", clean(f.Fix))
	}
	if bad && f.Record != "" {
		p.line("%25s  %s", "", clean(f.Record))
	}
	if !p.s.Why || same > 1 {
		return
	}
	if bad || p.s.All {
		p.line("%25srule: %s (%s)", "", f.Rule, f.Ref)
	}
	for _, e := range f.Evidence {
		for part := range strings.SplitSeq(strings.TrimRight(e, "\r\n"), "\n") {
			p.line("%25s| %s", "", clean(strings.TrimRight(part, "\r")))
		}
	}
}

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
		p.line("  %d more ports are closed", closed)
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
	total, most := 0, 0
	for _, n := range f.Connections() {
		total, most = total+n, max(most, n)
	}
	p.line("\n%d connections to %d addresses (at most %d to one), %d questions of the DNS, %.1f s; as of %s", total, len(f.Connections()), most, len(f.Answers), f.TookMS/1000, f.Began.Format("2006-01-02 15:04:05Z"))
}
