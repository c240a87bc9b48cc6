package probes

import (
	"encoding/binary"
	"hash/crc32"

	"herald/wire"
)

// NRPE asks the remote plugin executor of Nagios for its version, which runs no check.
var NRPE = add(nrpe{})

type nrpe struct{}

var nrpeInfo = Info{
	Name:  "nrpe",
	Title: "Nagios Remote Plugin Executor",
	Refs:  []string{"https://github.com/NagiosEnterprises/nrpe/blob/master/docs/NRPE.pdf"},
	Ports: []Port{{5666, wire.Plain}},
	Keys:  []Key{{"nrpe.version", "answer to _NRPE_CHECK: NRPE v4.1.0"}},
	Asks:  true,
}

func (nrpe) Info() *Info { return &nrpeInfo }

func (nrpe) Recognize([]byte) Likeness { return Unlike }

// A packet of version 2: version, type, CRC, result, a text of 1024 bytes, two more.
const (
	nrpeSize     = 2 + 2 + 4 + 2 + 1024 + 2
	nrpeQuery    = 1
	nrpeResponse = 2
)

func (nrpe) Converse(c *wire.Conversation, o *Observation) error {
	query := make([]byte, nrpeSize)
	query[1], query[3] = 2, nrpeQuery
	copy(query[10:], "_NRPE_CHECK")
	binary.BigEndian.PutUint32(query[4:], crc32.ChecksumIEEE(query))
	if err := c.Say(query); err != nil {
		return err
	}
	head, err := c.Peek(10)
	if err != nil {
		return err
	}
	if head[0] != 0 || head[1] != 2 || head[2] != 0 || head[3] != nrpeResponse {
		return c.Malformed("a response of version 2", head)
	}
	answer, err := c.ReadFull(nrpeSize)
	if err != nil {
		return err
	}
	sum := binary.BigEndian.Uint32(answer[4:])
	plain := append([]byte(nil), answer...)
	clear(plain[4:8])
	if crc32.ChecksumIEEE(plain) != sum {
		return c.Malformed("a response with its checksum", head)
	}
	text := taker{rest: answer[10:]}
	o.Note("nrpe.version", text.until(0))
	o.Confirmed = true
	return nil
}
