package probes

import (
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// MSSQL sends PRELOGIN of the Tabular Data Stream protocol, whose answer has the server's
// version. It never logs in.
var MSSQL = add(mssql{})

type mssql struct{}

var mssqlInfo = Info{
	Name:  "mssql",
	Title: "Tabular Data Stream (Microsoft SQL Server)",
	Refs:  []string{"MS-TDS 2.2.6.5"},
	Ports: []Port{{1433, wire.Plain}, {1434, wire.Plain}},
	Keys: []Key{
		{"mssql.prelogin", "answer to PRELOGIN without the packet's header"},
		{"mssql.version", "major.minor.build.sub-build: 15.0.2000.0"},
		{"mssql.encryption", "encryption: off, on, not supported, required"},
	},
	Asks: true,
}

func (mssql) Info() *Info { return &mssqlInfo }

func (mssql) Recognize([]byte) Likeness { return Unlike }

func (mssql) Converse(c *wire.Conversation, o *Observation) error {
	// Five options (token, offset, length), their end, and their values: our version,
	// encryption off, any instance, thread 0, no multiple result sets.
	options := []byte{
		0, 0, 26, 0, 6,
		1, 0, 32, 0, 1,
		2, 0, 33, 0, 1,
		3, 0, 34, 0, 4,
		4, 0, 38, 0, 1,
		0xff,
		11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	}
	packet := append([]byte{0x12, 1, 0, byte(8 + len(options)), 0, 0, 1, 0}, options...)
	if err := c.Say(packet); err != nil {
		return err
	}
	head, err := c.Peek(8)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] != 4 || head[1]&1 == 0 || size < 20 || size > 4096 {
		return c.Malformed("PRELOGIN is answered by one packet of type 4", head)
	}
	answer, err := c.ReadFull(size)
	if err != nil {
		return err
	}
	p, ok := parsePrelogin(answer[8:])
	if !ok {
		return c.Malformed("an answer to PRELOGIN has the version", answer)
	}
	o.Note("mssql.prelogin", answer[8:])
	o.Note("mssql.version", []byte(p.version))
	o.Note("mssql.encryption", []byte(p.encryption))
	o.Confirmed = true
	return nil
}

type prelogin struct{ version, encryption string }

// parsePrelogin reads options and their values (MS-TDS 2.2.6.5). The version must be the
// first of them.
func parsePrelogin(body []byte) (prelogin, bool) {
	p := prelogin{}
	t := taker{rest: body}
	for first := true; ; first = false {
		token := t.u8()
		if token == 0xff || t.short {
			return p, !t.short && p.version != ""
		}
		offset, size := t.u16(binary.BigEndian), t.u16(binary.BigEndian)
		if first && token != 0 || offset+size > len(body) {
			return p, false
		}
		value := body[offset : offset+size]
		switch {
		case token == 0 && size == 6:
			p.version = fmt.Sprintf("%d.%d.%d.%d", value[0], value[1], binary.BigEndian.Uint16(value[2:]), binary.BigEndian.Uint16(value[4:]))
		case token == 1 && size > 0 && value[0] < 4:
			p.encryption = []string{"off", "on", "not supported", "required"}[value[0]]
		}
	}
}
