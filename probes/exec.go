package probes

import (
	"herald/wire"
)

// Exec asks for no second connection and names no user: a server that looks at our address
// refuses strangers at once and is known by that. One that waits for a user stays unknown.
var Exec = add(exec{})

type exec struct{}

var execInfo = Info{
	Name:  "exec",
	Title: "BSD remote execution",
	Refs:  []string{"https://man.openbsd.org/OpenBSD-3.1/rexecd.8"},
	Ports: []Port{{512, wire.Plain}},
	Keys:  []Key{{"exec.answer", "refusal, without the byte 1 before it"}},
	Asks:  true,
}

func (exec) Info() *Info { return &execInfo }

func (exec) Recognize(words []byte) Likeness { return refusedByOne(words, "rexecd", "rexec") }

func (exec) Converse(c *wire.Conversation, o *Observation) error {
	return refusal(c, o, "exec.answer", []byte("0\x00"))
}
