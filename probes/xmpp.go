package probes

import (
	"bytes"
	"encoding/xml"

	"herald/wire"
)

// XMPP opens a stream as a client (as a server where servers meet), reads what the
// server offers, follows STARTTLS and opens it again. It never authenticates.
var XMPP = add(xmpp{})

type xmpp struct{}

var xmppInfo = Info{
	Name:  "xmpp",
	Title: "Extensible Messaging and Presence Protocol",
	Refs:  []string{"RFC 6120"},
	Ports: []Port{{5222, wire.Plain}, {5223, wire.TLS}, {5269, wire.Plain}, {5270, wire.TLS}},
	Keys: []Key{
		{"xmpp.stream", "the stream's opening tag"},
		{"xmpp.features", "stream:features; once in the clear and once inside TLS"},
		{"xmpp.error", "stream:error"},
	},
	Asks: true,
}

func (xmpp) Info() *Info { return &xmppInfo }

func (xmpp) Recognize(words []byte) Likeness {
	if bytes.Contains(words[:min(len(words), 1<<10)], []byte("http://etherx.jabber.org/streams")) {
		return Sure
	}
	return Unlike
}

func (x xmpp) Overhear(_ string, answer []byte) Likeness {
	if bytes.HasPrefix(answer, []byte("<stream:error")) {
		return Sure
	}
	return x.Recognize(answer)
}

func (xmpp) Converse(c *wire.Conversation, o *Observation) error {
	features, err := xmppOpen(c, o)
	if err != nil || features == nil {
		return err
	}
	if bytes.Contains(features, []byte("urn:ietf:params:xml:ns:xmpp-tls")) && c.TLS() == nil && !c.Manners().NoUpgrade {
		if err := c.Say([]byte("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")); err != nil {
			return err
		}
		answer, err := readUntil(c, xmppMost, ">")
		if err != nil {
			return err
		}
		if bytes.HasPrefix(answer, []byte("<proceed")) {
			if err := c.StartTLS(); err != nil {
				return err
			}
			if features, err := xmppOpen(c, o); err != nil || features == nil {
				return err
			}
		}
	}
	return c.Say([]byte("</stream:stream>"))
}

const xmppMost = 32 << 10 // bytes of a stream's features

// xmppOpen opens a stream and gives its features, nil where the server declines.
func xmppOpen(c *wire.Conversation, o *Observation) ([]byte, error) {
	to := c.Endpoint().Name
	if to == "" {
		to = "localhost" // RFC 6120, 4.7.2: a domain; servers that serve another say so
	}
	var name bytes.Buffer
	xml.EscapeText(&name, []byte(to))
	space := "jabber:client"
	if port := c.Endpoint().Addr.Port(); port == 5269 || port == 5270 {
		space = "jabber:server"
	}
	open := "<?xml version='1.0'?><stream:stream to='" + name.String() + "' version='1.0' xmlns='" + space + "' xmlns:stream='http://etherx.jabber.org/streams'>"
	if err := c.Say([]byte(open)); err != nil {
		return nil, err
	}
	begin, err := c.Peek(2)
	if err != nil {
		return nil, err
	}
	if string(begin) != "<?" && string(begin) != "<s" {
		return nil, c.Malformed("a stream begins with a tag", begin)
	}
	stream, err := readUntil(c, xmppMost, ">")
	if bytes.HasPrefix(stream, []byte("<?")) && err == nil {
		stream, err = readUntil(c, xmppMost, ">")
	}
	if err != nil {
		return nil, err
	}
	stream = bytes.TrimSpace(stream)
	if !bytes.HasPrefix(stream, []byte("<stream:stream")) {
		return nil, c.Malformed("a stream begins with its tag", stream)
	}
	o.Note("xmpp.stream", stream)
	if !bytes.Contains(stream, []byte("http://etherx.jabber.org/streams")) {
		return nil, c.Malformed("a stream of XMPP has its name space", stream)
	}
	o.Confirmed = true
	rest, err := readUntil(c, xmppMost, "</stream:features>", "<stream:features/>", "</stream:error>")
	if err != nil {
		return nil, err
	}
	if bytes.HasSuffix(rest, []byte("</stream:error>")) {
		o.Note("xmpp.error", rest)
		o.Declined = true
		return nil, nil
	}
	o.Note("xmpp.features", rest)
	return rest, nil
}
