package probes

import (
	"encoding/binary"

	"herald/wire"
)

// NSCA reads the vector and the time with which the acceptor of Nagios' passive checks
// begins. Any program may say 132 bytes, and what could prove it is a report of a check:
// it is never confirmed.
var NSCA = add(nsca{})

type nsca struct{}

var nscaInfo = Info{
	Name:     "nsca",
	Title:    "Nagios Service Check Acceptor",
	Refs:     []string{"https://github.com/NagiosEnterprises/nsca"},
	Ports:    []Port{{5667, wire.Plain}},
	Keys:     []Key{{"nsca.greeting", "128 bytes of an initialisation vector and a time of four"}},
	Formless: true,
}

const nscaSize = 128 + 4

func (nsca) Info() *Info { return &nscaInfo }

func (nsca) Recognize(greeting []byte) Likeness {
	const y2015, y2035 = 1420070400, 2051222400
	if len(greeting) != nscaSize || printable(greeting[:128]) {
		return Unlike
	}
	if s := binary.BigEndian.Uint32(greeting[128:]); s < y2015 || s > y2035 {
		return Unlike
	}
	return Possible
}

func (n nsca) Converse(c *wire.Conversation, o *Observation) error {
	vector, err := c.ReadFull(nscaSize)
	if err != nil {
		return err
	}
	if n.Recognize(vector) == Unlike || len(c.Pending()) > 0 {
		return c.Malformed("a vector, a time of our days, and silence", vector)
	}
	o.Note("nsca.greeting", vector)
	return nil
}
