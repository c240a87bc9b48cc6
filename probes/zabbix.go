package probes

import (
	"bytes"
	"encoding/binary"

	"herald/wire"
)

// Zabbix asks an agent for its version, an item that every agent has; a server or proxy of
// Zabbix, which takes values on a port of its own, refuses the question in JSON.
var Zabbix = add(zabbix{})

type zabbix struct{}

var zabbixInfo = Info{
	Name:  "zabbix",
	Title: "Zabbix agent, server and proxy",
	Refs:  []string{"https://www.zabbix.com/documentation/current/en/manual/appendix/protocols/header_datalen"},
	Ports: []Port{{10050, wire.Plain}, {10051, wire.Plain}},
	Keys: []Key{
		{"zabbix.version", "an agent's answer to agent.version"},
		{"zabbix.refusal", "a server's answer to the same, JSON"},
	},
	Asks: true,
}

func (zabbix) Info() *Info { return &zabbixInfo }

func (zabbix) Recognize([]byte) Likeness { return Unlike }

func (zabbix) Overhear(_ string, answer []byte) Likeness {
	if bytes.HasPrefix(answer, []byte(zabbixMark)) {
		return Sure
	}
	return Unlike
}

// A message is a mark, flags (1 is the protocol, the others compression and large sizes),
// the size of the data and a reserved number of four bytes each, little-endian, and the data.
const (
	zabbixMark = "ZBXD\x01"
	zabbixHead = len(zabbixMark) + 4 + 4
	zabbixMost = 16 << 10 // bytes of data
)

func (zabbix) Converse(c *wire.Conversation, o *Observation) error {
	const item = "agent.version"
	question := binary.LittleEndian.AppendUint32([]byte(zabbixMark), uint32(len(item)))
	question = append(append(question, 0, 0, 0, 0), item...)
	if err := c.Say(question); err != nil {
		return err
	}
	mark, err := c.Peek(len(zabbixMark))
	if err != nil {
		return err
	}
	if !bytes.Equal(mark, []byte(zabbixMark)) {
		return c.Malformed("a message begins with ZBXD and its flags", mark)
	}
	head, err := c.ReadFull(zabbixHead)
	if err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(head[len(zabbixMark):])
	if size == 0 || size > zabbixMost {
		return c.Malformed("an answer has a reasonable size", head)
	}
	data, err := c.ReadFull(int(size))
	if err != nil {
		return err
	}
	if data[0] == '{' {
		o.Note("zabbix.refusal", data)
	} else {
		o.Note("zabbix.version", data)
	}
	o.Confirmed = true
	return nil
}
