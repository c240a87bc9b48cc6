package probes

import (
	"fmt"

	"herald/wire"
)

// LMTP speaks the Local Mail Transfer Protocol, SMTP's form for the last step into a
// mailbox: it knows LHLO and must refuse EHLO and HELO. It never begins a transaction.
var LMTP = add(lmtp{})

type lmtp struct{}

var lmtpInfo = Info{
	Name:  "lmtp",
	Title: "Local Mail Transfer Protocol",
	Refs:  []string{"RFC 2033", "RFC 3207"},
	Ports: []Port{{24, wire.Plain}, {2003, wire.Plain}},
	Keys: []Key{
		{"lmtp.greeting", "greeting, every line"},
		{"lmtp.lhlo", "reply to LHLO: name and extensions with parameters; once in the clear and once inside TLS"},
		{"lmtp.ehlo", "reply to EHLO, which it must refuse; asked where the greeting looks like SMTP"},
		{"lmtp.helo", "reply to HELO, which it must refuse; asked likewise"},
		{"lmtp.starttls", "reply to STARTTLS"},
		{"lmtp.help", "reply to HELP"},
		{"lmtp.quit", "reply to QUIT"},
	},
}

func (lmtp) Info() *Info { return &lmtpInfo }

// Recognize puts LMTP a little behind SMTP where the greeting does not name it: the same
// words are far more often those of SMTP.
func (lmtp) Recognize(greeting []byte) Likeness {
	code, _ := replyLine(firstLine(greeting))
	switch {
	case (code == 220 || code == 421) && containsWord(greeting, "LMTP"):
		return Sure
	case code != 220 || containsWord(greeting, "SMTP", "ESMTP", "FTP"):
		return Unlike
	case domainFollows(greeting):
		return Possible + 5
	default:
		return Possible - 5
	}
}

func (lmtp) Converse(c *wire.Conversation, o *Observation) error {
	d := &mailDialogue{c, o, &lmtpInfo}
	greeting, err := readStrictReply(c)
	o.Note("lmtp.greeting", greeting.Text)
	switch {
	case err != nil:
		return err
	case greeting.Code == 220:
		return d.talk(d.lhlo)
	case greeting.Code/100 < 4:
		return fmt.Errorf("LMTP does not greet with %d: %w", greeting.Code, ErrOtherProtocol)
	}
	o.Declined = true
	return d.quit()
}

func (d *mailDialogue) lhlo() (reply, error) {
	hello, err := d.ask("lhlo", "LHLO "+helloName(d.c))
	switch {
	case err != nil:
		return hello, err
	case hello.Code == 250:
		d.o.Confirmed = true
	case refusesMail(hello):
		d.o.Confirmed, d.o.Declined = true, true
	default:
		return hello, d.other("LHLO is not accepted")
	}
	return hello, nil
}
