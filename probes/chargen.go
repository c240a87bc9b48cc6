package probes

import (
	"bytes"

	"herald/wire"
)

// Chargen knows the character generator by the turning ring of ASCII that nearly every
// one sends, reads three lines of it and leaves.
var Chargen = add(chargen{})

type chargen struct{}

var chargenInfo = Info{
	Name:  "chargen",
	Title: "Character generator protocol",
	Refs:  []string{"RFC 864"},
	Ports: []Port{{19, wire.Plain}},
	Keys:  []Key{{"chargen.greeting", "three lines"}},
}

func (chargen) Info() *Info { return &chargenInfo }

func (chargen) Recognize(greeting []byte) Likeness {
	if bytes.IndexByte(greeting, '\n') >= 0 && chargenLine(greeting) {
		return Sure
	}
	return Unlike
}

func (chargen) Converse(c *wire.Conversation, o *Observation) error {
	var heard, before []byte
	for range 3 {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		if !chargenLine(line) || before != nil && line[0] != before[1] {
			return c.Malformed("a line begins one character further round the ring", line)
		}
		heard, before = append(heard, line...), line
	}
	o.Note("chargen.greeting", heard)
	o.Confirmed = true
	return nil
}

// chargenLine says whether a line is a stretch of the ring of printable characters, 72 of
// them by RFC 864's example; some leave the space out.
func chargenLine(line []byte) bool {
	line = firstLine(line)
	if len(line) < 70 || len(line) > 74 {
		return false
	}
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		if b != a+1 && !(a == '~' && (b == ' ' || b == '!')) && !(a == '}' && b == ' ') {
			return false
		}
	}
	return true
}
