package probes

import (
	"encoding/binary"
	"strconv"

	"herald/wire"
)

// Tor asks a relay, inside TLS, which versions of the link protocol it speaks, and
// leaves before either side has shown who it is.
var Tor = add(tor{})

type tor struct{}

var torInfo = Info{
	Name:  "tor",
	Title: "Tor link protocol",
	Refs:  []string{"https://spec.torproject.org/tor-spec/negotiating-channels.html"},
	Ports: []Port{{9001, wire.TLS}, {9030, wire.TLS}},
	Keys:  []Key{{"tor.versions", "versions of the link protocol: \"3, 4, 5\""}},
	Asks:  true,
}

func (tor) Info() *Info { return &torInfo }

func (tor) Recognize([]byte) Likeness { return Unlike }

// Commands of cells.
const (
	torVersions = 7
	torCerts    = 129
)

func (tor) Converse(c *wire.Conversation, o *Observation) error {
	if c.TLS() == nil {
		return ErrOtherProtocol
	}
	if err := c.Say([]byte{0, 0, torVersions, 0, 6, 0, 3, 0, 4, 0, 5}); err != nil {
		return err
	}
	head, err := c.Peek(5)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[3:]))
	if head[0] != 0 || head[1] != 0 || head[2] != torVersions || size == 0 || size > 64 || size%2 != 0 {
		return c.Malformed("a cell of versions", head)
	}
	cell, err := c.ReadFull(5 + size)
	if err != nil {
		return err
	}
	var list []byte
	newest := 0
	for t := (taker{rest: cell[5:]}); len(t.rest) > 0; {
		n := t.u16(binary.BigEndian)
		if len(list) > 0 {
			list = append(list, ", "...)
		}
		list = strconv.AppendInt(list, int64(n), 10)
		if n <= 5 {
			newest = max(newest, n)
		}
	}
	// What follows is a cell of certificates; from version 4 on a circuit has four bytes.
	at := 2
	if newest >= 4 {
		at = 4
	}
	next, err := c.Peek(at + 1)
	if err != nil {
		return err
	}
	if next[at] != torCerts {
		return c.Malformed("a cell of certificates", next)
	}
	o.Note("tor.versions", list)
	o.Confirmed = true
	return nil
}
