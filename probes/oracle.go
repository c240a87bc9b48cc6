package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"

	"herald/wire"
)

// Oracle pings a listener, as tnsping does. Whether the listener answers or refuses, its
// version number stands in the text. It names no database and no user.
var Oracle = add(oracle{})

type oracle struct{}

var oracleInfo = Info{
	Name:  "oracle",
	Title: "Oracle Net (TNS)",
	Refs:  []string{"https://docs.oracle.com/en/database/oracle/oracle-database/19/netag/"},
	Ports: []Port{{1521, wire.Plain}, {1522, wire.Plain}, {1526, wire.Plain}, {2483, wire.Plain}, {2484, wire.TLS}},
	Keys: []Key{
		{"oracle.answer", "description in the listener's answer: (DESCRIPTION=(TMP=)(VSNNUM=…)…)"},
		{"oracle.version", "VSNNUM as five numbers: 11.2.0.3.0"},
	},
	Asks: true,
}

func (oracle) Info() *Info { return &oracleInfo }

func (oracle) Recognize([]byte) Likeness { return Unlike }

// Types of packets.
const (
	tnsConnect  = 1
	tnsAccept   = 2
	tnsRefuse   = 4
	tnsRedirect = 5
	tnsResend   = 11
)

var tnsVersion = regexp.MustCompile(`\(VSNNUM=(\d{1,10})\)`)

func (oracle) Converse(c *wire.Conversation, o *Observation) error {
	const most = 3 // a listener asks to resend once
	for range most {
		if err := c.Say(tnsPing()); err != nil {
			return err
		}
		head, err := c.Peek(8)
		if err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint16(head))
		if size < 8 || size > 8<<10 || head[6] != 0 || head[7] != 0 {
			return c.Malformed("a packet has its length and no checksum", head)
		}
		packet, err := c.ReadFull(size)
		if err != nil {
			return err
		}
		switch packet[4] {
		case tnsResend:
			if size != 8 {
				return c.Malformed("a packet that asks to resend is empty", packet)
			}
			continue
		case tnsRefuse, tnsAccept, tnsRedirect:
			from := bytes.IndexByte(packet, '(')
			if from < 0 || !printable(trimZeros(packet[from:])) {
				return c.Malformed("an answer has a description", packet)
			}
			o.Note("oracle.answer", trimZeros(packet[from:]))
			if m := tnsVersion.FindSubmatch(packet); m != nil {
				n, _ := strconv.ParseUint(string(m[1]), 10, 32)
				o.Note("oracle.version", []byte(oracleVersion(uint32(n))))
			}
			o.Confirmed = true
			return nil
		default:
			return c.Malformed("a connection is accepted, refused or redirected", packet)
		}
	}
	return c.TooMuch("requests to send again", most)
}

// tnsPing is a connect packet of version 314, which listeners of every age take.
func tnsPing() []byte {
	const data = "(CONNECT_DATA=(COMMAND=ping))"
	const header = 58
	p := []byte{
		0, header + byte(len(data)), 0, 0, tnsConnect, 0, 0, 0,
		1, 58, 1, 44, 0, 0, // version, oldest compatible version, options
		8, 0, 0x7f, 0xff, 0x86, 0x0e, 0, 0, 1, 0, // units of session and transport, characteristics, byte order
		0, byte(len(data)), 0, header,
		0, 0, 8, 0, 0, 0, // most to receive, flags
	}
	p = append(p, make([]byte, header-len(p))...)
	return append(p, data...)
}

// oracleVersion shows VSNNUM; release 18 moved the borders of its fields.
func oracleVersion(n uint32) string {
	if n>>24 >= 18 {
		return fmt.Sprintf("%d.%d.%d.%d.%d", n>>24, n>>16&0xff, n>>12&0xf, n>>4&0xff, n&0xf)
	}
	return fmt.Sprintf("%d.%d.%d.%d.%d", n>>24, n>>20&0xf, n>>12&0xff, n>>8&0xf, n&0xff)
}
