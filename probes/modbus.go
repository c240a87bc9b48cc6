package probes

import (
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// Modbus reads the identification of the device, and reads and writes nothing else.
var Modbus = add(modbus{})

type modbus struct{}

var modbusInfo = Info{
	Name:  "modbus",
	Title: "Modbus over TCP",
	Refs:  []string{"Modbus Application Protocol Specification 1.1b3, 6.21", "Modbus Messaging on TCP/IP 1.0b"},
	Ports: []Port{{502, wire.Plain}, {802, wire.TLS}},
	Keys: []Key{
		{"modbus.id", "identification, a line for each object: \"VendorName: Schneider Electric\""},
		{"modbus.vendor", "vendor name alone"},
		{"modbus.exception", "function and exception code, where it does not tell: \"43 1\""},
	},
	Asks: true,
}

func (modbus) Info() *Info { return &modbusInfo }

func (modbus) Recognize([]byte) Likeness { return Unlike }

// modbusObjects are the objects of the identification, basic and regular (table in 6.21).
var modbusObjects = []string{"VendorName", "ProductCode", "MajorMinorRevision", "VendorUrl", "ProductName", "ModelName"}

const modbusIdentify = 43

func (modbus) Converse(c *wire.Conversation, o *Observation) error {
	// Transaction, protocol 0, 5 bytes, unit 1; function 43/14, regular, from object 0.
	if err := c.Say([]byte{0x48, 0x65, 0, 0, 0, 5, 1, modbusIdentify, 14, 2, 0}); err != nil {
		return err
	}
	head, err := c.Peek(8)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[4:]))
	if head[0] != 0x48 || head[1] != 0x65 || head[2] != 0 || head[3] != 0 || size < 3 || size > 254 || head[7]&0x7f != modbusIdentify {
		return c.Malformed("an answer has the question's number and function", head)
	}
	answer, err := c.ReadFull(6 + size)
	if err != nil {
		return err
	}
	if answer[7]&0x80 != 0 {
		if size != 3 || answer[8] == 0 || answer[8] > 11 {
			return c.Malformed("an exception has a code", answer)
		}
		o.Note("modbus.exception", fmt.Appendf(nil, "%d %d", modbusIdentify, answer[8]))
		o.Confirmed = true
		return nil
	}
	t := taker{rest: answer[8:]}
	kind := t.u8()
	t.bytes(4) // code, conformity, more follows, next object
	count := t.u8()
	var id []byte
	for range count {
		object := t.u8()
		text := t.bytes(t.u8())
		if t.short {
			return c.Malformed("an object has a number, a length and a text", answer)
		}
		if object < len(modbusObjects) && len(text) > 0 {
			id = fmt.Appendf(id, "%s: %s\n", modbusObjects[object], text)
			if object == 0 {
				o.Note("modbus.vendor", text)
			}
		}
	}
	if kind != 14 || t.short {
		return c.Malformed("a device identification", answer)
	}
	o.Note("modbus.id", id)
	o.Confirmed = true
	return nil
}
