package mail

import (
	"fmt"
	netmail "net/mail"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/authres"
)

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

// results are the Authentication-Results of a message (RFC 8601), in short.
func results(raw []byte) (lines []string) {
	header, _ := split(raw)
	for _, text := range values(header, "Authentication-Results") {
		lines = append(lines, "Authentication-Results: "+clip(text, 500))
	}
	return lines
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
