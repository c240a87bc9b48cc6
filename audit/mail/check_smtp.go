package mail

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

var smtpChecks = []Check{
	{"X1", "smtp", "no open relay", Critical, "RFC 5321, 3.6; RFC 2505, 2.1", "a recipient in a foreign domain is refused at RCPT (no message is ever sent)", (*judge).relay},
	{"X2", "smtp", "postmaster is accepted", Medium, "RFC 5321, 4.5.1", "RCPT for postmaster is answered with 2xx", func(j *judge) { j.role("rcpt-postmaster", "postmaster") }},
	{"X3", "smtp", "abuse is accepted", Low, "RFC 2142, 4", "RCPT for abuse is answered with 2xx", func(j *judge) { j.role("rcpt-abuse", "abuse") }},
	{"X4", "smtp", "unknown recipients are refused", Medium, "RFC 5321, 3.3; good practice against backscatter", "RCPT for a name that nobody has is answered with 5xx", (*judge).unknownUser},
	{"X5", "smtp", "the null sender is accepted", High, "RFC 5321, 4.5.5 and 6.1", "MAIL FROM:<> is answered with 2xx: bounces come so", (*judge).nullSender},
	{"X6", "smtp", "greylisting", Info, "RFC 6647, 2", "a 450 or 451 at RCPT is told as what it is", (*judge).greylisting},
	{"X7", "smtp", "VRFY tells nothing", Low, "RFC 5321, 3.5.3 and 7.3", "VRFY for a name that nobody has is answered with 252, 502 or 55x", (*judge).vrfy},
	{"X8", "smtp", "EXPN tells nothing", Medium, "RFC 5321, 7.3", "EXPN is refused", (*judge).expn},
	{"X9", "smtp", "the size limit is sound", Low, "RFC 1870, 3", "SIZE is a number, of 10 MB or more, and the same on 465 and 587", (*judge).size},
	{"X10", "smtp", "extensions do not contradict each other", Low, "RFC 6531, 3.1; RFC 3030, 3", "SMTPUTF8 comes with 8BITMIME, BINARYMIME with CHUNKING", (*judge).extensions},
	{"E10", "smtp", "the size limit is kept to", Low, "RFC 1870, 6.1", "MAIL FROM that announces one byte more than SIZE allows is answered with 552, before the message is sent", (*judge).sizeRefused},
}

// source is our address as the server sees it, as far as that is known, and whether it is
// outside of the server's own network: relaying is often allowed inside.
func (s *Service) source() (from string, outside bool) {
	local, err := netip.ParseAddrPort(s.Local)
	ours := local.Addr().Unmap().WithZone("")
	seen := s.seenAs()
	switch {
	case seen.IsValid() && seen != ours:
		return seen.String(), !inside(seen, s.Addr)
	case err != nil:
		return "an address that was not kept", false
	case ours.IsPrivate() && s.Addr.IsGlobalUnicast() && !s.Addr.IsPrivate():
		return "behind address translation, as a public address (here it is " + ours.String() + ")", true
	}
	return ours.String(), !inside(ours, s.Addr)
}

func inside(from, server netip.Addr) bool {
	return from.IsPrivate() || from.IsLoopback() || from.IsLinkLocalUnicast() || neighbours(from, server)
}

// seenAs is the client's address that a server names in its reply to EHLO: "Hello
// client.example [192.0.2.7]"; the zero address where it names none.
func (s *Service) seenAs() netip.Addr {
	step := s.Any("ehlo")
	if step == nil || code(step.Reply) != 250 {
		return netip.Addr{}
	}
	first := firstLine(step.Reply)
	open, shut := strings.LastIndexByte(first, '['), strings.LastIndexByte(first, ']')
	if open < 0 || shut < open {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(strings.TrimPrefix(first[open+1:shut], "IPv6:"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

func (j *judge) relay() {
	for _, s := range j.services("smtp") {
		mail, step := s.Any("mail"), s.Any("rcpt-relay")
		from, outside := s.source()
		switch {
		case mail != nil && step == nil && code(mail.Reply)/100 != 2:
			j.unknown(s.Where(), "give --helo and --sender a name and address that the server takes", "our sender was refused, so that no recipient could be tried").with(mail.Reply)
		case step == nil:
		case aboutUs(step.Reply):
			j.unknown(s.Where(), nextAboutUs(s, step.Reply), "it refuses us, whoever the recipient is: %s", firstLine(step.Reply)).with("> "+step.Said, "asked from "+from)
		case foreignIsNone(step.Reply):
			j.unknown(s.Where(), "give --relay-to a mailbox elsewhere that takes mail", "it refuses the recipient for its domain, which takes no mail; whether it relays that does not tell: %s", firstLine(step.Reply)).with("> " + step.Said)
		case deniesRelay(step.Reply):
			j.pass(s.Where(), "refuses it, for now at least: %s", firstLine(step.Reply)).with("asked from " + from)
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), nextDeferred(step.Reply), "put off: %s", firstLine(step.Reply)).with("> "+step.Said, "asked from "+from)
		case code(step.Reply)/100 != 2:
			j.pass(s.Where(), "refuses it: %s", firstLine(step.Reply)).with("asked from " + from)
		case slices.Contains(sinks, j.product(s).name):
			j.warn(s.Where(), "takes every recipient: %s is made to take test mail and deliver nothing; keep it off public networks", j.product(s).name).sev(Info)
		case !outside:
			j.warn(s.Where(), "accepts a foreign recipient from %s, which lies in its own or in a private network: that proves little, relaying is often allowed there on purpose", from).sev(Info).
				with("> "+step.Said, "< "+step.Reply).fix("ask again from outside; if it is accepted there too: %s", j.mend(s, "relay"))
		default:
			j.fail(s.Where(), "accepts a foreign recipient at RCPT, asked from %s; whether it would deliver was not tried", from).sev(High).
				with("> "+mail.Said, "< "+mail.Reply, "> "+step.Said, "< "+step.Reply).fix("%s", j.mend(s, "relay"))
		}
	}
}

// deniesRelay says that a deferral is a refusal of relaying and no greylisting: X.7.1 is
// "delivery not authorized" (RFC 3463, 3.8), which Postfix says with 454 by default
// (defer_unauth_destination).
func deniesRelay(reply string) bool {
	text := strings.ToLower(reply)
	return code(reply)/100 == 4 && strings.Contains(text, "4.7.1") && strings.Contains(text, "relay")
}

// foreignIsNone says that a recipient is refused because its domain does not exist or takes
// no mail: 556 and X.1.10 are for a null MX (RFC 7504, 3; RFC 7505, 4.2), X.1.2 for a
// domain that is none (RFC 3463, 3.2).
func foreignIsNone(reply string) bool {
	return code(reply) == 556 || code(reply)/100 == 5 && (strings.Contains(reply, "5.1.10 ") || strings.Contains(reply, "5.1.2 "))
}

// neighbours says whether two addresses are likely in one network: relaying is often
// allowed there.
func neighbours(a, b netip.Addr) bool {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	return err == nil && p.Contains(b)
}

func (j *judge) role(name, mailbox string) {
	for _, s := range j.exchangers() {
		step := s.Any(name)
		switch {
		case step == nil:
		case code(step.Reply)/100 == 2:
			j.pass(s.Where(), "accepted")
		case aboutUs(step.Reply):
			j.unknown(s.Where(), nextAboutUs(s, step.Reply), "it refuses us, whoever the recipient is: %s", firstLine(step.Reply)).with("> " + step.Said)
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), nextDeferred(step.Reply), "put off: %s", firstLine(step.Reply))
		case s.servesNot() && j.domain() != "":
			if mailbox == "abuse" { // told once
				continue
			}
			j.fail(s.Where(), "it takes no mail for %s: %s is refused as a foreign recipient is: %s", j.domain(), mailbox, firstLine(step.Reply)).sev(High).with("> "+step.Said, "> "+saidOf(s.Any("rcpt-relay")), "< "+stepText(s.Any("rcpt-relay"))).
				fix("let the server take mail for %s, or take it off the MX records", j.domain())
		case s.refusedAlike() != "":
			j.unknown(s.Where(), "see in the server's log why: it may be about our address, our name or the domain", "every recipient is refused alike: %s", firstLine(step.Reply)).with("> " + step.Said)
		default:
			f := j.fail(s.Where(), "refused: %s", firstLine(step.Reply)).with("> "+step.Said).fix("make %s an alias of somebody who reads it", mailbox)
			if mailbox == "abuse" {
				f.State = Warn
			}
		}
	}
}

func (j *judge) unknownUser() {
	for _, s := range j.exchangers() {
		step := s.Any("rcpt-random")
		switch {
		case step == nil:
		case aboutUs(step.Reply):
			j.unknown(s.Where(), nextAboutUs(s, step.Reply), "it refuses us, whoever the recipient is: %s", firstLine(step.Reply)).with("> " + step.Said)
		case code(step.Reply)/100 == 5 && s.servesNot():
			j.na(s.Where(), "the domain is not served here (X2)")
		case code(step.Reply)/100 == 5 && s.refusedAlike() != "":
			j.unknown(s.Where(), "see X2", "every recipient is refused alike: %s", firstLine(step.Reply))
		case code(step.Reply)/100 == 5:
			j.pass(s.Where(), "refused: %s", firstLine(step.Reply))
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), nextDeferred(step.Reply), "put off: %s", firstLine(step.Reply))
		case slices.Contains(sinks, j.product(s).name):
			j.na(s.Where(), "%s takes every recipient on purpose", j.product(s).name)
		default:
			j.warn(s.Where(), "accepted: either all names are one mailbox, or a bounce will go to a forged sender").with("> "+step.Said, "< "+step.Reply).fix("%s", j.mend(s, "unknown-user"))
		}
	}
}

func (j *judge) nullSender() {
	for _, s := range j.exchangers() {
		step := s.Any("mail-null")
		switch {
		case step == nil:
		case code(step.Reply)/100 == 2:
			j.pass(s.Where(), "accepted")
		case aboutUs(step.Reply):
			j.unknown(s.Where(), nextAboutUs(s, step.Reply), "it refuses us, whoever the sender is: %s", firstLine(step.Reply)).with("> " + step.Said)
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), "repeat later", "put off: %s", firstLine(step.Reply))
		default:
			j.fail(s.Where(), "refused: %s; bounces and vacation notes to your users are lost", firstLine(step.Reply)).fix("accept MAIL FROM:<>")
		}
	}
}

func (j *judge) greylisting() {
	for _, s := range j.exchangers() {
		for _, name := range []string{"rcpt-postmaster", "rcpt-abuse"} {
			if step := s.Any(name); step != nil && (code(step.Reply) == 450 || code(step.Reply) == 451) {
				j.pass(s.Where(), "seen: %s", firstLine(step.Reply))
				break
			}
		}
	}
}

func (j *judge) vrfy() {
	for _, s := range j.services("smtp") {
		step := s.Any("vrfy")
		switch {
		case step == nil:
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), "repeat later", "put off: %s", firstLine(step.Reply))
		case code(step.Reply) == 250 || code(step.Reply) == 251:
			j.warn(s.Where(), "confirms a name that nobody has: %s", firstLine(step.Reply)).fix("%s", j.mend(s, "vrfy"))
		case code(step.Reply) == 550 && !strings.Contains(step.Reply, "5.7."):
			j.pass(s.Where(), "%s; it may tell which names exist", firstLine(step.Reply))
		default:
			j.pass(s.Where(), "%s", firstLine(step.Reply))
		}
	}
}

func (j *judge) expn() {
	for _, s := range j.services("smtp") {
		step := s.Any("expn")
		switch {
		case step == nil:
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), "repeat later", "put off: %s", firstLine(step.Reply))
		case code(step.Reply) == 250:
			j.warn(s.Where(), "expands a name that nobody has: %s", firstLine(step.Reply)).fix("%s", j.mend(s, "vrfy"))
		default:
			j.pass(s.Where(), "%s", firstLine(step.Reply))
		}
	}
}

func (j *judge) size() {
	sizes := map[string]map[uint16]string{}
	for _, s := range j.services("smtp") {
		list := s.best()
		if list == nil {
			continue
		}
		value, ok := parameter(list, "SIZE")
		n, err := strconv.ParseUint(value, 10, 63)
		switch {
		case !ok:
			j.pass(s.Where(), "no SIZE: no limit is told")
		case value == "":
			j.pass(s.Where(), "SIZE without a number: no fixed limit")
		case err != nil:
			j.fail(s.Where(), "SIZE %q is no number", value).fix("send digits alone")
		case n == 0:
			j.pass(s.Where(), "no fixed limit")
		case n < 10_000_000:
			j.warn(s.Where(), "%d bytes: less than 10 MB", n).fix("raise the limit: attachments grow by a third in transport")
		default:
			j.pass(s.Where(), "%d bytes", n)
		}
		key := s.Host + " (" + s.Addr.String() + ")"
		if sizes[key] == nil {
			sizes[key] = map[uint16]string{}
		}
		sizes[key][s.Port] = value
	}
	for _, host := range slices.Sorted(maps.Keys(sizes)) {
		by := sizes[host]
		if a, ok := by[465]; ok {
			if b, ok := by[587]; ok && a != b {
				j.warn(host, "465 says %s and 587 says %s", cmp.Or(a, "nothing"), cmp.Or(b, "nothing")).fix("give both ports one limit")
			}
		}
	}
}

func (j *judge) sizeRefused() {
	for _, s := range j.exchangers() {
		step := s.Any("mail-size")
		if step == nil {
			continue
		}
		said := "> " + step.Said
		switch c := code(step.Reply); {
		case c/100 == 2:
			j.warn(s.Where(), "a message that is too large is not refused when it is announced, but once it is sent").with(said, "< "+step.Reply).fix("%s", j.mend(s, "size"))
		case c == 552 || c/100 == 5 && strings.Contains(step.Reply, "5.3.4"): // RFC 3463, 3.4: too big for the system
			j.pass(s.Where(), "refused: %s", firstLine(step.Reply))
		case aboutUs(step.Reply):
			j.unknown(s.Where(), nextAboutUs(s, step.Reply), "it refuses us, whatever the size is: %s", firstLine(step.Reply)).with(said)
		case c == 501 || c == 504 || c == 555: // RFC 5321, 4.1.1.11
			j.fail(s.Where(), "SIZE is offered, and not known as a parameter of MAIL: %s", firstLine(step.Reply)).with(said).fix("update the server, or look for a proxy that adds SIZE to its list")
		case c/100 == 4:
			j.unknown(s.Where(), nextDeferred(step.Reply), "put off: %s", firstLine(step.Reply)).with(said)
		default:
			j.unknown(s.Where(), "see in the server's log why", "refused, and whether for its size does not show: %s", firstLine(step.Reply)).with(said)
		}
	}
}

func (j *judge) extensions() {
	for _, s := range j.services("smtp") {
		list := s.best()
		if list == nil {
			continue
		}
		var wrong []string
		if has(list, "SMTPUTF8") && !has(list, "8BITMIME") {
			wrong = append(wrong, "SMTPUTF8 without 8BITMIME (RFC 6531, 3.1)")
		}
		if has(list, "BINARYMIME") && !has(list, "CHUNKING") {
			wrong = append(wrong, "BINARYMIME without CHUNKING (RFC 3030, 3)")
		}
		if len(wrong) > 0 {
			j.fail(s.Where(), "%s", strings.Join(wrong, "; ")).with(strings.Join(list, "\n")).fix("offer both or neither; look for a proxy that removes keywords")
		} else {
			j.pass(s.Where(), "%s", strings.Join(list, ", "))
		}
	}
}
