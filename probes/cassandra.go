package probes

import (
	"encoding/binary"
	"strings"

	"herald/wire"
)

// Cassandra asks for the options of the native protocol, which a server tells before
// anybody logs in.
var Cassandra = add(cassandra{})

type cassandra struct{}

var cassandraInfo = Info{
	Name:  "cassandra",
	Title: "Cassandra native protocol (CQL)",
	Refs:  []string{"https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec"},
	Ports: []Port{{9042, wire.Plain}, {9142, wire.TLS}},
	Keys: []Key{
		{"cassandra.error", "text of an error, \"Invalid or unsupported protocol version …\""},
		{"cassandra.*", "values of an option of SUPPORTED, by its name in lower case: cql-version, compression, product-type"},
	},
	Asks: true,
}

func (cassandra) Info() *Info { return &cassandraInfo }

func (cassandra) Recognize([]byte) Likeness { return Unlike }

// Overhear: a version that it does not know is answered by an error frame.
func (cassandra) Overhear(_ string, answer []byte) Likeness {
	if len(answer) < 9 || answer[0]&0x80 == 0 || answer[0]&0x7f > 6 || answer[4] != 0 {
		return Unlike
	}
	if text, ok := cassandraError(answer[9:]); ok && indexFold([]byte(text), "protocol version") >= 0 {
		return Sure
	}
	return Unlike
}

func (cassandra) Converse(c *wire.Conversation, o *Observation) error {
	// Version 3, stream 1, OPTIONS, no body.
	if err := c.Say([]byte{3, 0, 0, 1, 5, 0, 0, 0, 0}); err != nil {
		return err
	}
	head, err := c.Peek(9)
	if err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[5:])
	if head[0]&0x80 == 0 || head[0]&0x7f > 6 || size > 16<<10 || head[4] != 0 && head[4] != 6 {
		return c.Malformed("OPTIONS is answered by SUPPORTED or an error", head)
	}
	frame, err := c.ReadFull(9 + int(size))
	if err != nil {
		return err
	}
	if frame[4] == 0 {
		text, ok := cassandraError(frame[9:])
		if !ok {
			return c.Malformed("an error has a code and a text", frame)
		}
		o.Note("cassandra.error", []byte(text))
		o.Confirmed = true
		return nil
	}
	options, ok := cassandraOptions(frame[9:])
	if !ok {
		return c.Malformed("options have names and values", frame)
	}
	for _, option := range options {
		o.Note("cassandra."+option[0], []byte(option[1]))
	}
	o.Confirmed = true
	return nil
}

func cassandraError(body []byte) (string, bool) {
	t := taker{rest: body}
	t.u32(binary.BigEndian)
	text := t.bytes(t.u16(binary.BigEndian))
	return string(text), !t.short && len(text) > 0 && printable(text)
}

// cassandraOptions reads a string multimap (specification, 3). CQL_VERSION must be there.
func cassandraOptions(body []byte) (options [][2]string, ok bool) {
	t := taker{rest: body}
	for range t.u16(binary.BigEndian) {
		name := t.bytes(t.u16(binary.BigEndian))
		var values []string
		for range t.u16(binary.BigEndian) {
			values = append(values, string(t.bytes(t.u16(binary.BigEndian))))
			if t.short {
				return nil, false
			}
		}
		key := strings.ReplaceAll(strings.ToLower(string(name)), "_", "-")
		if t.short || !fitsKey([]byte(key)) {
			return nil, false
		}
		ok = ok || key == "cql-version"
		options = append(options, [2]string{key, strings.Join(values, ", ")})
	}
	return options, ok && !t.short
}
