package probes

import (
	"encoding/binary"

	"herald/wire"
)

// Time reads the four bytes that such a server says before it closes.
var Time = add(timeOfDay{})

type timeOfDay struct{}

var timeInfo = Info{
	Name:  "time",
	Title: "Time protocol",
	Refs:  []string{"RFC 868"},
	Ports: []Port{{37, wire.Plain}},
	Keys:  []Key{{"time.greeting", "seconds since 1900, four bytes"}},
}

func (timeOfDay) Info() *Info { return &timeInfo }

// Recognize wants a time that a clock of our days may show: any four bytes are a time.
func (timeOfDay) Recognize(greeting []byte) Likeness {
	const y2015, y2032 = 3629059200, 4165516800
	if len(greeting) != 4 {
		return Unlike
	}
	if s := binary.BigEndian.Uint32(greeting); s < y2015 || s > y2032 {
		return Unlike
	}
	return Likely
}

func (t timeOfDay) Converse(c *wire.Conversation, o *Observation) error {
	told, err := c.ReadFull(4)
	if err != nil {
		return err
	}
	if t.Recognize(told) == Unlike || !closes(c) {
		return c.Malformed("four bytes that are a time of our days, and the end", told)
	}
	o.Note("time.greeting", told)
	o.Confirmed = true
	return nil
}
