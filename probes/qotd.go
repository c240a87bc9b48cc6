package probes

import (
	"herald/wire"
)

// QOTD reads a text that is followed by the end, on port 17. Anything may be a quote, so
// that nothing but its port tells it from another talker: it is never confirmed.
var QOTD = add(qotd{})

type qotd struct{}

var qotdInfo = Info{
	Name:     "qotd",
	Title:    "Quote of the day protocol",
	Refs:     []string{"RFC 865"},
	Ports:    []Port{{17, wire.Plain}},
	Keys:     []Key{{"qotd.greeting", "the quote"}},
	Formless: true,
}

func (qotd) Info() *Info { return &qotdInfo }

// unlikely stands behind everything that has a form.
const unlikely Likeness = 5

func (qotd) Recognize(greeting []byte) Likeness {
	if len(greeting) > 20 && printable(greeting) {
		return unlikely
	}
	return Unlike
}

func (qotd) Converse(c *wire.Conversation, o *Observation) error {
	if c.Endpoint().Addr.Port() != 17 {
		return ErrOtherProtocol
	}
	quote, err := c.ReadRest(4 << 10)
	if err != nil {
		return err
	}
	if !printable(quote) || !closes(c) {
		return c.Malformed("a quote, and the end", quote)
	}
	o.Note("qotd.greeting", quote)
	return nil
}
