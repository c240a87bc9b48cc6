package probes

import (
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// Milter negotiates options with a mail filter, as a mail server does before there is a
// message, and leaves with the command for that.
var Milter = add(milter{})

type milter struct{}

var milterInfo = Info{
	Name:  "milter",
	Title: "Mail filter of Sendmail and Postfix",
	Refs:  []string{"https://github.com/emersion/go-milter/blob/master/milter-protocol.txt", "sendmail: include/libmilter/mfdef.h"},
	Ports: []Port{{8891, wire.Plain}, {8893, wire.Plain}, {11332, wire.Plain}},
	Keys:  []Key{{"milter.options", "version, actions and steps that it wants, three numbers, the last two hexadecimal"}},
	Asks:  true,
}

func (milter) Info() *Info { return &milterInfo }

func (milter) Recognize([]byte) Likeness { return Unlike }

// A packet is its size in four bytes, a command and its data. What is negotiated are three
// numbers of four bytes: version, what a filter may do, and what it need not be told.
const (
	milterNegotiate = 'O'
	milterQuit      = 'Q'
	milterSize      = 1 + 3*4
)

func (milter) Converse(c *wire.Conversation, o *Observation) error {
	offer := binary.BigEndian.AppendUint32(nil, milterSize)
	offer = append(offer, milterNegotiate)
	for _, n := range []uint32{6, 0x1ff, 0x1fffff} { // version 6, everything allowed, every step may be left out
		offer = binary.BigEndian.AppendUint32(offer, n)
	}
	if err := c.Say(offer); err != nil {
		return err
	}
	head, err := c.Peek(5)
	if err != nil {
		return err
	}
	if size := binary.BigEndian.Uint32(head); size < milterSize || size > 1<<10 || head[4] != milterNegotiate {
		return c.Malformed("an offer is answered by one", head)
	}
	answer, err := c.ReadFull(4 + milterSize)
	if err != nil {
		return err
	}
	numbers := answer[5:]
	version := binary.BigEndian.Uint32(numbers)
	if version < 1 || version > 6 {
		return c.Malformed("a filter takes the version or an older one", answer)
	}
	o.Note("milter.options", fmt.Appendf(nil, "%d %x %x", version, binary.BigEndian.Uint32(numbers[4:]), binary.BigEndian.Uint32(numbers[8:])))
	o.Confirmed = true
	c.Say([]byte{0, 0, 0, 1, milterQuit}) // has no answer
	return nil
}
