package probes

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"

	"herald/wire"
)

// SOCKS5 speaks version 5 of SOCKS. It offers methods, never authenticates, and asks for
// no connection: after a free choice it sends a request with a command that does not
// exist, whose refusal tells implementations apart. Whether a stranger is connected is
// asked only of a URL that the user owns (Manners.RelayCheck).
var SOCKS5 = add(socks5{})

type socks5 struct{}

var socks5Info = Info{
	Name:  "socks5",
	Title: "SOCKS version 5",
	Refs:  []string{"RFC 1928", "RFC 1929", "RFC 1961"},
	Ports: []Port{{1080, wire.Plain}, {9050, wire.Plain}, {1081, wire.Plain}},
	Keys: []Key{
		{"socks5.method", "reply to the methods none, GSSAPI and user name: version and choice, two bytes"},
		{"socks5.refusal", "reply to a command that does not exist, raw; \"closed\" where the server closes without one"},
		{"socks5.relay", "reply to CONNECT to the host of --relay-check, raw"},
	},
	Asks: true,
}

// Methods (RFC 1928, 3).
const (
	socksNoAuthentication = 0
	socksGSSAPI           = 1
	socksUserName         = 2
	socksNoneAcceptable   = 0xff
)

func (socks5) Info() *Info { return &socks5Info }

func (socks5) Recognize([]byte) Likeness { return Unlike } // the client speaks first

// Overhear knows a refusal of methods: what a server makes of any other protocol's words.
func (socks5) Overhear(asked string, answer []byte) Likeness {
	if string(answer) == "\x05\xff" {
		return Sure
	}
	return Unlike
}

func (socks5) Converse(c *wire.Conversation, o *Observation) error {
	if len(c.Pending()) > 0 {
		return fmt.Errorf("it greets: %w", ErrOtherProtocol)
	}
	if err := c.Say([]byte{5, 3, socksNoAuthentication, socksGSSAPI, socksUserName}); err != nil {
		return err
	}
	version, err := c.Peek(1)
	if err != nil {
		return err
	}
	if version[0] != 5 {
		return fmt.Errorf("its answer is not of version 5: %w", ErrOtherProtocol)
	}
	choice, err := c.ReadFull(2)
	if err != nil {
		return err
	}
	o.Note("socks5.method", choice)
	if o.After == nil {
		o.Then = HTTP.Info().Name // to those who take them for web servers, some say who they are
	}
	switch choice[1] {
	case socksNoAuthentication:
	case socksGSSAPI, socksUserName, socksNoneAcceptable:
		o.Confirmed = true
		o.Declined = choice[1] == socksNoneAcceptable
		return nil // we have no credentials and try none
	default:
		o.Then = ""
		return c.Malformed("a method that was not offered", choice)
	}
	o.Confirmed = len(c.Pending()) == 0 // more than two bytes would be another protocol's chance
	if !o.Confirmed {
		o.Then = ""
		return c.Malformed("bytes after the choice of a method", c.Pending())
	}
	if c.Manners().RelayCheck != "" {
		return socks5Relay(c, o)
	}
	return socks5Refusal(c, o)
}

// socks5Refusal asks for command 9, which RFC 1928 does not assign: it must be refused with
// reply 7.
func socks5Refusal(c *wire.Conversation, o *Observation) error {
	if err := c.Say([]byte{5, 9, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	reply, err := socks5Reply(c)
	o.Note("socks5.refusal", reply)
	if kind := wire.KindOf(err); (kind == wire.Closed || kind == wire.Reset) && len(reply) == 0 {
		o.Note("socks5.refusal", []byte("closed"))
		return nil
	}
	return err
}

// socks5Relay asks for a connection to the user's own host.
func socks5Relay(c *wire.Conversation, o *Observation) error {
	host, port, ok := relayTarget(c.Manners().RelayCheck)
	if !ok {
		return nil // whoever reads the flag says so
	}
	message := []byte{5, 1, 0}
	switch addr, err := netip.ParseAddr(host); {
	case err != nil:
		message = append(append(message, 3, byte(len(host))), host...)
	case addr.Is4():
		message = append(append(message, 1), addr.AsSlice()...)
	default:
		message = append(append(message, 4), addr.AsSlice()...)
	}
	if err := c.Say(append(message, byte(port>>8), byte(port))); err != nil {
		return err
	}
	reply, err := socks5Reply(c)
	o.Note("socks5.relay", reply)
	return err
}

// socks5Reply reads a reply (RFC 1928, 6): version, code, reserved, address and port. What
// came of a broken one is returned too.
func socks5Reply(c *wire.Conversation) ([]byte, error) {
	head, err := c.Peek(5)
	if err != nil {
		return c.Pending(), err
	}
	var address int
	switch head[3] {
	case 1:
		address = 4
	case 3:
		address = 1 + int(head[4])
	case 4:
		address = 16
	default:
		return bytes.Clone(head), c.Malformed("an address is of type 1, 3 or 4", head)
	}
	reply, err := c.ReadFull(4 + address + 2)
	if err != nil {
		return c.Pending(), err
	}
	if reply[0] != 5 {
		return reply, c.Malformed("a reply has version 5", reply)
	}
	return reply, nil
}

// relayTarget is host and port of a URL.
func relayTarget(text string) (host string, port uint16, ok bool) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || len(u.Hostname()) > 255 {
		return "", 0, false
	}
	service := u.Port()
	if service == "" {
		service = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(service, 10, 16)
	return u.Hostname(), uint16(n), err == nil && n > 0
}
