package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// PostgreSQL asks for TLS, and then for a version of the protocol that does not exist:
// the refusal names the server's own versions and the place in its source. It never
// names a user.
var PostgreSQL = add(postgresql{})

type postgresql struct{}

var postgresqlInfo = Info{
	Name:  "postgresql",
	Title: "PostgreSQL frontend/backend protocol",
	Refs:  []string{"https://www.postgresql.org/docs/current/protocol-message-formats.html"},
	Ports: []Port{{5432, wire.Plain}, {6432, wire.Plain}, {5433, wire.Plain}},
	Keys: []Key{
		{"postgresql.ssl", "answer to SSLRequest: S or N"},
		{"postgresql.error", "fields of the error, each a letter and its text, NUL between them"},
	},
	Asks: true,
}

func (postgresql) Info() *Info { return &postgresqlInfo }

func (postgresql) Recognize(greeting []byte) Likeness {
	// Servers say this unasked when they cannot fork.
	if _, ok := parsePostgreSQLError(greeting); ok {
		return Sure
	}
	return Unlike
}

func (p postgresql) Overhear(_ string, answer []byte) Likeness { return p.Recognize(answer) }

func (postgresql) Converse(c *wire.Conversation, o *Observation) error {
	if len(c.Pending()) == 0 && c.TLS() == nil {
		if err := c.Say([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest: 1234, 5679
			return err
		}
		first, err := c.Peek(1)
		if err != nil {
			return err
		}
		switch first[0] {
		case 'S', 'N':
			take, _ := c.ReadFull(1)
			o.Note("postgresql.ssl", take)
		case 'E': // before 7.0
		default:
			return c.Malformed("an answer to SSLRequest is S, N or an error", c.Pending())
		}
		if first[0] == 'S' && !c.Manners().NoUpgrade {
			if err := c.StartTLS(); err != nil {
				return err
			}
		}
	}
	if len(c.Pending()) == 0 {
		if err := c.Say([]byte{0, 0, 0, 8, 0, 255, 0, 0}); err != nil { // StartupMessage, version 255.0
			return err
		}
	}
	kind, err := c.Peek(1)
	if err != nil {
		return err
	}
	if kind[0] != 'E' {
		return c.Malformed("an error begins with E", c.Pending())
	}
	head, err := c.Peek(5)
	if err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 1<<14 {
		// The second version of the protocol: text through a NUL.
		text, err := readUntil(c, 1<<10, "\x00")
		if err != nil {
			return err
		}
		if !printable(text[:len(text)-1]) {
			return fmt.Errorf("no error message: %w", ErrOtherProtocol)
		}
		o.Note("postgresql.error", text[1:len(text)-1])
		o.Confirmed = true
		return nil
	}
	message, err := c.ReadFull(int(size) + 1)
	if err != nil {
		return err
	}
	fields, ok := parsePostgreSQLError(message)
	if !ok {
		return c.Malformed("an error message is made of fields", message)
	}
	o.Note("postgresql.error", fields)
	o.Confirmed = true
	return nil
}

// parsePostgreSQLError gives the fields of an ErrorResponse; severity, code and message
// must be among them.
func parsePostgreSQLError(message []byte) ([]byte, bool) {
	t := taker{rest: message}
	kind, size := t.u8(), t.u32(binary.BigEndian)
	if t.short || kind != 'E' || size < 5 || size > 1<<14 {
		return nil, false
	}
	fields := t.bytes(int(size) - 4)
	if t.short {
		return nil, false
	}
	has := map[byte]bool{}
	for f := (taker{rest: fields}); ; {
		field := f.until(0)
		if f.short {
			return nil, false
		}
		if len(field) == 0 {
			break
		}
		has[field[0]] = true
	}
	return bytes.TrimRight(fields, "\x00"), has['S'] && has['C'] && has['M']
}
