package probes

import (
	"bytes"

	"herald/wire"
)

// SIP asks a server over TCP for what it supports. The question may not be passed on
// (Max-Forwards: 0) and calls nobody.
var SIP = add(sip{})

type sip struct{}

var sipInfo = Info{
	Name:  "sip",
	Title: "Session Initiation Protocol over TCP",
	Refs:  []string{"RFC 3261"},
	Ports: []Port{{5060, wire.Plain}, {5061, wire.TLS}},
	Keys: []Key{
		{"sip.status", "status line"},
		{"sip.header.*", "value of a header field, by its name in lower case"},
	},
	Asks: true,
}

func (sip) Info() *Info { return &sipInfo }

func (sip) Recognize(words []byte) Likeness {
	if bytes.HasPrefix(words, []byte("SIP/2.0 ")) {
		return Sure
	}
	return Unlike
}

func (s sip) Overhear(_ string, answer []byte) Likeness { return s.Recognize(answer) }

func (s sip) Converse(c *wire.Conversation, o *Observation) error {
	uri := "sip:" + c.Endpoint().Host()
	if a := c.Endpoint().Addr.Addr(); c.Endpoint().Name == "" && a.Is6() {
		uri = "sip:[" + a.WithZone("").String() + "]"
	}
	via := "SIP/2.0/TCP"
	if c.TLS() != nil {
		via = "SIP/2.0/TLS"
	}
	// RFC 3261, 11.1. Names of .invalid are nobody's (RFC 2606); over TCP the answer
	// comes back on the connection (18.2.2).
	request := "OPTIONS " + uri + " SIP/2.0\r\n" +
		"Via: " + via + " herald.invalid;branch=z9hG4bKherald;rport\r\n" +
		"Max-Forwards: 0\r\n" +
		"From: <sip:herald@herald.invalid>;tag=herald\r\n" +
		"To: <" + uri + ">\r\n" +
		"Call-ID: herald@herald.invalid\r\n" +
		"CSeq: 1 OPTIONS\r\n" +
		"Contact: <sip:herald@herald.invalid>\r\n" +
		"Accept: application/sdp\r\n" +
		"User-Agent: " + userAgent(c) + "\r\n" +
		"Content-Length: 0\r\n\r\n"
	if err := c.Say([]byte(request)); err != nil {
		return err
	}
	h, err := readHead(c)
	if err != nil {
		return err
	}
	if s.Recognize(h.status) == Unlike {
		return c.Malformed("an answer begins with SIP/2.0", h.status)
	}
	h.note(o, "sip")
	o.Confirmed = true
	return nil
}
