package wire

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Hello is a ClientHello of our own making, to ask which versions and cipher suites a
// server takes: also those that no library speaks any more. No handshake is completed.
// On a conversation it follows whatever the protocol wants before TLS (STARTTLS).
type Hello struct {
	Version uint16   // 0x0300 SSL 3.0, 0x0301 TLS 1.0, … 0x0304 TLS 1.3: offered alone
	Suites  []uint16 // in the order of preference
	Groups  []uint16 // nil is X25519, P-256, P-384, P-521, X448, ffdhe2048, ffdhe3072
	NoSNI   bool

	Signatures []uint16 // algorithms; nil is all that there are and were
	share      *ecdh.PrivateKey
}

// HelloAnswer is what the server made of it.
type HelloAnswer struct {
	Version uint16 // that the server chose
	Suite   uint16 // that the server chose; 0 where it refused
	Group   uint16 // of its key share, TLS 1.3 alone; 0 where it did not say
	Alert   uint8  // the alert that refused us, where Refused
	Refused bool   // by an alert, or by hanging up
}

var helloGroups = []uint16{29, 23, 24, 25, 30, 256, 257}

// Signature algorithms (RFC 8446, 4.2.3), old ones too: we only look.
var helloSignatures = []uint16{
	0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b,
	0x0401, 0x0501, 0x0601, 0x0203, 0x0201, 0x0402, 0x0202,
}

// SayHello sends the hello and reads the server's choice. A server that refuses by an
// alert, or closes, has answered: that is no failure. What follows on this connection is
// TLS; nothing else can be said on it.
func (c *Conversation) SayHello(h Hello) (HelloAnswer, error) {
	message, err := h.marshal(c.endpoint.Name)
	if err != nil {
		return HelloAnswer{}, c.fail(&Failure{Op: OpHandshake, Kind: Internal, Err: err})
	}
	if len(c.Pending()) > 0 {
		return HelloAnswer{}, c.fail(protocolError("bytes in the clear after agreeing to TLS", c.Pending()))
	}
	if err := c.Say(message); err != nil {
		return HelloAnswer{}, err
	}
	return c.readHello()
}

func (c *Conversation) readHello() (HelloAnswer, error) {
	var handshake []byte
	for range 16 {
		header, err := c.ReadFull(5)
		if err != nil {
			if k := KindOf(err); k == Closed || k == Reset {
				return HelloAnswer{Refused: true}, nil // older servers hang up without an alert
			}
			return HelloAnswer{}, err
		}
		n := int(binary.BigEndian.Uint16(header[3:]))
		if header[0] != recordAlert && header[0] != recordHandshake || header[1] != 3 || n == 0 || n > 1<<14+256 {
			return HelloAnswer{}, c.fail(&Failure{Op: OpHandshake, Kind: NotTLS, Err: fmt.Errorf("a record begins with %x", header)})
		}
		body, err := c.ReadFull(n)
		if err != nil {
			return HelloAnswer{}, err
		}
		if header[0] == recordAlert {
			if len(body) < 2 {
				return HelloAnswer{}, c.fail(protocolError("a short alert", body))
			}
			if body[0] == 1 && body[1] == 112 {
				continue // a warning, unrecognized_name: the hello goes on (RFC 6066, 3)
			}
			return HelloAnswer{Refused: true, Alert: body[1]}, nil
		}
		handshake = append(handshake, body...)
		if len(handshake) >= 4 {
			length := int(handshake[1])<<16 | int(handshake[2])<<8 | int(handshake[3])
			if handshake[0] != 2 || length > 1<<14 {
				return HelloAnswer{}, c.fail(protocolError("want a ServerHello", handshake))
			}
			if len(handshake) >= 4+length {
				a, ok := parseServerHello(handshake[4 : 4+length])
				if !ok {
					return HelloAnswer{}, c.fail(protocolError("a broken ServerHello", handshake))
				}
				return a, nil
			}
		}
	}
	return HelloAnswer{}, c.fail(protocolError("no ServerHello", handshake))
}

// parseServerHello reads RFC 5246, 7.4.1.3 and RFC 8446, 4.1.3; a HelloRetryRequest has
// the same form.
func parseServerHello(b []byte) (a HelloAnswer, ok bool) {
	if len(b) < 35 {
		return a, false
	}
	a.Version = binary.BigEndian.Uint16(b)
	session := int(b[34])
	if b = b[35:]; len(b) < session+3 {
		return a, false
	}
	b = b[session:]
	a.Suite = binary.BigEndian.Uint16(b)
	b = b[3:]
	if len(b) < 2 {
		return a, len(b) == 0 // SSL 3.0: no extensions
	}
	if int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return a, false
	}
	for b = b[2:]; len(b) >= 4; {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return a, false
		}
		body := b[4 : 4+n]
		switch {
		case kind == 43 && n == 2: // supported_versions
			a.Version = binary.BigEndian.Uint16(body)
		case kind == 51 && n >= 2: // key_share
			a.Group = binary.BigEndian.Uint16(body)
		}
		b = b[4+n:]
	}
	return a, len(b) == 0
}

func (h Hello) marshal(serverName string) ([]byte, error) {
	if len(h.Suites) == 0 || len(h.Suites) > 1<<12 {
		return nil, errors.New("a hello offers some suites")
	}
	record, legacy := min(h.Version, 0x0301), min(h.Version, 0x0303)
	b := binary.BigEndian.AppendUint16(nil, legacy)
	random := make([]byte, 32)
	rand.Read(random)
	b = append(b, random...)
	if h.Version >= 0x0304 {
		rand.Read(random)
		b = append(append(b, 32), random...) // a session for middleboxes (RFC 8446, D.4)
	} else {
		b = append(b, 0)
	}
	b = append(b, vector16(list16(h.Suites))...)
	b = append(b, 1, 0) // no compression
	if h.Version > 0x0300 {
		extensions, err := h.extensions(serverName)
		if err != nil {
			return nil, err
		}
		b = append(b, vector16(extensions)...)
	}
	message := append([]byte{1, byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
	out := binary.BigEndian.AppendUint16([]byte{recordHandshake}, record)
	return append(out, vector16(message)...), nil
}

func (h Hello) extensions(serverName string) ([]byte, error) {
	var b []byte
	add := func(kind uint16, body []byte) {
		b = append(binary.BigEndian.AppendUint16(b, kind), vector16(body)...)
	}
	if _, err := netip.ParseAddr(serverName); err != nil && serverName != "" && len(serverName) < 256 && !h.NoSNI {
		add(0, vector16(append([]byte{0}, vector16([]byte(serverName))...)))
	}
	groups := h.Groups
	if groups == nil {
		groups = helloGroups
	}
	add(10, vector16(list16(groups)))
	add(11, []byte{1, 0})
	signatures := h.Signatures
	if signatures == nil {
		signatures = helloSignatures
	}
	add(13, vector16(list16(signatures)))
	add(23, nil)           // extended master secret
	add(0xff01, []byte{0}) // renegotiation info, RFC 5746
	if h.Version >= 0x0304 {
		add(43, []byte{2, 3, 4})
		key := h.share
		if key == nil {
			var err error
			if key, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
				return nil, err
			}
		}
		share := append([]byte{0, 29}, vector16(key.PublicKey().Bytes())...)
		add(51, vector16(share))
		add(45, []byte{1, 1})
	}
	return b, nil
}

func vector16(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func list16(values []uint16) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}
