package probes

import (
	"encoding/binary"
	"strconv"

	"herald/wire"
)

// MySQL speaks the client/server protocol of MySQL and MariaDB as far as the server's
// handshake, and follows it into TLS where that is offered. It never sends a user.
var MySQL = add(mysql{})

type mysql struct{}

var mysqlInfo = Info{
	Name:  "mysql",
	Title: "MySQL client/server protocol",
	Refs:  []string{"https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html", "https://mariadb.com/kb/en/connection/"},
	Ports: []Port{{3306, wire.Plain}, {3307, wire.Plain}},
	Keys: []Key{
		{"mysql.greeting", "handshake packet without its header"},
		{"mysql.version", "server version, as in the handshake"},
		{"mysql.plugin", "default authentication plugin"},
		{"mysql.error", "number and text of the error that came instead: \"1130 Host … is not allowed …\""},
	},
}

func (mysql) Info() *Info { return &mysqlInfo }

func (mysql) Recognize(greeting []byte) Likeness {
	t := taker{rest: greeting}
	size, sequence := mysqlHeader(t.bytes(4))
	if t.short || sequence != 0 || size < 7 || size > 1<<12 || len(t.rest) == 0 {
		return Unlike
	}
	switch kind := t.u8(); {
	case kind == 10 || kind == 9: // the two versions of the handshake
		if version := t.until(0); t.short || !printable(version) || len(version) == 0 {
			return Unlike
		}
		return Sure
	case kind == 0xff && len(greeting) == 4+size:
		if code := t.u16(binary.LittleEndian); code < 1000 || code > 5000 || !printable(t.rest) {
			return Unlike
		}
		return Sure
	}
	return Unlike
}

func (mysql) Converse(c *wire.Conversation, o *Observation) error {
	head, err := c.ReadFull(4)
	if err != nil {
		return err
	}
	size, sequence := mysqlHeader(head)
	if sequence != 0 || size == 0 || size > 1<<12 {
		return c.Malformed("a packet begins with its length and number 0", head)
	}
	payload, err := c.ReadFull(size)
	if err != nil {
		return err
	}
	if payload[0] == 0xff {
		e, ok := parseMySQLError(payload)
		if !ok {
			return c.Malformed("an error packet has a number and a text", payload)
		}
		o.Note("mysql.error", e)
		o.Confirmed, o.Declined = true, true
		return nil
	}
	h, ok := parseMySQLHandshake(payload)
	if !ok {
		return c.Malformed("a handshake packet", payload)
	}
	o.Note("mysql.greeting", payload)
	o.Note("mysql.version", h.version)
	o.Note("mysql.plugin", h.plugin)
	o.Confirmed = true
	if h.capabilities&mysqlTLS == 0 || c.TLS() != nil || c.Manners().NoUpgrade {
		return nil
	}
	// SSLRequest: TLS is wanted before any user is named.
	request := []byte{32, 0, 0, 1}
	request = binary.LittleEndian.AppendUint32(request, mysqlTLS|mysqlProtocol41|mysqlSecure)
	request = binary.LittleEndian.AppendUint32(request, 1<<24)
	request = append(request, 45) // utf8mb4
	if err := c.Say(append(request, make([]byte, 23)...)); err != nil {
		return err
	}
	return c.StartTLS()
}

// Capability flags.
const (
	mysqlProtocol41 = 0x200
	mysqlTLS        = 0x800
	mysqlSecure     = 0x8000
)

func mysqlHeader(head []byte) (size, sequence int) {
	if len(head) < 4 {
		return 0, -1
	}
	return int(head[0]) | int(head[1])<<8 | int(head[2])<<16, int(head[3])
}

type mysqlHandshake struct {
	version      []byte
	capabilities uint32
	plugin       []byte // empty before MySQL 5.5.7
}

// parseMySQLHandshake reads a payload of HandshakeV10 or V9.
func parseMySQLHandshake(payload []byte) (mysqlHandshake, bool) {
	t := taker{rest: payload}
	protocol := t.u8()
	h := mysqlHandshake{version: t.until(0)}
	t.u32(binary.LittleEndian) // connection's number
	if protocol == 9 {
		t.until(0)
		return h, !t.short && printable(h.version) && len(h.version) > 0
	}
	t.bytes(8) // first part of the nonce
	filler := t.u8()
	h.capabilities = uint32(t.u16(binary.LittleEndian))
	if t.short || protocol != 10 || filler != 0 || len(h.version) == 0 || !printable(h.version) {
		return h, false
	}
	if len(t.rest) == 0 {
		return h, true // MySQL 3.23
	}
	t.bytes(3) // character set, status
	h.capabilities |= uint32(t.u16(binary.LittleEndian)) << 16
	nonce := t.u8()
	t.bytes(10)
	t.bytes(max(13, nonce-8))
	if t.short {
		return h, h.capabilities&mysqlProtocol41 != 0
	}
	const plugins = 0x80000
	if h.capabilities&plugins != 0 {
		h.plugin = t.rest
		if i := len(h.plugin) - 1; i >= 0 && h.plugin[i] == 0 {
			h.plugin = h.plugin[:i]
		}
	}
	return h, printable(h.plugin)
}

// parseMySQLError gives number and text of an ERR packet.
func parseMySQLError(payload []byte) ([]byte, bool) {
	t := taker{rest: payload}
	t.u8()
	code := t.u16(binary.LittleEndian)
	if len(t.rest) > 6 && t.rest[0] == '#' {
		t.bytes(6) // SQL state
	}
	return append(strconv.AppendInt(nil, int64(code), 10), " "+string(t.rest)...), !t.short && code >= 1000 && printable(t.rest)
}
