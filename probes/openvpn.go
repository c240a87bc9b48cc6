package probes

import (
	"bytes"
	"encoding/binary"

	"herald/wire"
)

// OpenVPN asks over TCP for a session; the answer repeats our session's number. A server
// whose channel needs a key of its own (tls-auth, tls-crypt) stays silent.
var OpenVPN = add(openvpn{})

type openvpn struct{}

var openvpnInfo = Info{
	Name:  "openvpn",
	Title: "OpenVPN over TCP",
	Refs:  []string{"https://openvpn.github.io/openvpn-rfc/openvpn-wire-protocol.html"},
	Ports: []Port{{1194, wire.Plain}},
	Keys:  []Key{{"openvpn.answer", "hard reset of the server"}},
	Asks:  true,
}

func (openvpn) Info() *Info { return &openvpnInfo }

func (openvpn) Recognize([]byte) Likeness { return Unlike }

// Operation codes, in the upper five bits; the lower three are the key's number.
const (
	openvpnClientReset = 7 << 3
	openvpnServerReset = 8 << 3
)

func (openvpn) Converse(c *wire.Conversation, o *Observation) error {
	const session = "heraldvp"
	packet := append([]byte{0, 14, openvpnClientReset}, session...)
	if err := c.Say(append(packet, 0, 0, 0, 0, 0)); err != nil { // acknowledges nothing; packet 0
		return err
	}
	head, err := c.Peek(3)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(head))
	if head[2] != openvpnServerReset || size < 14 || size > 200 {
		return c.Malformed("a hard reset of the server", head)
	}
	answer, err := c.ReadFull(2 + size)
	if err != nil {
		return err
	}
	if !bytes.Contains(answer[11:], []byte(session)) {
		return c.Malformed("a hard reset repeats the client's session", answer)
	}
	o.Note("openvpn.answer", answer[2:])
	o.Confirmed = true
	return nil
}
