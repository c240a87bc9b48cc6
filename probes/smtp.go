package probes

import (
	"bytes"
	"fmt"
	"net/netip"

	"herald/wire"
)

// SMTP speaks the Simple Mail Transfer Protocol. It never begins a mail transaction and
// never authenticates. It says nothing before the greeting has ended (RFC 5321, 4.3.1).
var SMTP = add(smtp{})

type smtp struct{}

var smtpInfo = Info{
	Name:  "smtp",
	Title: "Simple Mail Transfer Protocol",
	Refs:  []string{"RFC 5321", "RFC 3207", "RFC 4954", "RFC 8314"},
	Ports: []Port{{25, wire.Plain}, {587, wire.Plain}, {465, wire.TLS}, {2525, wire.Plain}, {26, wire.Plain}},
	Keys: []Key{
		{"smtp.greeting", "greeting, every line"},
		{"smtp.ehlo", "reply to EHLO: name and extensions with parameters; once in the clear and once inside TLS"},
		{"smtp.helo", "reply to HELO, asked where EHLO is refused"},
		{"smtp.starttls", "reply to STARTTLS"},
		{"smtp.help", "reply to HELP"},
		{"smtp.quit", "reply to QUIT"},
	},
}

func (smtp) Info() *Info { return &smtpInfo }

func (smtp) Recognize(greeting []byte) Likeness {
	code, _ := replyLine(firstLine(greeting))
	switch {
	case code == 220 && containsWord(greeting, "SMTP", "ESMTP", "Mail"):
		return Likely
	case code == 220:
		return Possible
	case (code == 421 || code == 554 || code/100 == 4 || code/100 == 5) && containsWord(greeting, "SMTP", "ESMTP", "mail", "blocked", "listed", "RBL"):
		return Likely
	case code == 554:
		return Likely // RFC 5321, 3.1: the greeting of a server that does no mail
	case code == 421 || code == 450 || code == 451 || code == 550:
		return Possible
	}
	return Unlike
}

func (smtp) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := readReply(c)
	o.Note("smtp.greeting", greeting.Text)
	if err != nil {
		return err
	}
	if !greeting.positive() {
		o.Declined = true
		return leave(c, o, "smtp.quit")
	}
	hello, err := smtpHello(c, o)
	if err != nil {
		return err
	}
	if offers(hello, "STARTTLS") && !c.Manners().NoUpgrade {
		agreed, err := ask(c, "STARTTLS")
		o.Note("smtp.starttls", agreed.Text)
		if err != nil {
			return err
		}
		if agreed.Code == 220 {
			if err := c.StartTLS(); err != nil {
				return err
			}
			if _, err := smtpHello(c, o); err != nil {
				return err
			}
		}
	}
	help, err := ask(c, "HELP")
	o.Note("smtp.help", help.Text)
	if err != nil {
		return err
	}
	return leave(c, o, "smtp.quit")
}

// smtpHello introduces us, by HELO where EHLO is refused.
func smtpHello(c *wire.Conversation, o *Observation) (reply, error) {
	name := helloName(c)
	hello, err := ask(c, "EHLO "+name)
	o.Note("smtp.ehlo", hello.Text)
	if err != nil {
		return hello, err
	}
	if hello.positive() {
		o.Confirmed = true
		return hello, nil
	}
	if hello.Code == 421 {
		o.Declined = true
		return hello, nil
	}
	helo, err := ask(c, "HELO "+name)
	o.Note("smtp.helo", helo.Text)
	if err != nil {
		return helo, err
	}
	if !helo.positive() {
		return helo, fmt.Errorf("neither EHLO nor HELO is accepted: %w", ErrOtherProtocol)
	}
	o.Confirmed = true
	return helo, nil
}

// helloName is how we introduce ourselves: the caller's name, or the address literal of
// our side (RFC 5321, 4.1.3), which is valid towards a bare address too.
func helloName(c *wire.Conversation) string {
	if name := c.Manners().Hello; name != "" {
		return name
	}
	addr := c.Local().Addr().WithZone("")
	switch {
	case addr.Is4():
		return "[" + addr.String() + "]"
	case addr.Is6():
		return "[IPv6:" + addr.String() + "]"
	}
	return "[" + netip.AddrFrom4([4]byte{127, 0, 0, 1}).String() + "]"
}

// offers says whether a reply to EHLO or LHLO lists a keyword (RFC 5321, 4.1.1.1).
func offers(hello reply, keyword string) bool {
	for _, line := range hello.lines()[1:] {
		word, _, _ := bytes.Cut(line, []byte(" "))
		if bytes.EqualFold(word, []byte(keyword)) {
			return true
		}
	}
	return false
}

// leave says QUIT and notes the answer. A server that just closes is no failure.
func leave(c *wire.Conversation, o *Observation, key string) error {
	bye, err := ask(c, "QUIT")
	o.Note(key, bye.Text)
	if err != nil && wire.KindOf(err) == wire.Protocol {
		return err
	}
	return nil
}
