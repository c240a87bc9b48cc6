package mail

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// arrivedIMAP judges whether what was submitted came, and came unchanged; arrivedPOP3
// whether the other protocol shows the same.
func (j *judge) arrivedIMAP() {
	r := j.trip()
	boxes := r.boxes("imap")
	for _, b := range boxes {
		if b.Halt != nil {
			j.halt(b.Service, b.Halt)
		}
	}
	for _, p := range r.Probes {
		if p.Outside || !p.taken() {
			continue
		}
		if len(r.delivered(p)) == 0 {
			j.lost(r, p)
			continue
		}
		for _, b := range boxes {
			if b.Halt == nil {
				j.arrived(r, b, p)
			}
		}
	}
	if len(boxes) == 0 {
		j.na(j.subject(), "no IMAP server is known")
	}
}

// lost is a probe that was accepted and is nowhere.
func (j *judge) lost(r *RoundTrip, p *Probe) {
	where := p.Service.Where()
	wait := time.Duration(r.PatienceMS) * time.Millisecond
	if !r.looked() {
		j.unknown(where, "see the other findings of the round trip", "accepted, and no mailbox could be looked at: %s", queueID(p))
		return
	}
	for _, b := range r.Boxes {
		if len(b.Bounces) > 0 {
			j.fail(where, "accepted, and then bounced: %s", b.Bounces[0]).with(append([]string{queueID(p)}, b.Bounces...)...).fix("the bounce says why")
			return
		}
	}
	if p.Accepted.IsZero() {
		j.unknown(where, "see E1", "it was never said whether it is accepted, and it did not come within %s", wait)
		return
	}
	j.fail(where, "accepted, and not delivered within %s: %s", wait, queueID(p)).
		fix("look for that name of it in the server's log and queue (Postfix: postqueue -p; Exim: exim -bp); what was accepted must not be lost (RFC 5321, 6.1)")
}

// arrived compares what a box shows with what was sent.
func (j *judge) arrived(r *RoundTrip, b *Box, p *Probe) {
	list := b.of(p)
	where := b.Service.Where() + ", sent by " + portOf(p.Service)
	if len(list) == 0 {
		f := j.fail(where, "it has come, and is not shown here: %s shows it", otherOf(r, b, p))
		if b.Service.Protocol == "pop3" {
			f.fix("see that POP3 serves the same mailbox as IMAP (Dovecot: mail_location, and pop3_uidl_format; Cyrus: the same virtdomains)")
		} else {
			f.fix("see that IMAP serves the mailbox that mail is delivered to")
		}
		return
	}
	a := list[0]
	_, want := split(p.Message)
	_, got := split(a.Raw)
	sum := fmt.Sprintf("SHA-256 of the body: %x", sha256.Sum256(got))
	changed, how := compareBodies(want, got)
	switch {
	case changed && how != "":
		j.fail(where, "the body was changed: %s", how).with(fmt.Sprintf("SHA-256 of the body that was sent: %x", sha256.Sum256(want)), sum).
			fix("look for filters that rewrite mail on its way: disclaimers, virus scanners, footers of lists, a relay that breaks lines")
	case changed:
		j.warn(where, "ends of lines or blank lines at the end of the body were changed").sev(Low).with(sum).fix("look for filters that rewrite mail on its way")
	case a.Folder != "" && a.Folder != inbox:
		j.warn(where, "it came into %s, as junk", a.Folder).sev(Medium).fix("look into the filter's reasons in the message's header").with(spamFields(a.Raw)...)
	case len(list) > 1:
		j.warn(where, "it came %d times", len(list)).sev(Medium).fix("look into the server's log for why it was delivered again")
	default:
		j.pass(where, "unchanged, after %s", afterWords(p, a)).with(sum)
	}
}

func portOf(s *Service) string { return fmt.Sprintf("port %d", s.Port) }

// otherOf names another box that shows the probe.
func otherOf(r *RoundTrip, not *Box, p *Probe) string {
	for _, b := range r.Boxes {
		if b != not && len(b.of(p)) > 0 {
			return strings.ToUpper(b.Service.Protocol) + " on " + b.Service.Where()
		}
	}
	return "nobody"
}

// compareBodies says whether a body was changed, and how where it is more than ends of
// lines.
func compareBodies(want, got []byte) (changed bool, how string) {
	if bytes.Equal(want, got) {
		return false, ""
	}
	lines := func(body []byte) []string {
		text := strings.ReplaceAll(string(body), "\r\n", "\n")
		return strings.Split(strings.TrimRight(text, "\n"), "\n")
	}
	a, b := lines(want), lines(got)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return true, fmt.Sprintf("line %d was %q and is %q", i+1, clip(a[i], 60), clip(b[i], 60))
		}
	}
	switch {
	case len(a) > len(b):
		return true, fmt.Sprintf("%d lines at the end are missing", len(a)-len(b))
	case len(b) > len(a):
		return true, fmt.Sprintf("%d lines were added at the end: %q", len(b)-len(a), clip(b[len(a)], 60))
	}
	return true, ""
}

// spamFields are the fields in which filters tell their reasons.
func spamFields(raw []byte) (lines []string) {
	header, _ := split(raw)
	for _, f := range header {
		if low := strings.ToLower(f.name); strings.HasPrefix(low, "x-spam") || strings.HasPrefix(low, "x-rspamd") {
			lines = append(lines, f.name+": "+f.value)
		}
	}
	return lines
}

func (j *judge) arrivedPOP3() {
	r := j.trip()
	boxes := r.boxes("pop3")
	for _, b := range boxes {
		if b.Halt != nil {
			j.halt(b.Service, b.Halt)
			continue
		}
		for _, p := range r.Probes {
			junk := slices.ContainsFunc(r.delivered(p), func(a *Arrival) bool { return a.Folder != "" && a.Folder != inbox })
			if !p.Outside && p.taken() && len(r.delivered(p)) > 0 && !junk { // POP3 has no folders
				j.arrived(r, b, p)
			}
		}
	}
	if len(boxes) == 0 {
		j.na(j.subject(), "no POP3 server is known: nobody needs one")
	}
}

// slow is how long delivery to oneself may take before it is told of.
const slow = time.Minute

// skewed is how far a server's clock may be off before it is told of.
const skewed = 5 * time.Minute

func (j *judge) tripTimes() {
	r := j.trip()
	for _, p := range r.Probes {
		list := r.delivered(p)
		if len(list) == 0 {
			continue
		}
		first := soonest(list)
		where := p.Service.Where()
		took := after(p, first)
		hops := hopsOf(first.Raw)
		if took > slow {
			j.warn(where, "delivered after %s", took.Round(time.Second)).with(hopLines(hops)...).fix("the times in the Received fields show where it lay")
		} else {
			j.pass(where, "accepted %.0f ms after connecting, shown %s later", spent(p), took.Round(time.Millisecond)).with(hopLines(hops)...)
		}
		for _, h := range hops {
			if h.at.IsZero() || p.Said.IsZero() {
				continue
			}
			off := h.at.Sub(p.Said)
			if off < 0 {
				off = -off
			}
			if off > took+skewed {
				j.warn(where, "the clock of %s is off by %s", h.by, h.at.Sub(p.Said).Round(time.Second)).with(h.text).fix("set it by NTP")
			}
		}
	}
}

// after is the time from a message's acceptance to its being seen.
func after(p *Probe, a *Arrival) time.Duration {
	from := p.Accepted
	if from.IsZero() {
		from = p.Said
	}
	return max(0, a.Seen.Sub(from)) // the mailbox may tell of it before the reply has come
}

func afterWords(p *Probe, a *Arrival) string {
	words := after(p, a).Round(time.Millisecond).String()
	if a.Pushed {
		words += " (IDLE told of it)"
	}
	return words
}

// soonest is the arrival that was seen first.
func soonest(list []*Arrival) *Arrival {
	return slices.MinFunc(list, func(a, b *Arrival) int { return a.Seen.Compare(b.Seen) })
}

// spent is the time from connecting until the message was accepted, in milliseconds.
func spent(p *Probe) float64 {
	total := p.Service.DialMS
	if p.Service.TLS != nil {
		total += p.Service.TLS.MS
	}
	for _, s := range p.Service.Steps {
		if s.Name != "quit" {
			total += s.MS
		}
	}
	return total
}
