package mail

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// sendStages are the stages of sending, by the names of their steps.
var sendStages = []struct{ title, step string }{
	{"greeting", "greeting"}, {"hello", "ehlo"}, {"tls", ""}, {"login", "login"}, {"mail", "mail"}, {"rcpt", "rcpt"}, {"data", "data"}, {"accepted", "accepted"},
}

// trip are messages × stages, with times: sending, then how long after its acceptance each
// mailbox showed the message; ≤ where that was found by asking.
func (p *printer) trip(r *RoundTrip) {
	if r == nil || p.err != nil {
		return
	}
	p.line("\n%s", p.bold("ROUND TRIP to "+clean(r.Mailbox)+" (milliseconds)"))
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  sent by\tconnect")
	for _, s := range sendStages {
		fmt.Fprint(t, "\t"+s.title)
	}
	for _, b := range r.Boxes {
		fmt.Fprintf(t, "\t%s %d", b.Service.Protocol, b.Service.Port)
	}
	fmt.Fprintln(t, "\tdeleted")
	for _, one := range r.Probes {
		p.probe(t, r, one)
	}
	if err := t.Flush(); err != nil {
		p.err = err
		return
	}
	p.mailboxes(r)
	if r.Nothing != "" {
		p.line("  nothing was sent: %s", clean(r.Nothing))
	}
}

func (p *printer) probe(t *tabwriter.Writer, r *RoundTrip, one *Probe) {
	stage := stageOf(one.Halt)
	s := one.Service
	connect := ""
	if s.Dials > 0 {
		connect = dial(s)
	}
	fmt.Fprintf(t, "  %s\t%s", clean(s.Where()), ended(stage == "connect", connect))
	for _, column := range sendStages {
		name := map[string]string{"ehlo": "hello", "": "tls", "accepted": "message"}[column.step]
		if name == "" {
			name = column.step
		}
		cell := ""
		switch {
		case column.step == "" && s.TLS != nil && s.TLS.Failure == nil:
			cell = number(s.TLS.MS)
		case column.step != "" && s.Any(column.step) != nil:
			cell = number(s.Any(column.step).MS)
		}
		fmt.Fprint(t, "\t"+ended(stage == name || stage == "certificate" && name == "tls", cell))
	}
	deleted := ""
	for _, b := range r.Boxes {
		cell := ""
		if one.taken() && b.Looked {
			cell = "–"
		}
		for _, a := range b.of(one) {
			cell = "≤" + number(ms(after(one, a)))
			if a.Pushed {
				cell = number(ms(after(one, a)))
			}
			if a.Deleted != "" {
				deleted = "yes"
			} else if deleted == "" {
				deleted = "no"
			}
		}
		fmt.Fprint(t, "\t"+cell)
	}
	fmt.Fprintln(t, "\t"+deleted)
}

// stageOf is the stage that is marked; to send nothing on purpose is none.
func stageOf(h *Halt) string {
	if h == nil || h.NotSaid && (h.Stage == "mail" || h.Stage == "connect") {
		return ""
	}
	return h.Stage
}

// ended marks the stage at which a conversation ended.
func ended(here bool, cell string) string {
	if here {
		return strings.TrimSpace(cell + " ✗")
	}
	return cell
}

// mailboxes are the stages of fetching.
func (p *printer) mailboxes(r *RoundTrip) {
	if len(r.Boxes) == 0 {
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	stages := []string{"greeting", "tls", "login", "select", "uidl", "idle", "search", "fetch", "top", "retr", "store", "expunge", "dele", "quit"}
	used := func(name string) bool {
		for _, b := range r.Boxes {
			if b.Service.Any(name) != nil || name == "tls" || b.Halt != nil && b.Halt.Stage == name {
				return true
			}
		}
		return false
	}
	p.line("")
	fmt.Fprint(t, "  fetched from\tconnect")
	for _, name := range stages {
		if used(name) {
			fmt.Fprint(t, "\t"+name)
		}
	}
	fmt.Fprintln(t)
	for _, b := range r.Boxes {
		s, stage := b.Service, stageOf(b.Halt)
		connect := ""
		if s.Dials > 0 {
			connect = dial(s)
		}
		fmt.Fprintf(t, "  %s\t%s", clean(s.Where()), ended(stage == "connect", connect))
		for _, name := range stages {
			if !used(name) {
				continue
			}
			cell := ""
			switch {
			case name == "tls" && s.TLS != nil && s.TLS.Failure == nil:
				cell = number(s.TLS.MS)
			case s.Any(name) != nil:
				cell = number(s.Any(name).MS)
			}
			fmt.Fprint(t, "\t"+ended(stage == name || stage == "certificate" && name == "tls", cell))
		}
		fmt.Fprintln(t)
	}
	p.err = t.Flush()
}
