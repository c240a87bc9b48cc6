package probes

import (
	"bytes"
	"fmt"

	"herald/wire"
)

// POP3 speaks the Post Office Protocol, version 3. It never logs in.
var POP3 = add(pop3{})

type pop3 struct{}

var pop3Info = Info{
	Name:  "pop3",
	Title: "Post Office Protocol, version 3",
	Refs:  []string{"RFC 1939", "RFC 2449", "RFC 2595", "RFC 8314"},
	Ports: []Port{{110, wire.Plain}, {995, wire.TLS}},
	Keys: []Key{
		{"pop3.greeting", "greeting"},
		{"pop3.apop", "the time stamp in the greeting, where APOP is offered: <process.clock@host>"},
		{"pop3.capa", "reply to CAPA, every line; once in the clear and once inside TLS"},
		{"pop3.implementation", "argument of the capability IMPLEMENTATION"},
		{"pop3.stls", "reply to STLS"},
		{"pop3.quit", "reply to QUIT"},
	},
}

func (pop3) Info() *Info { return &pop3Info }

func (pop3) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	named := containsWord(line, "POP", "POP3", "POP3D", "POP2")
	switch status(line) {
	case "+OK":
		if named || apopStamp(line) != nil {
			return Sure
		}
		return Likely
	case "-ERR":
		if named {
			return Likely
		}
		return Possible // Redis turns away in these words too
	}
	return Unlike
}

func (pop3) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := c.ReadLine()
	if err != nil {
		return err
	}
	o.Note("pop3.greeting", greeting)
	switch status(greeting) {
	case "+OK":
	case "-ERR":
		o.Declined = true
		return pop3Quit(c, o)
	default:
		return c.Malformed("a greeting begins with +OK or -ERR", greeting)
	}
	o.Note("pop3.apop", apopStamp(greeting))
	if err := c.Send("CAPA"); err != nil {
		return err
	}
	offered, err := pop3Capa(c, o)
	if err != nil {
		return err
	}
	o.Confirmed = true
	if c.TLS() != nil || c.Manners().NoUpgrade || !hasWordFirst(offered, "STLS") {
		return pop3Quit(c, o)
	}
	agreed, err := c.Ask("STLS")
	if err != nil {
		return err
	}
	o.Note("pop3.stls", agreed)
	if status(agreed) != "+OK" {
		return pop3Quit(c, o)
	}
	if err := c.StartTLS(); err != nil {
		return err
	}
	if !hasWordFirst(offered, "PIPELINING") {
		if err := c.Send("CAPA"); err != nil {
			return err
		}
		if _, err := pop3Capa(c, o); err != nil {
			return err
		}
		return pop3Quit(c, o)
	}
	if err := c.Say([]byte("CAPA\r\nQUIT\r\n")); err != nil {
		return err
	}
	if _, err := pop3Capa(c, o); err != nil {
		return err
	}
	return pop3LastWord(c, o)
}

// pop3Capa reads and notes the answer to CAPA. A server that does not know the command
// has none.
func pop3Capa(c *wire.Conversation, o *Observation) ([]string, error) {
	from := c.Consumed()
	first, err := c.ReadLine()
	if err != nil {
		return nil, err
	}
	switch status(first) {
	case "+OK":
	case "-ERR":
		o.Note("pop3.capa", first)
		return nil, nil
	default:
		o.Note("pop3.capa", first)
		return nil, c.Malformed("a reply begins with +OK or -ERR", first)
	}
	_, err = readDotLines(c)
	whole := consumedSince(c, from)
	o.Note("pop3.capa", whole)
	offered := POP3Capabilities(whole)
	if what, ok := argument(offered, "IMPLEMENTATION"); ok {
		o.Note("pop3.implementation", []byte(what))
	}
	return offered, err
}

func pop3Quit(c *wire.Conversation, o *Observation) error {
	if err := c.Send("QUIT"); err != nil {
		return onlyMalformed(err)
	}
	return pop3LastWord(c, o)
}

func pop3LastWord(c *wire.Conversation, o *Observation) error {
	bye, err := c.ReadLine()
	if err != nil {
		return onlyMalformed(err)
	}
	o.Note("pop3.quit", bye)
	if s := status(bye); s == "" {
		return fmt.Errorf("farewell: %w", c.Malformed("a reply begins with +OK or -ERR", bye))
	}
	return nil
}

// status is the line's status indicator, "" where it has none (RFC 1939, 3: in upper
// case, followed by a space where text follows).
func status(line []byte) string {
	for _, s := range []string{"+OK", "-ERR"} {
		if rest, ok := bytes.CutPrefix(line, []byte(s)); ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
			return s
		}
	}
	return ""
}

// apopStamp is the msg-id in the greeting of a server that offers APOP (RFC 1939, 7), nil
// without.
func apopStamp(greeting []byte) []byte {
	open := bytes.LastIndexByte(greeting, '<')
	if open < 0 {
		return nil
	}
	end := bytes.IndexByte(greeting[open:], '>')
	if end < 0 {
		return nil
	}
	stamp := greeting[open : open+end+1]
	if at := bytes.IndexByte(stamp, '@'); at < 2 || at > len(stamp)-3 || bytes.ContainsAny(stamp, " \t") {
		return nil
	}
	return stamp
}
