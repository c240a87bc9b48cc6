package mail

import (
	"slices"
	"strings"

	"herald/wire"
)

const mailboxArea = "imap, pop3 and sieve"

var mailboxChecks = []Check{
	{"I1", mailboxArea, "IMAP greets with OK", High, "RFC 9051, 7.1", "the greeting is an untagged OK", func(j *judge) { j.greets("imap", "* OK") }},
	{"I2", mailboxArea, "IMAP lists its capabilities", Medium, "RFC 9051, 6.1.1 and 6.2.1", "CAPABILITY lists IMAP4rev1 or IMAP4rev2, before and after TLS", (*judge).imapCapabilities},
	{"I3", mailboxArea, "STARTTLS on 143", High, "RFC 9051, 6.2.1", "143, where it is open, offers STARTTLS, and it works", func(j *judge) { j.upgrade("imap", 143) }},
	{"I4", mailboxArea, "IMAP says what it is", Info, "RFC 2971, 3.2", "ID is answered where it is offered", (*judge).imapID},
	{"I6", mailboxArea, "143 and 993 agree", Low, "good practice", "inside TLS both list the same capabilities", func(j *judge) {
		j.siblings("imap", 993, 143, func(s *Service) []string { return s.offers(true) }, "capabilities")
	}},
	{"P1", mailboxArea, "POP3 greets with +OK", Medium, "RFC 1939, 4", "the greeting is +OK", func(j *judge) { j.greets("pop3", "+OK") }},
	{"P2", mailboxArea, "POP3 lists its capabilities", Low, "RFC 2449, 5; RFC 2595, 4", "CAPA is answered, before and after TLS", (*judge).popCapabilities},
	{"P3", mailboxArea, "STLS on 110", High, "RFC 2595, 4", "110, where it is open, offers STLS, and it works", func(j *judge) { j.upgrade("pop3", 110) }},
	{"P4", mailboxArea, "POP3 has UIDL and TOP", Low, "RFC 1939, 7; RFC 2449, 6", "CAPA lists UIDL and TOP, which clients need to leave mail on the server", (*judge).uidl},
	{"P5", mailboxArea, "110 and 995 agree", Low, "good practice", "inside TLS both list the same capabilities", func(j *judge) {
		j.siblings("pop3", 995, 110, func(s *Service) []string { return s.offers(true) }, "capabilities")
	}},
	{"V1", mailboxArea, "ManageSieve takes no password before TLS", Medium, "RFC 5804, 1.7 and 2.2", "SASL is empty before TLS, STARTTLS and VERSION are listed", (*judge).sieveBeforeTLS},
}

func (j *judge) greets(protocol, word string) {
	for _, s := range j.services(protocol) {
		switch g := s.greeting(); {
		case g == "": // R4, R5, R12 tell
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it would not talk to us").with(g)
		case strings.HasPrefix(strings.ToUpper(g), word):
			j.pass(s.Where(), "%s", firstLine(g))
		case strings.HasPrefix(strings.ToUpper(g), "* PREAUTH"): // A8 tells
		default:
			j.fail(s.Where(), "greets otherwise").with(g)
		}
	}
}

func (j *judge) imapCapabilities() {
	for _, s := range j.services("imap") {
		if !s.welcome() {
			continue
		}
		list := s.best()
		switch {
		case list == nil && (s.Failure != nil && s.Failure.Kind != wire.Protocol || s.Any("capability") == nil):
			j.unknown(s.Where(), s.nextOf(), "the conversation ended before: %s", s.why())
		case list == nil:
			j.fail(s.Where(), "does not answer CAPABILITY").with(stepText(s.Any("capability")))
		case !has(list, "IMAP4rev1") && !has(list, "IMAP4rev2"):
			j.fail(s.Where(), "lists neither IMAP4rev1 nor IMAP4rev2").with(strings.Join(list, " "))
		default:
			j.pass(s.Where(), "%s", strings.Join(list, " "))
		}
	}
}

func (j *judge) upgrade(protocol string, port uint16) {
	for _, s := range j.services(protocol, port) {
		switch {
		case s.Security == "tls" || !s.welcome() || s.offers(false) == nil:
		case strings.HasPrefix(strings.ToUpper(s.greeting()), "* PREAUTH"): // A8 tells
		case s.interrupted(): // S9 tells
		case !s.offersTLS() && s.secured(): // a part of the facts is missing
		case !s.offersTLS():
			j.fail(s.Where(), "not offered: whoever logs in here is read along").with(strings.Join(s.offers(false), "\n")).fix("%s", j.mend(s, "starttls-"+protocol))
		case s.secured():
			j.pass(s.Where(), "offered, and works")
		case s.unseen():
			j.unknown(s.Where(), s.nextOf(), "offered; whether it works is not known: %s", s.why())
		case s.agreed() && s.TLS == nil:
			j.fail(s.Where(), "offered, and no handshake begins: %s", s.why()).with(stepText(s.Step("starttls", false)))
		case s.agreed():
			j.fail(s.Where(), "offered, and the handshake fails: %s", s.TLS.Failure).with(s.TLS.Failure.Text).fix("look at the server's log: a key that does not fit its certificate, a file that it cannot read")
		default:
			j.fail(s.Where(), "offered, and refused: %s", firstLine(stepText(s.Step("starttls", false)))).with(stepText(s.Step("starttls", false))).fix("%s", j.mend(s, "starttls-"+protocol))
		}
	}
}

func (j *judge) imapID() {
	for _, s := range j.services("imap") {
		if step := s.Any("id"); step != nil {
			if list := idList(step.Reply); list != "" && !strings.EqualFold(list, "NIL") {
				j.pass(s.Where(), "%s", list)
			} else {
				j.pass(s.Where(), "it keeps that to itself")
			}
		}
	}
}

func (j *judge) popCapabilities() {
	for _, s := range j.services("pop3") {
		if !s.welcome() {
			continue
		}
		if list := s.best(); list != nil {
			j.pass(s.Where(), "%s", strings.Join(list, ", "))
		} else if step := s.Any("capa"); step != nil {
			j.warn(s.Where(), "no CAPA: %s", firstLine(step.Reply)).sev(Info)
		}
	}
}

func (j *judge) uidl() {
	for _, s := range j.services("pop3") {
		list := s.best()
		if list == nil {
			continue
		}
		var missing []string
		for _, name := range []string{"UIDL", "TOP"} {
			if !has(list, name) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			j.warn(s.Where(), "does not list %s", strings.Join(missing, " and ")).with(strings.Join(list, "\n"))
		} else {
			j.pass(s.Where(), "both")
		}
	}
}

func (j *judge) sieveBeforeTLS() {
	for _, s := range j.services("sieve") {
		list := s.offers(false)
		if s.Security == "tls" || list == nil {
			continue
		}
		open := readable(s.mechanisms(false))
		step := s.Step("auth", false)
		switch {
		case (s.takesPlain() || len(open) > 0) && j.trustsItself(s):
		case s.takesPlain():
			j.fail(s.Where(), "would take a password in the clear").sev(Critical).with("> "+step.Said, "< "+step.Reply).fix("%s", j.mend(s, "no-plain-sieve"))
		case len(open) > 0:
			j.warn(s.Where(), "lists %s before TLS", strings.Join(open, ", ")).fix("%s", j.mend(s, "no-plain-sieve"))
		case slices.ContainsFunc([]string{"STARTTLS", "VERSION"}, func(n string) bool { return !has(list, n) }):
			j.warn(s.Where(), "does not list STARTTLS and VERSION").sev(Low).with(strings.Join(list, "\n"))
		default:
			j.pass(s.Where(), "no password before TLS")
		}
	}
}
