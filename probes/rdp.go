package probes

import (
	"encoding/binary"
	"strconv"

	"herald/wire"
)

// RDP asks for a connection and how it would be protected, and looks at the certificate
// where the answer is TLS. It names no user.
var RDP = add(rdp{})

type rdp struct{}

var rdpInfo = Info{
	Name:  "rdp",
	Title: "Remote Desktop Protocol",
	Refs:  []string{"MS-RDPBCGR 2.2.1.1", "RFC 905"},
	Ports: []Port{{3389, wire.Plain}},
	Keys: []Key{
		{"rdp.answer", "connection confirm, whole"},
		{"rdp.security", "protocol that it chose: rdp, tls, credssp, …; or \"failure\" and its number"},
	},
	Asks: true,
}

func (rdp) Info() *Info { return &rdpInfo }

func (rdp) Recognize([]byte) Likeness { return Unlike }

func (rdp) Converse(c *wire.Conversation, o *Observation) error {
	// TPKT, X.224 Connection Request, and a negotiation request for TLS or CredSSP.
	if err := c.Say([]byte{3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0}); err != nil {
		return err
	}
	head, err := c.Peek(4)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0] != 3 || head[1] != 0 || size < 11 || size > 200 {
		return c.Malformed("a TPKT header", head)
	}
	answer, err := c.ReadFull(size)
	if err != nil {
		return err
	}
	if int(answer[4]) != size-5 || answer[5]&0xf0 != 0xd0 {
		return c.Malformed("a connection confirm", answer)
	}
	o.Note("rdp.answer", answer)
	if size == 11 {
		// Any ISO transport confirms so, S7 controllers too: only the port tells more.
		if c.Endpoint().Addr.Port() != 3389 {
			return ErrOtherProtocol
		}
		o.Note("rdp.security", []byte("rdp"))
		o.Confirmed = true
		return nil
	}
	if size != 19 || answer[11] != 2 && answer[11] != 3 || answer[13] != 8 || answer[14] != 0 {
		return c.Malformed("a negotiation response", answer)
	}
	value := binary.LittleEndian.Uint32(answer[15:])
	o.Confirmed = true
	if answer[11] == 3 {
		o.Note("rdp.security", strconv.AppendUint([]byte("failure "), uint64(value), 10))
		return nil
	}
	names := map[uint32]string{0: "rdp", 1: "tls", 2: "credssp", 4: "rdstls", 8: "credssp-ex", 16: "rdsaad"}
	name, known := names[value]
	if !known {
		name = strconv.FormatUint(uint64(value), 10)
	}
	o.Note("rdp.security", []byte(name))
	if (value == 1 || value == 2) && c.TLS() == nil && !c.Manners().NoUpgrade {
		return c.StartTLS()
	}
	return nil
}
