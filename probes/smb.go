package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// SMB negotiates a dialect, first so that servers of every age understand, then by SMB2
// where the answer is SMB2. It sets up no session.
var SMB = add(smb{})

type smb struct{}

var smbInfo = Info{
	Name:  "smb",
	Title: "Server Message Block",
	Refs:  []string{"MS-SMB2 2.2.3", "MS-CIFS 2.2.4.52", "RFC 1002"},
	Ports: []Port{{445, wire.Plain}, {139, wire.Plain}},
	Keys: []Key{
		{"smb.negotiate", "last negotiate response, without NetBIOS header"},
		{"smb.dialect", "dialect: \"3.1.1\", \"2.0.2\", or \"NT LM 0.12\" for the first version"},
		{"smb.security", "security blob of the negotiate response"},
	},
	Asks: true,
}

func (smb) Info() *Info { return &smbInfo }

func (smb) Recognize([]byte) Likeness { return Unlike }

func (smb) Converse(c *wire.Conversation, o *Observation) error {
	if c.Endpoint().Addr.Port() == 139 {
		if err := smbSession(c); err != nil {
			return err
		}
	}
	answer, err := smbAsk(c, smb1Negotiate())
	if err != nil {
		return err
	}
	if bytes.HasPrefix(answer, []byte("\xffSMB")) {
		if len(answer) < 37 || answer[4] != 0x72 || answer[9]&0x80 == 0 {
			return c.Malformed("a negotiate response", answer)
		}
		o.Note("smb.negotiate", answer)
		if binary.LittleEndian.Uint16(answer[33:]) == 0 && answer[32] >= 1 {
			o.Note("smb.dialect", []byte("NT LM 0.12"))
		}
		o.Confirmed = true
		return nil
	}
	n, ok := parseSMB2Negotiate(answer)
	if !ok {
		return c.Malformed("a negotiate response", answer)
	}
	o.Confirmed = true
	if n.dialect == 0x02ff { // "SMB 2.???": ask again, in SMB2
		if answer, err = smbAsk(c, smb2Negotiate()); err != nil {
			return err
		}
		if n, ok = parseSMB2Negotiate(answer); !ok {
			return c.Malformed("a negotiate response", answer)
		}
	}
	o.Note("smb.negotiate", answer)
	o.Note("smb.dialect", fmt.Appendf(nil, "%d.%d.%d", n.dialect>>8, n.dialect>>4&15, n.dialect&15))
	o.Note("smb.security", n.security)
	return nil
}

// smbSession requests a NetBIOS session with whichever server there is (RFC 1002, 4.3.2).
func smbSession(c *wire.Conversation) error {
	name := func(s string) []byte {
		out := []byte{32}
		for _, b := range fmt.Sprintf("%-16s", s) {
			out = append(out, 'A'+byte(b)>>4, 'A'+byte(b)&15)
		}
		return append(out, 0)
	}
	if err := c.Say(append(append([]byte{0x81, 0, 0, 68}, name("*SMBSERVER")...), name("HERALD")...)); err != nil {
		return err
	}
	answer, err := c.ReadFull(4)
	if err != nil {
		return err
	}
	if answer[0] != 0x82 {
		return c.Malformed("a positive session response", answer)
	}
	return nil
}

func smbAsk(c *wire.Conversation, message []byte) ([]byte, error) {
	if err := c.Say(append([]byte{0, 0, byte(len(message) >> 8), byte(len(message))}, message...)); err != nil {
		return nil, err
	}
	head, err := c.Peek(8)
	if err != nil {
		return nil, err
	}
	size := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
	if head[0] != 0 || size < 35 || size > 16<<10 || string(head[5:]) != "SMB" {
		return nil, c.Malformed("a message of SMB", head)
	}
	whole, err := c.ReadFull(4 + size)
	if err != nil {
		return nil, err
	}
	return whole[4:], nil
}

// smb1Negotiate offers three dialects (MS-SMB2 3.2.4.2.2.1: multi-protocol negotiate).
func smb1Negotiate() []byte {
	m := append([]byte("\xffSMB\x72\x00\x00\x00\x00\x18\x01\x40"), make([]byte, 20)...)
	dialects := "\x02NT LM 0.12\x00\x02SMB 2.002\x00\x02SMB 2.???\x00"
	return append(append(m, 0, byte(len(dialects)), 0), dialects...)
}

// smb2Negotiate offers every dialect of SMB2 and 3 (MS-SMB2 2.2.3). Its GUID and salt are
// fixed: nothing follows that they could protect.
func smb2Negotiate() []byte {
	m := make([]byte, 64)
	copy(m, "\xfeSMB\x40\x00")
	m[14] = 1 // credits wanted
	m[24] = 1 // message number: the first negotiate had 0
	dialects := []uint16{0x0202, 0x0210, 0x0300, 0x0302, 0x0311}
	body := binary.LittleEndian.AppendUint16(nil, 36)
	body = binary.LittleEndian.AppendUint16(body, uint16(len(dialects)))
	body = append(body, 1, 0, 0, 0, 0, 0, 0, 0) // signing enabled; no capabilities
	body = append(body, "herald-smb-probe"...)
	contexts := (64 + 36 + 2*len(dialects) + 7) &^ 7
	body = binary.LittleEndian.AppendUint32(body, uint32(contexts))
	body = append(body, 1, 0, 0, 0) // one context
	for _, d := range dialects {
		body = binary.LittleEndian.AppendUint16(body, d)
	}
	m = append(m, body...)
	m = append(m, make([]byte, contexts-len(m))...)
	// Pre-authentication integrity: SHA-512, 32 bytes of salt.
	m = append(m, 1, 0, 38, 0, 0, 0, 0, 0, 1, 0, 32, 0, 1, 0)
	return append(m, bytes.Repeat([]byte{'h'}, 32)...)
}

type smb2Answer struct {
	dialect  int
	security []byte
}

// parseSMB2Negotiate reads a negotiate response (MS-SMB2 2.2.4).
func parseSMB2Negotiate(m []byte) (smb2Answer, bool) {
	t := taker{rest: m}
	magic := t.bytes(4)
	header := t.u16(binary.LittleEndian)
	t.bytes(6) // credit charge, status
	command := t.u16(binary.LittleEndian)
	t.bytes(2)
	flags := t.u32(binary.LittleEndian)
	t.bytes(44)
	size := t.u16(binary.LittleEndian)
	t.bytes(2)
	a := smb2Answer{dialect: t.u16(binary.LittleEndian)}
	t.bytes(2 + 16 + 4 + 12 + 16) // contexts, GUID, capabilities, sizes, times
	offset, length := t.u16(binary.LittleEndian), t.u16(binary.LittleEndian)
	if t.short || string(magic) != "\xfeSMB" || header != 64 || command != 0 || flags&1 == 0 || size != 65 {
		return a, false
	}
	if offset > len(m) || offset+length > len(m) {
		return a, false
	}
	a.security = m[offset : offset+length]
	return a, true
}
