package probes

import (
	"herald/wire"
)

// RSH asks for no second connection and names no user: a server that looks at our port,
// which is no privileged one, refuses at once and is known by that.
var RSH = add(rsh{})

type rsh struct{}

var rshInfo = Info{
	Name:  "rsh",
	Title: "BSD remote shell",
	Refs:  []string{"https://man.openbsd.org/OpenBSD-5.0/rshd.8"},
	Ports: []Port{{514, wire.Plain}},
	Keys:  []Key{{"rsh.answer", "refusal, without the byte 1 before it"}},
	Asks:  true,
}

func (rsh) Info() *Info { return &rshInfo }

func (rsh) Recognize(words []byte) Likeness { return refusedByOne(words, "rshd", "rsh") }

func (rsh) Converse(c *wire.Conversation, o *Observation) error {
	return refusal(c, o, "rsh.answer", []byte("0\x00"))
}
