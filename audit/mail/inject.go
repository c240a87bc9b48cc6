package mail

import (
	"time"

	"herald/wire"
)

// inject sends a command in one segment with STARTTLS, and listens inside TLS whether it
// is answered (CVE-2011-0411 and its family; RFC 3207, 4.2 and 6).
func (v *visit) inject() {
	into := &Injection{}
	v.s.Injected = into
	more := map[string]string{"smtp": "NOOP\r\n", "imap": "h2 NOOP\r\n", "pop3": "CAPA\r\n", "sieve": "CAPABILITY\r\n"}[v.s.Protocol]
	c, err := v.open(v.caller(), wire.Plain)
	defer func() { v.close(c) }()
	if err == nil {
		err = v.agree(c, more)
	}
	if err == nil {
		err = c.StartTLS()
	}
	if err != nil {
		into.Failure = failure("injection", err)
		return
	}
	unasked, _ := c.Listen(2500 * time.Millisecond)
	if v.s.Protocol == "sieve" && len(unasked) > 0 {
		into.NotAsked = "ManageSieve lists its capabilities unasked: nothing can be told from that"
		return
	}
	if into.Unasked = clip(string(unasked), 500); into.Unasked != "" {
		return
	}
	t := &talk{c: c, s: &Service{}}
	switch v.s.Protocol {
	case "smtp":
		into.Control, err = t.ask("control", "NOOP", smtpReply)
	case "imap":
		into.Control, err = t.ask("control", "h3 NOOP", untilTag("h3"))
	case "pop3":
		into.Control, err = t.ask("control", "QUIT", oneLine)
	}
	into.Failure = failure("control", err)
}
