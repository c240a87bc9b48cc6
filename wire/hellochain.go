package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
)

// Signature algorithms of TLS 1.3 by the kind of key that they need (RFC 8446, 4.2.3).
var (
	RSASignatures   = []uint16{0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601}
	ECDSASignatures = []uint16{0x0403, 0x0503, 0x0603}
)

// AskChain sends a hello of TLS 1.3 that takes these signature algorithms alone, and
// returns the certificates that the server shows for them, leaf first: no other way shows
// which kinds of key a server has that speaks nothing older, and the standard library does
// not let its algorithms be chosen. The handshake is read up to the certificates, which
// are encrypted, and not completed; nothing can be said on this connection afterwards. A
// server that refuses gives no chain and no error.
func (c *Conversation) AskChain(signatures []uint16) ([]*x509.Certificate, error) {
	share, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, c.fail(&Failure{Op: OpHandshake, Kind: Internal, Err: err})
	}
	h := Hello{Version: 0x0304, Suites: []uint16{0x1301, 0x1302}, Groups: []uint16{29}, Signatures: signatures, share: share}
	message, err := h.marshal(c.endpoint.Name)
	if err != nil {
		return nil, c.fail(&Failure{Op: OpHandshake, Kind: Internal, Err: err})
	}
	if len(c.Pending()) > 0 {
		return nil, c.fail(protocolError("bytes in the clear after agreeing to TLS", c.Pending()))
	}
	if err := c.Say(message); err != nil {
		return nil, err
	}
	const recordHeader = 5
	r := &chainReader{c: c, transcript: message[recordHeader:], share: share}
	return r.read()
}

// chainReader reads a server's first flight (RFC 8446, 4 and 5).
type chainReader struct {
	c          *Conversation
	share      *ecdh.PrivateKey
	transcript []byte // of handshake messages
	handshake  []byte // not yet parsed
	aead       cipher.AEAD
	iv         []byte
	records    uint64
}

const (
	recordChange = 20
	recordData   = 23

	mostFlight = 128 << 10 // bytes of handshake messages
)

func (r *chainReader) read() ([]*x509.Certificate, error) {
	for len(r.handshake) < mostFlight {
		header, err := r.c.ReadFull(5)
		if err != nil {
			if k := KindOf(err); r.aead == nil && (k == Closed || k == Reset) {
				return nil, nil
			}
			return nil, err
		}
		n := int(binary.BigEndian.Uint16(header[3:]))
		if header[0] < recordChange || header[0] > recordData || header[1] != 3 || n == 0 || n > 1<<14+256 {
			return nil, r.c.fail(&Failure{Op: OpHandshake, Kind: NotTLS, Err: fmt.Errorf("a record begins with %x", header)})
		}
		header = append([]byte(nil), header...)
		body, err := r.c.ReadFull(n)
		if err != nil {
			return nil, err
		}
		kind := header[0]
		if kind == recordData && r.aead != nil {
			if kind, body, err = r.open(header, body); err != nil {
				return nil, r.c.fail(protocolError(err.Error(), nil))
			}
		}
		switch kind {
		case recordChange: // for middleboxes (RFC 8446, D.4)
			continue
		case recordAlert:
			return nil, nil
		case recordHandshake:
			r.handshake = append(r.handshake, body...)
		default:
			return nil, r.c.fail(protocolError("data before the handshake is over", nil))
		}
		if chain, done, err := r.messages(); err != nil {
			return nil, r.c.fail(protocolError(err.Error(), nil))
		} else if done {
			return chain, nil
		}
	}
	return nil, r.c.fail(protocolError("no certificate", nil))
}

// messages takes what is whole; done says that the certificates came.
func (r *chainReader) messages() (chain []*x509.Certificate, done bool, err error) {
	for len(r.handshake) >= 4 {
		n := 4 + (int(r.handshake[1])<<16 | int(r.handshake[2])<<8 | int(r.handshake[3]))
		if n > mostFlight {
			return nil, false, errors.New("a message longer than any")
		}
		if len(r.handshake) < n {
			return nil, false, nil
		}
		message := r.handshake[:n]
		r.handshake = r.handshake[n:]
		switch kind := message[0]; {
		case kind == 2 && r.aead == nil: // ServerHello
			r.transcript = append(r.transcript, message...)
			if err := r.agree(message[4:]); err != nil {
				return nil, false, err
			}
			if len(r.handshake) > 0 {
				return nil, false, errors.New("messages in the clear behind the ServerHello")
			}
		case kind == 11 && r.aead != nil:
			chain, err := parseCertificates(message[4:])
			return chain, err == nil, err
		case (kind == 8 || kind == 13) && r.aead != nil: // EncryptedExtensions, CertificateRequest
		default:
			return nil, false, fmt.Errorf("handshake message %d out of turn", kind)
		}
	}
	return nil, false, nil
}

// agree derives the server's keys (RFC 8446, 7.1).
func (r *chainReader) agree(hello []byte) error {
	a, ok := parseServerHello(hello)
	sizes := map[uint16]int{0x1301: 16, 0x1302: 32} // of keys, in bytes
	if !ok || a.Version != 0x0304 || sizes[a.Suite] == 0 || a.Group != 29 {
		return errors.New("a ServerHello that answers no offer of ours")
	}
	point := serverShare(hello)
	if point == nil {
		return errors.New("a ServerHello without a key")
	}
	peer, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return err
	}
	shared, err := r.share.ECDH(peer)
	if err != nil {
		return err
	}
	digest := sha256.New
	if a.Suite == 0x1302 {
		digest = sha512.New384
	}
	k := &schedule{digest: digest}
	zeros := make([]byte, digest().Size())
	empty := digest().Sum(nil)
	seen := digest()
	seen.Write(r.transcript)
	early := k.extract(zeros, nil)
	handshake := k.extract(shared, k.expand(early, "derived", empty, len(zeros)))
	traffic := k.expand(handshake, "s hs traffic", seen.Sum(nil), len(zeros))
	key := k.expand(traffic, "key", nil, sizes[a.Suite])
	r.iv = k.expand(traffic, "iv", nil, 12)
	if k.err != nil {
		return k.err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	r.aead, err = cipher.NewGCM(block)
	return err
}

// open decrypts a record (RFC 8446, 5.2 and 5.3).
func (r *chainReader) open(header, body []byte) (kind byte, text []byte, err error) {
	nonce := append([]byte(nil), r.iv...)
	for i := range 8 {
		nonce[4+i] ^= byte(r.records >> (56 - 8*i))
	}
	r.records++
	text, err = r.aead.Open(nil, nonce, body, header)
	if err != nil {
		return 0, nil, err
	}
	for len(text) > 0 && text[len(text)-1] == 0 {
		text = text[:len(text)-1]
	}
	if len(text) == 0 {
		return 0, nil, errors.New("a record of padding alone")
	}
	return text[len(text)-1], text[:len(text)-1], nil
}

// schedule derives keys with one hash, until something fails.
type schedule struct {
	digest func() hash.Hash
	err    error
}

func (k *schedule) extract(secret, salt []byte) []byte {
	if k.err != nil {
		return nil
	}
	var out []byte
	out, k.err = hkdf.Extract(k.digest, secret, salt)
	return out
}

// expand is HKDF-Expand-Label (RFC 8446, 7.1).
func (k *schedule) expand(secret []byte, label string, context []byte, n int) []byte {
	if k.err != nil {
		return nil
	}
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label...)
	info = append(append(info, byte(len(context))), context...)
	var out []byte
	out, k.err = hkdf.Expand(k.digest, secret, string(info), n)
	return out
}

// serverShare is the key in a ServerHello's key_share, nil without.
func serverShare(b []byte) []byte {
	session := int(b[34])
	b = b[35+session+3:]
	if len(b) < 2 {
		return nil
	}
	for b = b[2:]; len(b) >= 4; {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		if body := b[4 : 4+n]; kind == 51 && n == 2+2+32 {
			return body[4:]
		}
		b = b[4+n:]
	}
	return nil
}

// parseCertificates reads a Certificate message (RFC 8446, 4.4.2).
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	broken := errors.New("a broken Certificate message")
	take := func(lengthBytes int) ([]byte, bool) {
		if len(b) < lengthBytes {
			return nil, false
		}
		n := 0
		for _, x := range b[:lengthBytes] {
			n = n<<8 | int(x)
		}
		if b = b[lengthBytes:]; len(b) < n {
			return nil, false
		}
		out := b[:n]
		b = b[n:]
		return out, true
	}
	if _, ok := take(1); !ok { // certificate_request_context
		return nil, broken
	}
	list, ok := take(3)
	if !ok || len(b) > 0 {
		return nil, broken
	}
	var chain []*x509.Certificate
	for b = list; len(b) > 0; {
		der, ok := take(3)
		if _, extensions := take(2); !ok || !extensions {
			return nil, broken
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("a Certificate message without certificates")
	}
	return chain, nil
}
