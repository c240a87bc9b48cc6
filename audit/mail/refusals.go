package mail

import (
	"regexp"
	"slices"
	"strings"
)

// Servers hold back what they think of a client's address, of its name or of its EHLO
// until the first recipient (Postfix: smtpd_delay_reject), and refuse every recipient
// for it alike. Such an answer says nothing about a recipient.

// aboutUs says that a refusal is of the client, and not of whom the command names. X.1.1
// and X.1.10 are about a mailbox (RFC 3463, 3.2; RFC 7505, 4.2), X.7.25 is about the
// client's name (RFC 7372, 3.3).
func aboutUs(reply string) bool {
	text := strings.ToLower(reply)
	if code(reply)/100 < 4 || strings.Contains(text, ".1.1") || strings.Contains(text, "not listed") || strings.Contains(text, "unlisted") {
		return false
	}
	return slices.ContainsFunc([]string{
		"client host", "helo", "ehlo", "blocked using", "block list", "blocklist", "blacklist", "is blocked", "been blocked", "is listed", "listed by", "listed in", "listed at",
		"reputation", "spamhaus", "dnsbl", " rbl", "reverse dns", "rdns", "reverse host", "ptr record", "your hostname", "your ip", ".7.25 ",
	}, func(words string) bool { return strings.Contains(text, words) })
}

// nextAboutUs is what to do where a reply turns us away.
func nextAboutUs(s *Service, reply string) string {
	text := strings.ToLower(reply)
	from, _ := s.source()
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch c := code(reply); {
	case c == 554 && s.greeting() == reply && !has("block", "listed"):
		return "see whether the host takes mail at all (RFC 5321, 3.1), and whether our address " + from + " is on a block list"
	case has("helo", "ehlo", "fqdn", "fully-qualified", "fully qualified"):
		return "name ourselves by a name that has the address " + from + ": --helo NAME"
	case has("reverse", "rdns", "ptr", "hostname", ".7.25 "):
		return "ask from an address that has a name (PTR) which leads back to it; " + from + " seems to have none"
	case has("too many", "rate", "limit"):
		return "it limits how often we may connect: repeat in some minutes, or allow " + from
	case c == 554 || c == 550 || c == 571 || has("block", "listed"):
		return "our address " + from + " is refused: look at the block list that it names, or allow it"
	case c/100 == 4:
		return "repeat in five minutes, or allow " + from
	}
	return "repeat later, or from another address than " + from
}

// nextDeferred is what to do where a recipient was put off.
func nextDeferred(reply string) string {
	if c := code(reply); c == 450 || c == 451 {
		return "repeat in some minutes: it may be greylisting"
	}
	return "repeat later; see in the server's log what it lacks"
}

var mailboxInReply = regexp.MustCompile(`<[^<>]*>|[^\s<>]+@[^\s<>]+`)

// refusedAlike is the answer that every recipient got, of the domain or foreign; "" where
// they differ, or where not both were asked for.
func (s *Service) refusedAlike() string {
	relay := s.Any("rcpt-relay")
	if relay == nil || s.Any("rcpt-postmaster") == nil || code(relay.Reply)/100 < 4 {
		return ""
	}
	bare := func(reply string) string { return mailboxInReply.ReplaceAllString(firstLine(reply), "") }
	for _, name := range []string{"rcpt-postmaster", "rcpt-abuse", "rcpt-random"} {
		if step := s.Any(name); step != nil && bare(step.Reply) != bare(relay.Reply) {
			return ""
		}
	}
	return relay.Reply
}

// servesNot says that the domain's own recipients are refused as foreign ones are: in
// words about relaying, or as mailboxes that do not exist (X.1.1).
func (s *Service) servesNot() bool {
	text := strings.ToLower(s.refusedAlike())
	return strings.Contains(text, "relay") || strings.Contains(text, ".1.1 ")
}

// withoutExtensions says that the server does not know EHLO, as it says with 500 or 502
// (RFC 5321, 4.1.1.1 and 4.2.4): so it has no extension, and STARTTLS is one.
func (s *Service) withoutExtensions() bool {
	c := code(stepText(s.Step("ehlo", false)))
	return s.Protocol == "smtp" && (c == 500 || c == 502) && s.Step("ehlo", true) == nil
}
