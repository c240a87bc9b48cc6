package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"herald/wire"
)

// AMQP sends the header of version 0-9-1. A broker of that version introduces itself; one
// of another sends the header that it would like. It never authenticates.
var AMQP = add(amqp{})

type amqp struct{}

var amqpInfo = Info{
	Name:  "amqp",
	Title: "Advanced Message Queuing Protocol",
	Refs:  []string{"AMQP 0-9-1", "OASIS AMQP 1.0"},
	Ports: []Port{{5672, wire.Plain}, {5671, wire.TLS}},
	Keys: []Key{
		{"amqp.header", "header that the server sent instead, as protocol id and version: \"3 1.0.0\""},
		{"amqp.mechanisms", "SASL mechanisms"},
		{"amqp.*", "a text among the server's properties, by its name: product, version, platform, cluster_name"},
	},
	Asks: true,
}

func (amqp) Info() *Info { return &amqpInfo }

func (amqp) Recognize(words []byte) Likeness {
	if _, ok := amqpHeader(words); ok {
		return Sure
	}
	return Unlike
}

// Overhear: whatever is not a header is answered by the right one.
func (a amqp) Overhear(_ string, answer []byte) Likeness { return a.Recognize(answer) }

func (amqp) Converse(c *wire.Conversation, o *Observation) error {
	if err := c.Say([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	head, err := c.Peek(7)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte("AMQP")) {
		if head, err = c.ReadFull(8); err != nil {
			return err
		}
		version, ok := amqpHeader(head)
		if !ok {
			return c.Malformed("a header has a version", head)
		}
		o.Note("amqp.header", []byte(version))
		o.Confirmed = true
		return nil
	}
	size := int(binary.BigEndian.Uint32(head[3:]))
	if head[0] != 1 || head[1] != 0 || head[2] != 0 || size < 10 || size > 32<<10 {
		return c.Malformed("a broker begins with a frame on channel 0", head)
	}
	frame, err := c.ReadFull(7 + size + 1)
	if err != nil {
		return err
	}
	s, ok := parseAMQPStart(frame[7 : 7+size])
	if !ok || frame[7+size] != 0xce {
		return c.Malformed("connection.start", frame)
	}
	for _, p := range s.properties {
		o.Note("amqp."+p[0], []byte(p[1]))
	}
	o.Note("amqp.mechanisms", s.mechanisms)
	o.Confirmed = true
	return nil
}

// amqpHeader reads "AMQP", the protocol's id and its version.
func amqpHeader(b []byte) (string, bool) {
	if len(b) < 8 || !bytes.HasPrefix(b, []byte("AMQP")) || b[4] > 3 || b[5] > 9 || b[6] > 99 || b[7] > 99 {
		return "", false
	}
	return fmt.Sprintf("%d %d.%d.%d", b[4], b[5], b[6], b[7]), true
}

type amqpStart struct {
	properties [][2]string // texts only, in their order
	mechanisms []byte
}

// parseAMQPStart reads the method connection.start (AMQP 0-9-1, 1.4.2.1).
func parseAMQPStart(method []byte) (amqpStart, bool) {
	t := taker{rest: method}
	class, number := t.u16(binary.BigEndian), t.u16(binary.BigEndian)
	t.bytes(2) // version
	table := taker{rest: t.bytes(int(int32(t.u32(binary.BigEndian))))}
	s := amqpStart{mechanisms: t.bytes(int(int32(t.u32(binary.BigEndian))))}
	t.bytes(int(int32(t.u32(binary.BigEndian)))) // locales
	for len(table.rest) > 0 && !table.short {
		name := strings.ToLower(string(table.bytes(table.u8())))
		switch kind := table.u8(); kind {
		case 'S':
			text := table.bytes(int(int32(table.u32(binary.BigEndian))))
			if fitsKey([]byte(strings.ReplaceAll(name, "_", "-"))) && !table.short {
				s.properties = append(s.properties, [2]string{name, string(text)})
			}
		case 'F', 'A', 'x':
			table.bytes(int(int32(table.u32(binary.BigEndian))))
		case 't', 'b', 'B':
			table.bytes(1)
		case 's', 'u', 'U':
			table.bytes(2)
		case 'I', 'i', 'f':
			table.bytes(4)
		case 'l', 'L', 'd', 'T':
			table.bytes(8)
		case 'D':
			table.bytes(5)
		case 'V':
		default:
			return s, false
		}
	}
	return s, !t.short && !table.short && class == 10 && number == 10
}
