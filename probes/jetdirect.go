package probes

import (
	"bytes"
	"fmt"

	"herald/wire"
)

// JetDirect asks a printer who it is, in its job language. A raw port prints whatever it
// hears, so that this is said on the ports of printers only, and nothing else.
var JetDirect = add(jetdirect{})

type jetdirect struct{}

var jetdirectInfo = Info{
	Name:  "jetdirect",
	Title: "Raw printing with Printer Job Language",
	Refs:  []string{"HP Printer Job Language Technical Reference Manual, INFO"},
	Ports: []Port{{9100, wire.Plain}, {9101, wire.Plain}, {9102, wire.Plain}, {9103, wire.Plain}, {9104, wire.Plain}, {9105, wire.Plain}, {9106, wire.Plain}, {9107, wire.Plain}},
	Keys:  []Key{{"jetdirect.id", "answer to INFO ID: the model"}},
	Asks:  true,
}

func (jetdirect) Info() *Info { return &jetdirectInfo }

func (jetdirect) Recognize(words []byte) Likeness {
	if bytes.HasPrefix(words, []byte("@PJL ")) {
		return Sure
	}
	return Unlike
}

func (jetdirect) Converse(c *wire.Conversation, o *Observation) error {
	if port := c.Endpoint().Addr.Port(); port < 9100 || port > 9107 {
		return fmt.Errorf("port %d is not known for printers: %w", port, ErrOtherProtocol)
	}
	// The universal exit language before and after: a printer without PJL ignores both.
	const exit = "\x1b%-12345X"
	if err := c.Say([]byte(exit + "@PJL INFO ID\r\n" + exit)); err != nil {
		return err
	}
	head, err := c.ReadLine()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(head, []byte("@PJL INFO ID")) {
		return c.Malformed("INFO ID is answered under its own name", head)
	}
	id, err := c.ReadLine()
	if err != nil {
		return err
	}
	o.Note("jetdirect.id", bytes.Trim(id, "\"\r\n"))
	o.Confirmed = true
	return nil
}
