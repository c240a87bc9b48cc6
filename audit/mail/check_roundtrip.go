package mail

import (
	"slices"
	"strings"
)

const tripArea = "round trip"

var roundTripChecks = []Check{
	{"E1", tripArea, "a message can be submitted", Critical, "RFC 6409, 3 and 4; RFC 8314, 3.3", "465 and 587 take a login inside TLS, and then a message", (*judge).submitted},
	{"E2", tripArea, "it comes, and IMAP shows it unchanged", Critical, "RFC 5321, 4.2.5 and 6.1; RFC 9051, 6.4.5", "what was accepted is in INBOX in time, with the body that was sent", (*judge).arrivedIMAP},
	{"E3", tripArea, "POP3 shows the same", High, "RFC 1939, 5", "what IMAP shows, POP3 shows too, with the same body", (*judge).arrivedPOP3},
	{"E4", tripArea, "how long it takes", Low, "RFC 5321, 4.4", "it arrives within a minute, and the clocks of the servers are right", (*judge).tripTimes},
	{"E5", tripArea, "mail from outside comes", High, "RFC 5321, 3.3 and 6.1", "exchangers take a message for the mailbox from a stranger, and deliver it", (*judge).fromOutside},
	{"E6", tripArea, "the message says where it has been", Medium, "RFC 3848; RFC 6376, 6; RFC 8601, 2 and 5; RFC 5321, 4.4", "Received tells the login and TLS and not where its author sits, the DKIM signature holds and is the author's domain's, no field was changed", (*judge).message},
	{"E7", tripArea, "nothing stays behind", Medium, "RFC 4315, 2.1; RFC 1939, 5 and 6", "the messages of the round trip can be deleted, each by itself", (*judge).cleaned},
	{"E8", tripArea, "IMAP tells of new mail", Low, "RFC 2177", "a client that waits in IDLE is told of the message", (*judge).pushed},
}

// trip are the facts of the round trip; the checks run where there are any.
func (j *judge) trip() *RoundTrip { return j.f.RoundTrip }

// delivered are the arrivals of a probe in any box.
func (r *RoundTrip) delivered(p *Probe) (list []*Arrival) {
	for _, b := range r.Boxes {
		list = append(list, b.of(p)...)
	}
	return list
}

func (b *Box) of(p *Probe) (list []*Arrival) {
	for _, a := range b.Arrivals {
		if a.ID == p.ID {
			list = append(list, a)
		}
	}
	return list
}

// boxes are those of a protocol.
func (r *RoundTrip) boxes(protocol string) (list []*Box) {
	for _, b := range r.Boxes {
		if b.Service.Protocol == protocol {
			list = append(list, b)
		}
	}
	return list
}

// looked says that somebody could see whether the probe came.
func (r *RoundTrip) looked() bool {
	return slices.ContainsFunc(r.Boxes, func(b *Box) bool { return b.Looked && b.Halt == nil })
}

// taken says that the message may be on its way: it was accepted, or nobody knows.
func (p *Probe) taken() bool { return !p.Said.IsZero() }

// stageWords are the stages as findings name them.
var stageWords = map[string]string{
	"connect": "no connection", "greeting": "the greeting", "hello": "EHLO", "tls": "TLS", "certificate": "the certificate", "login": "the login",
	"mail": "MAIL FROM", "rcpt": "RCPT TO", "data": "DATA", "message": "the message", "select": "opening INBOX", "uidl": "UIDL", "top": "TOP", "retr": "RETR",
	"store": "marking it", "expunge": "UID EXPUNGE", "dele": "DELE", "quit": "QUIT",
}

// text is where it ended, and how.
func (h *Halt) text() string {
	stage, ok := stageWords[h.Stage]
	if !ok {
		stage = h.Stage
	}
	switch {
	case h.Refused:
		return stage + " is refused: " + h.Words
	case h.NotSaid:
		return stage + ": " + h.Words
	}
	return stage + " fails: " + h.Words
}

// halt adds a finding about a conversation that ended early. What we held back, and what a
// server puts off, says nothing about it.
func (j *judge) halt(s *Service, h *Halt) *Finding {
	later := h.Refused && (code(h.Words)/100 == 4 || slices.ContainsFunc([]string{"[UNAVAILABLE]", "[INUSE]", "[IN-USE]", "[SYS/TEMP]", "[LOGIN-DELAY]"}, func(c string) bool { return strings.Contains(h.Words, c) }))
	var f *Finding
	switch {
	case h.Stage == "certificate":
		f = j.unknown(s.Where(), "the checks of the certificate tell more; name its authority (--ca), or the host (--tell), if the password may go there", "%s", h.text())
	case h.NotSaid:
		f = j.unknown(s.Where(), "see the other findings of the round trip", "%s", h.text())
	case later:
		f = j.unknown(s.Where(), "it puts us off: try again in some minutes", "%s", h.text())
	default:
		f = j.fail(s.Where(), "%s", h.text())
		f.fix("%s", tripAdvice[h.Stage])
	}
	return f.with(dialogueOf(s)...)
}

var tripAdvice = map[string]string{
	"connect":  "start the server, or let clients through to the port",
	"greeting": "look into the server's log for why it greets nobody",
	"tls":      "look into the server's log for why TLS does not begin; the checks of STARTTLS and TLS tell more",
	"login":    "try user and password in the server's own tools; look at its authentication (SASL, passdb) and at what it logs",
	"mail":     "let those who have logged in send from this address (Postfix: smtpd_sender_login_maps, smtpd_sender_restrictions)",
	"rcpt":     "let the mailbox be known where mail is submitted (Postfix: virtual_mailbox_maps, virtual_alias_maps), and those who have logged in send to it",
	"data":     "look into the server's log: content filters and milters answer here",
	"message":  "look into the server's log: content filters, milters, quota and disk space answer here",
	"select":   "look into the server's log for why INBOX does not open",
}

// dialogueOf are the last words that were exchanged.
func dialogueOf(s *Service) (lines []string) {
	const most = 3
	for _, step := range s.Steps[max(0, len(s.Steps)-most):] {
		if step.Said != "" {
			lines = append(lines, "> "+step.Said)
		}
		if step.Reply != "" {
			lines = append(lines, "< "+lastReply(step.Reply))
		}
	}
	return lines
}

func (j *judge) submitted() {
	r := j.trip()
	n := 0
	for _, p := range r.Probes {
		if p.Outside {
			continue
		}
		n++
		s := p.Service
		switch {
		case p.Halt != nil && p.Halt.Stage == "mail" && p.Halt.NotSaid:
			j.unknown(s.Where(), "mend what the other findings of the round trip tell", "the login is accepted; nothing was sent: %s", p.Halt.Words)
		case p.Halt != nil && p.Halt.Stage == "message" && p.taken():
			j.fail(s.Where(), "the message was said, and not answered: %s", p.Halt.Words).with(dialogueOf(s)...).fix("%s", tripAdvice["message"])
		case p.Halt != nil:
			j.halt(s, p.Halt)
		default:
			j.pass(s.Where(), "accepted: %s", queueID(p)).with(dialogueOf(s)...)
		}
	}
	if n == 0 {
		j.unknown(j.subject(), "publish SRV records or a configuration for mail clients, or name the servers: --services HOST:465,HOST:587,HOST:993", "%s", "no server is known that takes submissions")
	}
}

func (j *judge) fromOutside() {
	r := j.trip()
	for _, p := range r.Probes {
		if !p.Outside {
			continue
		}
		s := p.Service
		switch h := p.Halt; {
		case h != nil && h.NotSaid:
			j.unknown(s.Where(), "mend what the other findings of the round trip tell", "not tried: %s", h.Words)
		case h != nil && h.Refused && h.Stage == "rcpt" && (strings.Contains(h.Words, " 5.1.") || strings.Contains(h.Words, " 5.2.")):
			j.fail(s.Where(), "%s", h.text()).with(dialogueOf(s)...).fix("let the mailbox be known to the exchanger")
		case h != nil && h.Refused && code(h.Words)/100 == 4:
			j.unknown(s.Where(), "it puts strangers off (greylisting): repeat it in some minutes from the same address", "%s", h.text()).with(dialogueOf(s)...)
		case h != nil && h.Refused:
			j.unknown(s.Where(), "it may be our address that is refused: a sending server has a name in the DNS that leads back to it; try from one", "%s", h.text()).with(dialogueOf(s)...)
		case h != nil && h.Stage == "connect" && s.filtered():
			j.unknown(s.Where(), "try from a network that lets port 25 out", "%s", h.text())
		case h != nil && !p.taken():
			j.fail(s.Where(), "%s", h.text()).with(dialogueOf(s)...)
		case len(r.delivered(p)) == 0:
			j.lost(r, p)
		default:
			a := r.delivered(p)[0]
			j.pass(s.Where(), "delivered after %s", afterWords(p, a)).with(results(a.Raw)...)
		}
	}
}

func (j *judge) cleaned() {
	r := j.trip()
	for _, p := range r.Probes {
		if !p.taken() {
			continue
		}
		where := "sent by " + p.Service.Where()
		list := r.delivered(p)
		kept := slices.DeleteFunc(slices.Clone(list), func(a *Arrival) bool { return a.Deleted != "" })
		gone := len(list) - len(kept)
		switch {
		case len(list) == 0:
			j.warn(where, "it was not found, and may still come").sev(Low).fix("delete it when it comes: its subject is Herald round trip %s", p.Token)
		case gone > 0 && onlyOtherViews(list):
			j.pass(where, "deleted by %s", by(list))
		case len(kept) > 0:
			j.fail(where, "it could not be deleted: %s", kept[0].Kept).fix("delete it by hand: its subject is Herald round trip %s", p.Token)
		default:
			j.pass(where, "deleted by %s", by(list))
		}
	}
}

// onlyOtherViews says that what was not deleted is the same message as one that was, shown
// by another server.
func onlyOtherViews(list []*Arrival) bool {
	var folders []string
	for _, a := range list {
		if a.Folder != "" && a.Deleted == "" {
			folders = append(folders, a.Folder)
		}
	}
	return len(folders) == 0
}

func by(list []*Arrival) string {
	var words []string
	for _, a := range list {
		if a.Deleted != "" && !slices.Contains(words, a.Deleted) {
			words = append(words, a.Deleted)
		}
	}
	return strings.Join(words, ", ")
}

func (j *judge) pushed() {
	r := j.trip()
	for _, b := range r.boxes("imap") {
		if b.Halt != nil || len(b.Arrivals) == 0 {
			continue
		}
		offered := slices.ContainsFunc(b.Service.Steps, func(s Step) bool { return s.Name == "idle" })
		told := slices.ContainsFunc(b.Arrivals, func(a *Arrival) bool { return a.Pushed })
		missed := slices.ContainsFunc(b.Arrivals, func(a *Arrival) bool { return a.Idled && !a.Pushed && a.Folder == inbox })
		switch {
		case told:
			j.pass(b.Service.Where(), "told within IDLE")
		case !offered:
			j.warn(b.Service.Where(), "IDLE is not offered: clients have to ask again and again").fix("switch IDLE on")
		case missed:
			j.warn(b.Service.Where(), "it was found by asking, and IDLE did not tell of it").fix("%s", j.mend(b.Service, "idle"))
		}
	}
}
