package probes

import (
	"bytes"
	"encoding/binary"

	"herald/wire"
)

// DRDA exchanges attributes with a database server (DB2, Derby, Informix), the step
// before any login.
var DRDA = add(drda{})

type drda struct{}

var drdaInfo = Info{
	Name:  "drda",
	Title: "Distributed Relational Database Architecture",
	Refs:  []string{"The Open Group: DRDA V5, volume 3 (DDM)"},
	Ports: []Port{{50000, wire.Plain}, {446, wire.Plain}, {448, wire.TLS}, {1527, wire.Plain}},
	Keys: []Key{
		{"drda.class", "server class name, in ASCII: QDB2/LINUXX8664, Apache Derby"},
		{"drda.release", "server's release: SQL11058, CSS10141/…"},
		{"drda.name", "server name"},
	},
	Asks: true,
}

func (drda) Info() *Info { return &drdaInfo }

func (drda) Recognize([]byte) Likeness { return Unlike }

// Overhear: what is no DDM is answered by SYNTAXRM, a reply for data stream errors.
func (drda) Overhear(_ string, answer []byte) Likeness {
	t := taker{rest: answer}
	size := t.u16(binary.BigEndian)
	kind := t.u16(binary.BigEndian)
	t.bytes(4)
	if point := t.u16(binary.BigEndian); !t.short && size == len(answer) && kind == 0xd002 && point == ddmSYNTAXRM {
		return Sure
	}
	return Unlike
}

// Code points of DDM.
const (
	ddmEXCSAT   = 0x1041
	ddmEXCSATRD = 0x1443
	ddmSYNTAXRM = 0x124c
	ddmEXTNAM   = 0x115e
	ddmSRVNAM   = 0x116d
	ddmSRVRLSLV = 0x115a
	ddmSRVCLSNM = 0x1147
	ddmMGRLVLLS = 0x1404
)

func (drda) Converse(c *wire.Conversation, o *Observation) error {
	object := func(point int, body []byte) []byte {
		return append([]byte{0, byte(4 + len(body)), byte(point >> 8), byte(point)}, body...)
	}
	herald := []byte{0x88, 0x85, 0x99, 0x81, 0x93, 0x84} // "herald" in EBCDIC
	attributes := object(ddmEXTNAM, herald)
	attributes = append(attributes, object(ddmSRVNAM, herald)...)
	attributes = append(attributes, object(ddmMGRLVLLS, []byte{0x14, 0x03, 0, 7, 0x24, 0x07, 0, 7})...) // agent and SQL manager of level 7
	attributes = append(attributes, object(ddmSRVCLSNM, herald)...)
	request := object(ddmEXCSAT, attributes)
	if err := c.Say(append([]byte{0, byte(6 + len(request)), 0xd0, 1, 0, 1}, request...)); err != nil {
		return err
	}
	head, err := c.Peek(10)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head))
	if head[2] != 0xd0 || head[3]&0x0f != 2 || size < 10 || size > 4<<10 || binary.BigEndian.Uint16(head[8:]) != ddmEXCSATRD {
		return c.Malformed("a reply with the server's attributes", head)
	}
	reply, err := c.ReadFull(size)
	if err != nil {
		return err
	}
	t := taker{rest: reply[10:]}
	keys := map[int]string{ddmSRVCLSNM: "drda.class", ddmSRVRLSLV: "drda.release", ddmSRVNAM: "drda.name"}
	for len(t.rest) > 0 && !t.short {
		n := t.u16(binary.BigEndian)
		point := t.u16(binary.BigEndian)
		text := t.bytes(n - 4)
		if key := keys[point]; key != "" {
			o.Note(key, bytes.TrimRight(fromEBCDIC(text), " "))
		}
	}
	if t.short {
		return c.Malformed("an attribute has its length", reply)
	}
	o.Confirmed = true
	return nil
}

// fromEBCDIC reads code page 500's letters, digits and the marks that names have. A text
// that is ASCII already stays as it is: some servers send that.
func fromEBCDIC(text []byte) []byte {
	if printable(text) {
		return text
	}
	out := make([]byte, len(text))
	for i, b := range text {
		switch {
		case b >= 0x81 && b <= 0x89:
			out[i] = 'a' + b - 0x81
		case b >= 0x91 && b <= 0x99:
			out[i] = 'j' + b - 0x91
		case b >= 0xa2 && b <= 0xa9:
			out[i] = 's' + b - 0xa2
		case b >= 0xc1 && b <= 0xc9:
			out[i] = 'A' + b - 0xc1
		case b >= 0xd1 && b <= 0xd9:
			out[i] = 'J' + b - 0xd1
		case b >= 0xe2 && b <= 0xe9:
			out[i] = 'S' + b - 0xe2
		case b >= 0xf0 && b <= 0xf9:
			out[i] = '0' + b - 0xf0
		default:
			mark, known := map[byte]byte{0x40: ' ', 0x4b: '.', 0x60: '-', 0x61: '/', 0x6d: '_', 0x4d: '(', 0x5d: ')', 0x7a: ':', 0x6b: ',', 0x6f: '?'}[b]
			if !known {
				mark = b
			}
			out[i] = mark
		}
	}
	return out
}
