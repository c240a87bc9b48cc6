package probes

import (
	"bytes"
	"encoding/binary"

	"herald/wire"
)

// NBD reads the greeting of a network block device and leaves by the option that is for
// leaving. It opens no export and lists none.
var NBD = add(nbd{})

type nbd struct{}

var nbdInfo = Info{
	Name:  "nbd",
	Title: "Network Block Device",
	Refs:  []string{"https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md"},
	Ports: []Port{{10809, wire.Plain}},
	Keys:  []Key{{"nbd.greeting", "magic words and the server's handshake flags"}},
}

// Magic words, and the option that ends a negotiation.
const (
	nbdHello = "NBDMAGICIHAVEOPT"
	nbdOld   = "NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53"
	nbdReply = 0x3e889045565a9
	nbdAbort = 2
)

func (nbd) Info() *Info { return &nbdInfo }

func (nbd) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, []byte("NBDMAGIC")) {
		return Sure
	}
	return Unlike
}

func (nbd) Converse(c *wire.Conversation, o *Observation) error {
	magic, err := c.ReadFull(16)
	if err != nil {
		return err
	}
	switch string(magic) {
	case nbdOld: // the old negotiation gives the export at once, and is over
		o.Note("nbd.greeting", magic)
		o.Confirmed = true
		return nil
	case nbdHello:
	default:
		return c.Malformed("a greeting has its two magic words", magic)
	}
	flags, err := c.ReadFull(2)
	if err != nil {
		return err
	}
	o.Note("nbd.greeting", append(magic[:16:16], flags...))
	answer := []byte{0, 0, 0, flags[1] & 1} // "fixed newstyle" where the server has it
	answer = append(answer, "IHAVEOPT\x00\x00\x00\x02\x00\x00\x00\x00"...)
	if err := c.Say(answer); err != nil {
		return err
	}
	if flags[1]&1 == 0 {
		o.Confirmed = true // an older server does not answer this option
		return nil
	}
	reply, err := c.ReadFull(20)
	if err != nil {
		if wire.KindOf(err) == wire.Closed || wire.KindOf(err) == wire.Reset {
			o.Confirmed = true // it may close instead
			return nil
		}
		return err
	}
	if binary.BigEndian.Uint64(reply) != nbdReply || binary.BigEndian.Uint32(reply[8:]) != nbdAbort {
		return c.Malformed("a reply names the option", reply)
	}
	o.Confirmed = true
	return nil
}
