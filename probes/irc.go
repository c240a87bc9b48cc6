package probes

import (
	"bytes"

	"herald/wire"
)

// IRC asks for the capabilities and the version, both of which may be asked before a
// client registers (IRCv3; RFC 2812, 3.4.3 has servers answer 451 to the second), and
// quits. It never takes a nickname.
var IRC = add(irc{})

type irc struct{}

var ircInfo = Info{
	Name:  "irc",
	Title: "Internet Relay Chat",
	Refs:  []string{"RFC 1459", "RFC 2812", "https://ircv3.net/specs/extensions/capability-negotiation"},
	Ports: []Port{{6667, wire.Plain}, {6697, wire.TLS}, {6666, wire.Plain}, {6668, wire.Plain}, {194, wire.Plain}},
	Keys: []Key{
		{"irc.greeting", "notices and other lines that are no answer"},
		{"irc.cap", "answer to CAP LS 302"},
		{"irc.version", "answer to VERSION: 351, or more often 451"},
		{"irc.quit", "answer to QUIT"},
		{"irc.error", "line of ERROR by which it declines"},
	},
	Asks: true,
}

func (irc) Info() *Info { return &ircInfo }

func (irc) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	switch verb, _ := ircVerb(line); {
	case verb == "NOTICE" && containsWord(line, "AUTH", "Looking", "Ident", "hostname", "***"):
		return Sure
	case verb == "NOTICE" && bytes.Contains(line, []byte("***")):
		return Sure
	case verb == "NOTICE" && line[0] == ':' && bytes.Contains(line, []byte(" NOTICE * :")):
		return Sure // to a client that has no name yet
	case verb == "020", verb == "451":
		return Sure
	case verb == "ERROR" && bytes.HasPrefix(line, []byte("ERROR :")):
		return Likely // "ERROR :Closing Link: …", "ERROR :Trying to reconnect too fast."
	case verb == "PING" && bytes.HasPrefix(line, []byte("PING :")):
		return Likely
	}
	return Unlike
}

func (i irc) Overhear(_ string, answer []byte) Likeness { return i.Recognize(answer) }

func (irc) Converse(c *wire.Conversation, o *Observation) error {
	// Both at once: a server without capabilities does not answer the first.
	if !bytes.HasPrefix(c.Pending(), []byte("ERROR ")) { // turned away before a word
		if err := c.Say([]byte("CAP LS 302\r\nVERSION\r\n")); err != nil {
			return err
		}
	}
	var notices, capabilities []byte
	defer func() {
		o.Note("irc.greeting", notices)
		o.Note("irc.cap", capabilities)
	}()
	const most = 60 // lines; some greet before anybody registered
	for range most {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		switch verb, prefixed := ircVerb(line); verb {
		case "":
			return c.Malformed("a message has a command", line)
		case "CAP":
			capabilities = append(capabilities, line...)
			o.Confirmed = o.Confirmed || prefixed
		case "ERROR":
			if !bytes.HasPrefix(line, []byte("ERROR :")) {
				return c.Malformed("an error has a text", line)
			}
			o.Note("irc.error", line)
			o.Confirmed, o.Declined = true, true
			return nil
		case "351", "421", "451":
			o.Note("irc.version", line)
			o.Confirmed = true
			bye, _ := c.Ask("QUIT")
			o.Note("irc.quit", bye)
			return nil
		default:
			notices = append(notices, line...)
		}
	}
	return c.TooMuch("lines before an answer", most)
}

// ircVerb is the command of a message, "" where the line is none (RFC 2812, 2.3.1).
// prefixed is true where it says who speaks.
func ircVerb(line []byte) (verb string, prefixed bool) {
	line = bytes.TrimRight(line, "\r\n")
	if len(line) > 1 && line[0] == ':' {
		prefixed = true
		_, line, _ = bytes.Cut(line, []byte(" "))
	}
	word, _, _ := bytes.Cut(line, []byte(" "))
	switch string(word) {
	case "NOTICE", "ERROR", "PING", "CAP":
		return string(word), prefixed
	}
	if n, rest := number(word); prefixed && n >= 0 && len(word) == 3 && len(rest) == 0 {
		return string(word), true
	}
	return "", prefixed
}
