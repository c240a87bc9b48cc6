package probes

import (
	"encoding/binary"

	"herald/wire"
)

// Mumble tells our version and reads the server's, with which each side begins. It does
// not authenticate.
var Mumble = add(mumble{})

type mumble struct{}

var mumbleInfo = Info{
	Name:  "mumble",
	Title: "Mumble voice chat",
	Refs:  []string{"https://github.com/mumble-voip/mumble/blob/master/docs/dev/network-protocol/establishing_connection.md"},
	Ports: []Port{{64738, wire.TLS}},
	Keys: []Key{
		{"mumble.version", "release"},
		{"mumble.os", "operating system"},
		{"mumble.os-version", "its version"},
	},
}

func (mumble) Info() *Info { return &mumbleInfo }

func (mumble) Recognize(greeting []byte) Likeness {
	t := taker{rest: greeting}
	kind, size := t.u16(binary.BigEndian), t.u32(binary.BigEndian)
	if t.short || kind != 0 || size < 4 || size > 1<<10 || int(size) > len(t.rest) {
		return Unlike
	}
	if _, ok := parseMumbleVersion(t.bytes(int(size))); ok {
		return Sure
	}
	return Unlike
}

func (mumble) Converse(c *wire.Conversation, o *Observation) error {
	head, err := c.Peek(6)
	if err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[2:])
	if head[0] != 0 || head[1] != 0 || size < 4 || size > 1<<10 {
		return c.Malformed("a version message", head)
	}
	message, err := c.ReadFull(6 + int(size))
	if err != nil {
		return err
	}
	v, ok := parseMumbleVersion(message[6:])
	if !ok {
		return c.Malformed("a version message", message)
	}
	o.Note("mumble.version", v.release)
	o.Note("mumble.os", v.os)
	o.Note("mumble.os-version", v.osVersion)
	o.Confirmed = true
	return nil
}

type mumbleVersion struct{ release, os, osVersion []byte }

// parseMumbleVersion reads the fields of the protobuf message Version: 1 and 5 numbers,
// 2 to 4 texts. A number and a release must be there.
func parseMumbleVersion(message []byte) (v mumbleVersion, ok bool) {
	numbers := 0
	for t := (taker{rest: message}); len(t.rest) > 0; {
		tag := t.u8()
		switch tag {
		case 1 << 3, 5 << 3: // wire type 0, a varint
			for t.u8() >= 0x80 && !t.short {
			}
			numbers++
		case 2<<3 | 2, 3<<3 | 2, 4<<3 | 2:
			size := t.u8()
			if size >= 0x80 {
				size = size&0x7f | t.u8()<<7
			}
			text := t.bytes(size)
			switch tag >> 3 {
			case 2:
				v.release = text
			case 3:
				v.os = text
			case 4:
				v.osVersion = text
			}
		default:
			return v, false
		}
		if t.short {
			return v, false
		}
	}
	return v, numbers > 0 && len(v.release) > 0 && printable(v.release) && printable(v.os)
}
