package probes

import (
	"bytes"
	"encoding/json"

	"herald/wire"
)

// NATS reads the server's introduction and pings it. It connects nobody.
var NATS = add(nats{})

type nats struct{}

var natsInfo = Info{
	Name:  "nats",
	Title: "NATS client protocol",
	Refs:  []string{"https://docs.nats.io/reference/reference-protocols/nats-protocol"},
	Ports: []Port{{4222, wire.Plain}},
	Keys: []Key{
		{"nats.info", "introduction: the JSON after INFO"},
		{"nats.answer", "answer to PING"},
	},
}

func (nats) Info() *Info { return &natsInfo }

func (nats) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, []byte("INFO {")) {
		return Sure
	}
	return Unlike
}

func (nats) Converse(c *wire.Conversation, o *Observation) error {
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	info, ok := bytes.CutPrefix(line, []byte("INFO "))
	if info = bytes.TrimSpace(info); !ok || !json.Valid(info) {
		return c.Malformed("an introduction is INFO and an object", line)
	}
	o.Note("nats.info", info)
	answer, err := c.Ask("PING")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(answer, []byte("PONG")) && !bytes.HasPrefix(answer, []byte("-ERR")) && !bytes.HasPrefix(answer, []byte("PING")) {
		return c.Malformed("PING is answered PONG", answer)
	}
	o.Note("nats.answer", answer)
	o.Confirmed = true
	return nil
}
