package mail

import (
	"strconv"
	"strings"
)

var starttlsChecks = []Check{
	{"S1", "starttls", "exchangers offer STARTTLS", High, "RFC 3207, 2 and 3", "STARTTLS stands in the reply to EHLO", (*judge).starttlsOffered},
	{"S2", "starttls", "STARTTLS works", High, "RFC 3207, 4", "the server agrees, and a handshake completes, whatever the certificate", (*judge).starttlsWorks},
	{"S3", "starttls", "capabilities before and after TLS", Info, "RFC 3207, 4.2", "the server forgets what was said before, and lists its capabilities anew", (*judge).difference},
	{"S4", "starttls", "STARTTLS is gone inside TLS", Low, "RFC 3207, 4.2; RFC 9051, 6.2.1; RFC 2595, 4", "it is not listed any more", (*judge).starttlsGone},
	{"S5", "starttls", "client ports want TLS before a password", High, "RFC 8314, 4.1; RFC 4954, 4", "no password is taken before TLS on 587, 143, 110 and 4190", (*judge).tlsFirst},
	{"S6", "starttls", "mail is taken without TLS too", Low, "RFC 3207, 4", "an exchanger takes MAIL FROM before TLS (asked, and taken back): a public one must not demand TLS", (*judge).plainDelivery},
	{"S7", "starttls", "nobody strips STARTTLS", High, "RFC 3207, 6", "no keyword is overwritten, and STARTTLS does not work where it is not offered", (*judge).stripped},
	{"S8", "starttls", "no command gets past STARTTLS", High, "RFC 3207, 4.2 and 6", "a command that came in the clear is not answered inside TLS", (*judge).injection},
	{"S9", "starttls", "no answer gets past STARTTLS", Medium, "RFC 3207, 4.2 and 6", "nothing comes in the clear between the agreement to begin TLS and the handshake", (*judge).earlyWords},
	{"S10", "starttls", "implicit TLS speaks TLS first", High, "RFC 8314, 3", "no byte in the clear before the handshake on 465, 993 and 995", (*judge).implicitFirst},
	{"S12", "starttls", "a client without a server name gets a good certificate", Low, "RFC 7672, 8.1", "the certificate that is shown without SNI is for one of the host's names", (*judge).withoutSNI},
}

func itoa(n int) string { return strconv.Itoa(n) }

func (j *judge) starttlsOffered() {
	for _, s := range j.exchangers() {
		ehlo := s.Step("ehlo", false)
		switch {
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it would not talk to us, which says nothing about STARTTLS").with(s.refusal())
		case s.down() || ehlo == nil: // R1, R12 tell
		case s.Step("starttls", false) != nil && !s.offersTLS(): // a part of the facts is missing
		case s.offersTLS():
			j.pass(s.Where(), "offered")
		case s.withoutExtensions():
			j.fail(s.Where(), "not offered: it does not know EHLO").with(ehlo.Reply).fix("%s", j.mend(s, "starttls-smtp"))
		default:
			j.fail(s.Where(), "not offered").with(ehlo.Reply).fix("%s", j.mend(s, "starttls-smtp"))
		}
	}
}

func (j *judge) starttlsWorks() {
	for _, s := range j.f.Services {
		step := s.Step("starttls", false)
		switch {
		case step == nil:
		case !s.agreed():
			f := j.fail(s.Where(), "offered, and refused: %s", firstLine(step.Reply)).with(step.Reply).fix("%s", j.mend(s, "starttls-"+s.Protocol))
			if code(step.Reply)/100 == 4 && s.Protocol == "smtp" {
				f.State, f.Fix = Unknown, "repeat later: 454 says that TLS is not available now (RFC 3207, 4)"
			}
		case s.interrupted(): // S9 tells
		case s.secured():
			j.pass(s.Where(), "%s, %s", versionName(s.TLS.Version), suiteName(s.TLS.Suite))
		case s.unseen():
			j.unknown(s.Where(), s.nextOf(), "the server agrees; whether a handshake completes is not known: %s", s.why())
		case s.TLS == nil:
			j.fail(s.Where(), "the server agrees, and no handshake begins: %s", s.why()).with(step.Reply)
		default:
			j.fail(s.Where(), "the server agrees, and the handshake fails: %s", s.TLS.Failure).with(s.TLS.Failure.Text).fix("look at the server's log: a key that does not fit its certificate, a file that it cannot read, versions or suites that nobody else has")
		}
	}
}

// plainDelivery: RFC 3207, 4 has a publicly referenced server not demand TLS for mail that
// it delivers locally. Who has said that TLS is there (MTA-STS, DANE) may mean it so.
func (j *judge) plainDelivery() {
	for _, s := range j.exchangers() {
		step := s.Step("mail-clear", false)
		switch c := code(stepText(step)); {
		case step == nil:
		case c/100 == 2:
			j.pass(s.Where(), "taken: %s", firstLine(step.Reply))
		case c == 530 || c == 538:
			j.warn(s.Where(), "TLS is demanded: %s; senders without it cannot deliver", firstLine(step.Reply)).with("> "+step.Said, "< "+step.Reply).fix("%s", j.mend(s, "demands-tls"))
		case c/100 == 4:
			j.unknown(s.Where(), "repeat in some minutes", "put off: %s", firstLine(step.Reply)).with("> " + step.Said)
		default:
			j.na(s.Where(), "refused, and not for TLS: %s", firstLine(step.Reply)).with("> " + step.Said)
		}
	}
}

// overwritten is a keyword of which nothing but X is left: what firewalls that inspect
// SMTP make of those that they do not know.
func (s *Service) overwritten() string {
	for _, item := range s.offers(false) {
		word, _, _ := strings.Cut(strings.ToUpper(item), " ")
		if len(word) >= 4 && strings.Trim(word, "X") == "" || len(word) >= 6 && strings.HasPrefix(word, strings.Repeat("X", len(word)-1)) {
			return item
		}
	}
	return ""
}

func (j *judge) stripped() {
	for _, s := range j.services("smtp") {
		tried := s.Step("starttls-unoffered", false)
		switch {
		case s.Security == "tls" || s.Step("ehlo", false) == nil || s.refusal() != "":
		case s.overwritten() != "":
			j.fail(s.Where(), "a keyword is overwritten with %s: something between us rewrites SMTP", s.overwritten()).with(s.Step("ehlo", false).Reply).
				fix("switch off the SMTP inspection of the firewall between (Cisco: no inspect esmtp): it takes STARTTLS away from everybody")
		case tried != nil && code(tried.Reply) == 220:
			j.fail(s.Where(), "STARTTLS is not offered, and agreed to when asked for: something takes it off the list on the way").with(s.Step("ehlo", false).Reply, "> STARTTLS", "< "+tried.Reply).
				fix("compare with what EHLO is answered on the machine itself; look for a firewall or a proxy that rewrites SMTP")
		case tried != nil && code(tried.Reply) == 421: // 454 is said by servers that have no TLS at all
			j.unknown(s.Where(), nextAfter(s), "not offered, and put off when asked for: %s", firstLine(tried.Reply))
		case tried != nil:
			j.pass(s.Where(), "not offered, and refused: %s", firstLine(tried.Reply))
		case s.offersTLS():
			j.pass(s.Where(), "offered")
		}
	}
}

// earlyWords tells of what a client that keeps its buffer would take for an answer from
// inside TLS.
func (j *judge) earlyWords() {
	for _, s := range j.f.Services {
		switch {
		case s.Step("starttls", false) == nil || !s.agreed():
		case s.interrupted():
			j.warn(s.Where(), "more words came in the clear before TLS; clients that keep them take them for said inside TLS. We went no further").with(stepText(s.Step("starttls", false)), s.TLS.Failure.Text).
				fix("update the server, or look for who puts words in between")
		case s.TLS != nil:
			j.pass(s.Where(), "nothing between the agreement and the handshake")
		}
	}
}

// gone are keywords that are not capabilities of the account's kind: their absence before
// or after TLS is the rule.
func (j *judge) difference() {
	for _, s := range j.f.Services {
		before, after := s.offers(false), s.offers(true)
		if before == nil || after == nil || s.Step("starttls", false) == nil {
			continue
		}
		a, b := sorted(before), sorted(after)
		var lines []string
		if l := lacking(b, a); len(l) > 0 {
			lines = append(lines, "gained: "+strings.Join(l, ", "))
		}
		if l := lacking(a, b); len(l) > 0 {
			lines = append(lines, "lost: "+strings.Join(l, ", "))
		}
		if len(lines) == 0 {
			lines = []string{"nothing changes"}
		}
		j.pass(s.Where(), "%s", strings.Join(lines, "; "))
	}
}

func (j *judge) starttlsGone() {
	for _, s := range j.f.Services {
		after := s.offers(true)
		if after == nil {
			continue
		}
		if has(after, "STARTTLS") || has(after, "STLS") {
			j.warn(s.Where(), "still listed inside TLS").with(strings.Join(after, "\n")).fix("update the server: it keeps what it knew before TLS")
		} else {
			j.pass(s.Where(), "not listed inside TLS")
		}
	}
}

// takesPlain says whether the server went along with a SASL exchange that would have shown
// the password, in the clear.
func (s *Service) takesPlain() bool {
	step := s.Step("auth", false)
	if step == nil {
		return false
	}
	switch s.Protocol {
	case "smtp":
		return code(step.Reply) == 334
	case "imap":
		return strings.HasPrefix(step.Reply, "+")
	case "pop3":
		user := s.Step("user", false)
		return strings.HasPrefix(step.Reply, "+") && !positive(step.Reply) || user != nil && positive(user.Reply)
	case "sieve":
		return strings.HasPrefix(step.Reply, `"`) || strings.HasPrefix(step.Reply, "{")
	}
	return false
}

func (j *judge) tlsFirst() {
	for _, s := range j.f.Services {
		if isMX(s) || s.Security == "tls" || !s.welcome() || s.Step("auth", false) == nil {
			continue
		}
		open := readable(s.mechanisms(false))
		switch {
		case (s.takesPlain() || len(open) > 0) && j.trustsItself(s):
		case s.takesPlain():
			j.fail(s.Where(), "it would take a password in the clear").with(stepText(s.Step("auth", false)), stepText(s.Step("user", false))).fix("%s", j.mend(s, "no-plain-"+s.Protocol))
		case len(open) > 0:
			j.warn(s.Where(), "it lists %s before TLS; PLAIN is refused when asked for", strings.Join(open, ", ")).sev(Medium).fix("%s", j.mend(s, "no-plain-"+s.Protocol))
		default:
			j.pass(s.Where(), "no password is taken before TLS")
		}
	}
}

func (j *judge) injection() {
	for _, s := range j.f.Services {
		i := s.Injected
		switch {
		case s.Step("starttls", false) == nil:
		case i == nil:
			if !j.f.Injected {
				j.na(s.Where(), "only with --injection: it is logged as abuse by some")
			}
		case i.NotAsked != "":
			j.na(s.Where(), "%s", i.NotAsked)
		case i.Unasked != "":
			j.fail(s.Where(), "a command that came in the clear is answered inside TLS").with(i.Unasked).fix("%s", j.mend(s, "injection"))
		case i.Failure != nil:
			j.pass(s.Where(), "the injected command leads to no answer; the connection ended: %s", i.Failure)
		default:
			j.pass(s.Where(), "the injected command is not answered, the next one is")
		}
	}
}

func (j *judge) implicitFirst() {
	for _, s := range j.f.Services {
		switch {
		case s.Security != "tls" || s.down():
		case s.secured():
			j.pass(s.Where(), "TLS from the first byte")
		case s.Unasked != "":
			j.fail(s.Where(), "speaks in the clear").with(s.Unasked).fix("%s", misplaced(s, "wrap the port in TLS"))
		case s.unseen():
			j.unknown(s.Where(), s.nextOf(), "no handshake was completed: %s", s.why())
		case s.TLS != nil && s.TLS.Failure != nil:
			j.fail(s.Where(), "no handshake: %s", s.TLS.Failure)
		}
	}
}

func (j *judge) withoutSNI() {
	for _, s := range j.f.Services {
		t := s.NoName
		if t == nil || !s.secured() {
			continue
		}
		severity := Low
		if isMX(s) {
			severity = Medium
		}
		switch {
		case t.Failure != nil && !t.refused():
			j.unknown(s.Where(), "repeat later: it may limit how often we may connect", "the handshake without a server name was not heard to its end: %s", t.Failure)
		case t.Failure != nil:
			j.warn(s.Where(), "without SNI there is no handshake: %s", t.Failure).sev(severity).fix("set a certificate for clients that send no name: many mail servers do not")
		case len(t.Chain) > 0 && len(s.TLS.Chain) > 0 && t.Chain[0] == s.TLS.Chain[0]:
			j.pass(s.Where(), "the same certificate without SNI")
		default:
			leaf, ok := j.leaf(t)
			if !ok {
				j.unknown(s.Where(), "gather again", "the certificate that is shown without a server name is not in the facts")
			} else if covers(leaf, j.clientNames(s)) != "" {
				j.pass(s.Where(), "another certificate without SNI, for %s too", covers(leaf, j.clientNames(s)))
			} else {
				j.warn(s.Where(), "another certificate without SNI, for none of %s", strings.Join(j.clientNames(s), ", ")).sev(severity).fix("make the mail host's certificate the default one")
			}
		}
	}
}
