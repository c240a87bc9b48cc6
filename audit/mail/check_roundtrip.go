package mail

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	netmail "net/mail"

	"github.com/emersion/go-msgauth/authres"
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

// slow is how long delivery to oneself may take before it is told of.
const slow = time.Minute

// skewed is how far a server's clock may be off before it is told of.
const skewed = 5 * time.Minute

// soonest is the arrival that was seen first.
func soonest(list []*Arrival) *Arrival {
	return slices.MinFunc(list, func(a, b *Arrival) int { return a.Seen.Compare(b.Seen) })
}

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

// hop is a Received field (RFC 5321, 4.4).
type hop struct {
	by, with string
	at       time.Time
	text     string
}

// hopsOf are the hops of a message, the last on top.
func hopsOf(raw []byte) (hops []hop) {
	header, _ := split(raw)
	for _, text := range values(header, "Received") {
		h := hop{text: text}
		words, stamp := text, ""
		if i := strings.LastIndexByte(text, ';'); i >= 0 {
			words, stamp = text[:i], text[i+1:]
		}
		fields := strings.Fields(outsideComments(words))
		for i, w := range fields[:max(0, len(fields)-1)] {
			switch strings.ToLower(w) {
			case "by":
				h.by = fields[i+1]
			case "with":
				h.with = fields[i+1]
			}
		}
		h.at, _ = netmail.ParseDate(strings.TrimSpace(stamp))
		hops = append(hops, h)
	}
	return hops
}

// outsideComments is a field without its comments (RFC 5322, 3.2.2).
func outsideComments(text string) string {
	var b strings.Builder
	depth := 0
	for _, r := range text {
		switch {
		case r == '(':
			depth++
		case r == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hopLines(hops []hop) (lines []string) {
	for _, h := range hops {
		lines = append(lines, "Received: "+h.text)
	}
	return lines
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

// results are the Authentication-Results of a message (RFC 8601), in short.
func results(raw []byte) (lines []string) {
	header, _ := split(raw)
	for _, text := range values(header, "Authentication-Results") {
		lines = append(lines, "Authentication-Results: "+clip(text, 500))
	}
	return lines
}

// message reads the header of each submission that came.
func (j *judge) message() {
	r := j.trip()
	for _, p := range r.Probes {
		list := r.delivered(p)
		if p.Outside || len(list) == 0 {
			continue
		}
		a := list[0]
		header, _ := split(a.Raw)
		where := "sent by " + p.Service.Where()
		j.receivedOf(p, a, where)
		j.signaturesOf(r, a, where)
		j.fieldsOf(p, header, where)
		j.resultsOf(header, where)
	}
}

// receivedOf judges the hop of the submission, which is the lowest.
func (j *judge) receivedOf(p *Probe, a *Arrival, where string) {
	hops := hopsOf(a.Raw)
	if len(hops) == 0 {
		j.warn(where, "no Received field: nobody can tell where it has been").fix("have the servers add them (RFC 5321, 4.4)")
		return
	}
	first := hops[len(hops)-1]
	with := strings.ToUpper(first.with)
	switch {
	case strings.HasSuffix(with, "SA") || strings.HasPrefix(with, "HTTP"): // ESMTPSA, UTF8SMTPSA
		j.pass(where, "%s, the first with %s", counted(len(hops), "hop"), first.with).with(hopLines(hops)...)
	default:
		j.warn(where, "the submission's Received field has \"with %s\", which tells no login inside TLS (RFC 3848: ESMTPSA)", first.with).sev(Low).with(hopLines(hops)...)
	}
	if told, text := tellsAuthor(p, a); told {
		j.warn(where, "every recipient reads the address of its author's machine").sev(Low).with("Received: "+text).fix("%s", j.mend(p.Service, "author-address"))
	}
}

// tellsAuthor says whether a Received field has the address from which we submitted, and
// which.
func tellsAuthor(p *Probe, a *Arrival) (told bool, text string) {
	ours, err := netip.ParseAddrPort(p.Service.Local)
	if err != nil {
		return false, ""
	}
	for _, h := range hopsOf(a.Raw) {
		words := strings.FieldsFunc(h.text, func(r rune) bool { return strings.ContainsRune(" []();,", r) })
		if slices.ContainsFunc(words, func(w string) bool {
			addr, err := netip.ParseAddr(strings.TrimPrefix(w, "IPv6:"))
			return err == nil && addr.Unmap() == ours.Addr().Unmap()
		}) {
			return true, h.text
		}
	}
	return false, ""
}

// aligned says whether a signature holds that counts for DMARC (RFC 9989, relaxed), with a
// line for each.
func (j *judge) aligned(r *RoundTrip, a *Arrival) (good bool, lines []string) {
	domain := authorDomain(r)
	for _, s := range a.Signatures {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("d=%s s=%s: %s %s", s.Domain, s.Selector, s.Result, s.Reason)))
		if s.Result == "pass" {
			good = good || strings.EqualFold(s.Domain, domain) || j.walkDMARC(strings.ToLower(s.Domain)).orgDomain == j.walkDMARC(domain).orgDomain
		}
	}
	return good, lines
}

func authorDomain(r *RoundTrip) string {
	_, domain, _ := strings.Cut(r.Mailbox, "@")
	return strings.ToLower(domain)
}

// signaturesOf judges the DKIM signatures, verified as the message came.
func (j *judge) signaturesOf(r *RoundTrip, a *Arrival, where string) {
	domain := authorDomain(r)
	good, lines := j.aligned(r, a)
	var passing []string
	for _, s := range a.Signatures {
		if s.Result == "pass" {
			passing = append(passing, s.Domain)
		}
	}
	failed := func(result string) bool {
		return slices.ContainsFunc(a.Signatures, func(s Signature) bool { return s.Result == result })
	}
	switch {
	case len(a.Signatures) == 0:
		j.unknown(where, "send a message to a mailbox elsewhere and read its DKIM-Signature", "no DKIM signature; some servers sign only what leaves them").sev(Low)
	case good:
		j.pass(where, "signed by %s, and the signature holds", strings.Join(passing, ", ")).with(lines...)
	case len(passing) > 0:
		j.warn(where, "signed by %s, which is not aligned with %s: it does not count for DMARC", strings.Join(passing, ", "), domain).with(lines...).fix("sign with a key of %s", domain)
	case failed("permerror") && j.domain() == "" && !j.f.Trusted:
		j.unknown(where, "have the DNS asked that knows the domain: --dns ADDRESS", "the key of the DKIM signature is not in the DNS that was asked").sev(Low).with(lines...)
	case failed("fail"), failed("permerror"):
		j.fail(where, "the DKIM signature does not hold: %s", a.Signatures[0].Reason).sev(High).with(lines...).fix("publish the key that signs; and let nothing change the message after it was signed")
	default:
		j.unknown(where, "ask again", "the DKIM key could not be looked up").with(lines...)
	}
}

// fieldsOf says what has become of the fields that we wrote.
func (j *judge) fieldsOf(p *Probe, header []field, where string) {
	sent, _ := split(p.Message)
	var changed []string
	for _, f := range sent {
		if got := value(header, f.name); got != f.value {
			changed = append(changed, fmt.Sprintf("%s: was %q and is %q", f.name, clip(f.value, 100), clip(got, 100)))
		}
	}
	if len(changed) > 0 {
		j.warn(where, "%s of the header changed", counted(len(changed), "field")).sev(Low).with(changed...).fix("look for what rewrites headers; signatures of others break by that")
		return
	}
	j.pass(where, "no field of the header was changed")
}

func (j *judge) resultsOf(header []field, where string) {
	var lines, bad []string
	for _, text := range values(header, "Authentication-Results") {
		lines = append(lines, "Authentication-Results: "+clip(text, 500))
		list, err := parseResults(text)
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		for _, one := range list {
			switch v := one.(type) {
			case *authres.DKIMResult:
				if v.Value == authres.ResultFail {
					bad = append(bad, "dkim=fail")
				}
			case *authres.AuthResult:
				if v.Value == authres.ResultFail {
					bad = append(bad, "auth=fail")
				}
			}
		}
	}
	switch {
	case len(bad) > 0:
		j.warn(where, "Authentication-Results of its own mail: %s", strings.Join(bad, ", ")).sev(Low).with(lines...)
	case len(lines) > 0:
		j.pass(where, "Authentication-Results is there").with(lines...)
	}
}

// parseResults reads a field that strangers wrote: a panic of the library is an error, too.
func parseResults(text string) (list []authres.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("it cannot be read: %v", v)
		}
	}()
	_, list, err = authres.Parse(text)
	return list, err
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
