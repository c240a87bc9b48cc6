package probes

import (
	"fmt"
	"net/netip"

	"herald/wire"
)

// SOCKS4 speaks version 4 of SOCKS and its extension 4A. The protocol has nothing to ask
// but for a connection: it is asked for to a name that can not exist, with the address
// 0.0.0.1 beside it, so that neither the extension nor the plain version reaches anybody.
// The code of the reply says little more than that the protocol is spoken: a refusal may be
// due to the name or to a rule.
var SOCKS4 = add(socks4{})

type socks4 struct{}

var socks4Info = Info{
	Name:  "socks4",
	Title: "SOCKS version 4 and 4A",
	Refs:  []string{"SOCKS: A protocol for TCP proxy across firewalls", "SOCKS 4A: A simple extension to SOCKS 4 protocol"},
	Ports: []Port{{1080, wire.Plain}},
	Keys: []Key{
		{"socks4.reply", "reply to CONNECT to a name that can not exist, eight bytes; of another version's server, what it sent"},
		{"socks4.relay", "reply to CONNECT to the host of --relay-check, eight bytes"},
	},
	Asks: true,
}

// nobody is a name that can not exist (RFC 2606, 2).
const nobody = "herald.invalid"

func (socks4) Info() *Info { return &socks4Info }

func (socks4) Recognize([]byte) Likeness { return Unlike } // the client speaks first

// Overhear knows a refusal: what a server makes of any other protocol's words.
func (socks4) Overhear(asked string, answer []byte) Likeness {
	if len(answer) == 8 && isSOCKS4Reply(answer) && answer[1] != 90 {
		return Likely
	}
	return Unlike
}

func (socks4) Converse(c *wire.Conversation, o *Observation) error {
	if len(c.Pending()) > 0 {
		return fmt.Errorf("it greets: %w", ErrOtherProtocol)
	}
	key, request := "socks4.reply", socks4Connect("0.0.0.1", nobody, 80)
	if host, port, ok := relayTarget(c.Manners().RelayCheck); ok {
		addr, name := "0.0.0.1", host
		if a, err := netip.ParseAddr(host); err == nil {
			if !a.Is4() {
				return fmt.Errorf("version 4 knows no such address: %w", ErrOtherProtocol)
			}
			addr, name = host, ""
		}
		key, request = "socks4.relay", socks4Connect(addr, name, port)
	}
	if err := c.Say(request); err != nil {
		return err
	}
	first, err := c.Peek(2)
	if err != nil {
		return err
	}
	if first[0] != 0 || first[1] < 90 || first[1] > 93 {
		if first[0] == 5 {
			o.Note("socks4.reply", c.Pending())
		}
		return fmt.Errorf("its answer is no reply of version 4: %w", ErrOtherProtocol)
	}
	reply, err := c.ReadFull(8)
	if err != nil {
		return err
	}
	o.Note(key, reply)
	o.Confirmed = true
	return nil
}

// isSOCKS4Reply says whether eight bytes have a reply's version and code.
func isSOCKS4Reply(b []byte) bool { return b[0] == 0 && b[1] >= 90 && b[1] <= 93 }

// socks4Connect is a request for a connection. An address of 0.0.0.x announces the name at
// the end (4A).
func socks4Connect(addr, name string, port uint16) []byte {
	message := []byte{4, 1, byte(port >> 8), byte(port)}
	message = append(message, netip.MustParseAddr(addr).AsSlice()...)
	message = append(message, "herald\x00"...)
	if name != "" {
		message = append(append(message, name...), 0)
	}
	return message
}
