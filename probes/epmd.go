package probes

import (
	"bytes"
	"encoding/binary"

	"herald/wire"
)

// EPMD asks Erlang's port mapper for the names that are registered; it registers nothing.
var EPMD = add(epmd{})

type epmd struct{}

var epmdInfo = Info{
	Name:  "epmd",
	Title: "Erlang Port Mapper Daemon",
	Refs:  []string{"Erlang distribution protocol, NAMES_REQ"},
	Ports: []Port{{4369, wire.Plain}},
	Keys:  []Key{{"epmd.names", "the registered nodes: a line \"name N at port P\" each"}},
	Asks:  true,
}

func (epmd) Info() *Info { return &epmdInfo }

func (epmd) Recognize([]byte) Likeness { return Unlike }

func (epmd) Converse(c *wire.Conversation, o *Observation) error {
	if err := c.Say([]byte{0, 1, 'n'}); err != nil {
		return err
	}
	// The mapper's own port as four bytes, then the lines; it closes behind them.
	head, err := c.ReadFull(4)
	if err != nil {
		return err
	}
	if port := binary.BigEndian.Uint32(head); port == 0 || port > 65535 {
		return c.Malformed("a port number in four bytes", head)
	}
	var names []byte
	for {
		line, err := c.ReadLine()
		if err != nil {
			break
		}
		if !bytes.HasPrefix(line, []byte("name ")) || !bytes.Contains(line, []byte(" at port ")) {
			return c.Malformed("a line \"name N at port P\"", line)
		}
		names = append(names, line...)
	}
	o.Confirmed = true
	o.Note("epmd.names", names)
	return nil
}
