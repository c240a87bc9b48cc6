package probes

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"herald/wire"
)

// VNC speaks the remote framebuffer protocol as far as the list of security types, and
// chooses none.
var VNC = add(vnc{})

type vnc struct{}

var vncInfo = Info{
	Name:  "vnc",
	Title: "Remote Framebuffer (VNC)",
	Refs:  []string{"RFC 6143"},
	Ports: []Port{{5900, wire.Plain}, {5901, wire.Plain}, {5902, wire.Plain}, {5903, wire.Plain}, {5800, wire.Plain}},
	Keys: []Key{
		{"vnc.version", "version line: RFB 003.008"},
		{"vnc.security", "security types in their order (RFC 6143, 7.1.2): \"1, 2\""},
		{"vnc.error", "why it declines"},
	},
}

func (vnc) Info() *Info { return &vncInfo }

func (vnc) Recognize(greeting []byte) Likeness {
	if _, _, ok := vncVersion(greeting); ok {
		return Sure
	}
	return Unlike
}

func (vnc) Converse(c *wire.Conversation, o *Observation) error {
	line, err := c.ReadFull(12)
	if err != nil {
		return err
	}
	o.Note("vnc.version", line)
	major, minor, ok := vncVersion(line)
	if !ok {
		return c.Malformed("a version is RFB and two numbers", line)
	}
	answer := "RFB 003.008\n" // RFC 6143, 7.1.1: the highest that both know; there are three
	switch {
	case major == 3 && minor < 7:
		answer = "RFB 003.003\n"
	case major == 3 && minor == 7:
		answer = "RFB 003.007\n"
	}
	if err := c.Say([]byte(answer)); err != nil {
		return err
	}
	if answer == "RFB 003.003\n" {
		chosen, err := c.ReadFull(4)
		if err != nil {
			return err
		}
		kind := binary.BigEndian.Uint32(chosen)
		if kind == 0 {
			return vncDeclines(c, o)
		}
		o.Note("vnc.security", strconv.AppendUint(nil, uint64(kind), 10))
		o.Confirmed = true
		return nil
	}
	count, err := c.ReadFull(1)
	if err != nil {
		return err
	}
	if count[0] == 0 {
		return vncDeclines(c, o)
	}
	kinds, err := c.ReadFull(int(count[0]))
	if err != nil {
		return err
	}
	var list []byte
	for i, k := range kinds {
		if i > 0 {
			list = append(list, ", "...)
		}
		list = strconv.AppendUint(list, uint64(k), 10)
	}
	o.Note("vnc.security", list)
	o.Confirmed = true
	return nil
}

// vncDeclines reads the reason (RFC 6143, 7.1.2).
func vncDeclines(c *wire.Conversation, o *Observation) error {
	o.Confirmed, o.Declined = true, true
	size, err := c.ReadFull(4)
	if err != nil {
		return err
	}
	const most = 4 << 10
	n := binary.BigEndian.Uint32(size)
	if n > most {
		return c.TooMuch("bytes of a reason", most)
	}
	reason, err := c.ReadFull(int(n))
	o.Note("vnc.error", reason)
	return err
}

// vncVersion reads "RFB 003.008\n".
func vncVersion(line []byte) (major, minor int, ok bool) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("RFB ")) || line[7] != '.' || line[11] != '\n' {
		return 0, 0, false
	}
	major, rest := number(line[4:7])
	minor, rest2 := number(line[8:11])
	return major, minor, len(rest) == 0 && len(rest2) == 0
}
