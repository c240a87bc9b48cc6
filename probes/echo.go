package probes

import (
	"bytes"

	"herald/wire"
)

// Echo says a line and wants it back, to the byte, with nothing before or after it.
var Echo = add(echo{})

type echo struct{}

var echoInfo = Info{
	Name:  "echo",
	Title: "Echo protocol",
	Refs:  []string{"RFC 862"},
	Ports: []Port{{7, wire.Plain}},
	Keys:  []Key{{"echo.answer", "what came back"}},
	Asks:  true,
}

var echoWords = []byte("herald: is this an echo?\r\n")

func (echo) Info() *Info { return &echoInfo }

func (echo) Recognize([]byte) Likeness { return Unlike }

// Overhear: a question comes back as it was sent.
func (echo) Overhear(asked string, answer []byte) Likeness {
	switch {
	case asked == "http" && bytes.HasPrefix(answer, []byte("GET ")) && bytes.Contains(answer, []byte(" HTTP/1.1\r\n")):
		return Likely
	case asked == "line" && bytes.Equal(answer, []byte("HELP\r\n")):
		return Likely
	case asked == "tls" && len(answer) > 5 && answer[0] == 22 && answer[1] == 3 && answer[5] == 1: // no server says ClientHello
		return Likely
	}
	return Unlike
}

func (echo) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := askRaw(c, echoWords, 1<<10)
	if err != nil {
		return err
	}
	if !bytes.Equal(answer, echoWords) {
		return c.Malformed("an echo is what was said", answer)
	}
	o.Note("echo.answer", answer)
	o.Confirmed = true
	return nil
}
