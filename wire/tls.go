package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// TLSOffer is what we offer in a handshake. The zero value offers TLS 1.0 to 1.3, every
// suite of the standard library and one X25519 key share: the cheapest hello that
// nearly every server accepts.
type TLSOffer struct {
	PostQuantum bool                   // also offer X25519MLKEM768, which costs a scanner half as much again
	ALPN        []string               // protocols, most wanted first; nil offers none
	NoSNI       bool                   // leave the server name out
	MinVersion  uint16                 // tls.VersionTLS10 where 0
	MaxVersion  uint16                 // the newest where 0
	Certificate TLSCertificateChooser  // nil takes whichever the server prefers
	Sessions    tls.ClientSessionCache // what to resume from, and where to keep tickets; nil resumes nothing
}

// TLSCertificateChooser restricts the signature algorithms, so that a server with an
// RSA and an ECDSA certificate shows the one that was asked for.
type TLSCertificateChooser func(*tls.Config)

// TLSState is what a completed handshake taught. Nothing in it is verified: looking is
// not trusting.
type TLSState struct {
	Version    uint16              // tls.VersionTLS12, …
	Cipher     uint16              // tls.TLS_AES_128_GCM_SHA256, …
	Curve      string              // key agreement group, "" where unknown
	ALPN       string              // chosen protocol, "" for none
	ServerName string              // the SNI that we sent, "" for none
	Chain      []*x509.Certificate // as sent, leaf first
	OCSP       []byte              // stapled response, DER
	Duration   time.Duration       // of the handshake
	Resumed    bool                // an earlier session was resumed
}

// VersionName is "TLS 1.3" and the like.
func (s *TLSState) VersionName() string { return tls.VersionName(s.Version) }

// CipherName is the IANA name of the suite.
func (s *TLSState) CipherName() string { return tls.CipherSuiteName(s.Cipher) }

// allSuites are every suite that the standard library can speak.
var allSuites = sync.OnceValue(func() []uint16 {
	var ids []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		ids = append(ids, s.ID)
	}
	return ids
})

var (
	classicGroups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	hybridGroups  = append([]tls.CurveID{tls.X25519MLKEM768}, classicGroups...)
)

func (o TLSOffer) config(serverName string) *tls.Config {
	cfg := &tls.Config{
		InsecureSkipVerify: true, // a scanner must see bad certificates; they are judged later, on the recorded chain
		ServerName:         serverName,
		MinVersion:         or(o.MinVersion, tls.VersionTLS10),
		MaxVersion:         o.MaxVersion,
		CipherSuites:       allSuites(),
		CurvePreferences:   classicGroups,
		NextProtos:         o.ALPN,
		ClientSessionCache: o.Sessions,
	}
	if o.PostQuantum {
		cfg.CurvePreferences = hybridGroups
	}
	if o.NoSNI {
		cfg.ServerName = ""
	}
	if o.Certificate != nil {
		o.Certificate(cfg)
	}
	return cfg
}

// upgrader is a connection that plays the handshake itself: a replayed one.
type upgrader interface {
	upgrade(serverName string) (state *TLSState, clear []byte, err error)
}

// StartTLS completes a handshake on the standing connection, after the server has agreed
// to it. Bytes that already wait arrived in the clear and would be taken for words said
// under protection (the STARTTLS response injection of "NO STARTTLS", USENIX Security
// 2021): they stay unread as evidence, and the conversation ends with kind protocol.
func (c *Conversation) StartTLS() error {
	if c.failure != nil {
		return c.failure
	}
	if c.tls != nil {
		return c.fail(&Failure{Op: OpHandshake, Kind: Internal, Err: errors.New("TLS inside TLS")})
	}
	if len(c.Pending()) > 0 {
		f := protocolError("bytes in the clear after agreeing to TLS", c.Pending())
		f.Op = OpHandshake
		return c.fail(f)
	}
	if err := c.handshake(); err != nil {
		return err
	}
	c.security = StartTLS
	return nil
}

func (c *Conversation) handshake() error {
	began := time.Now()
	name := c.endpoint.Name
	if _, err := netip.ParseAddr(name); err == nil {
		name = "" // RFC 6066, 3: literal addresses are not permitted in SNI
	}
	if r, ok := c.conn.(upgrader); ok {
		state, clear, err := r.upgrade(name)
		if err != nil {
			c.hear(clear)
			return c.fail(failureOf(OpHandshake, err))
		}
		c.tls, c.security = state, TLS
		c.record.note(eventTLS, 0, time.Since(c.began))
		return nil
	}
	tap := &clearTap{Conn: c.conn}
	session := tls.Client(tap, c.offer.config(name))
	deadline := c.earlier(began.Add(c.limits.TLS))
	err := c.setDeadline(deadline) // to the point: a handshake does not survive an early one
	if err == nil {
		err = c.ctx.Err()
	}
	if err != nil {
		return c.fail(failureOf(OpHandshake, err))
	}
	if err := session.HandshakeContext(context.Background()); err != nil {
		return c.fail(c.handshakeFailure(tap, err))
	}
	tap.done = true
	s := session.ConnectionState()
	c.tls = &TLSState{
		Version: s.Version, Cipher: s.CipherSuite, ALPN: s.NegotiatedProtocol, ServerName: name,
		Curve: curveName(s.CurveID), Chain: s.PeerCertificates, OCSP: s.OCSPResponse, Duration: time.Since(began), Resumed: s.DidResume,
	}
	c.session = session
	c.conn = session
	c.armed = time.Time{}
	c.security = TLS
	c.record.note(eventTLS, 0, time.Since(c.began))
	return nil
}

func curveName(id tls.CurveID) string {
	if id == 0 {
		return ""
	}
	return id.String()
}

// handshakeFailure names what went wrong. Where the server answered a hello with its own
// words, they are kept as heard: they name the protocol that really runs here.
func (c *Conversation) handshakeFailure(tap *clearTap, err error) *Failure {
	f := failureOf(OpHandshake, err)
	switch {
	case f.Kind == Internal:
		f.Kind = TLSFailed // crypto/tls refuses what it was sent, in one of its many words
	case f.Kind == Timeout && c.ctx.Err() != nil:
		f = failureOf(OpHandshake, c.ctx.Err())
	}
	if f.Kind == NotTLS || len(tap.heard) > 0 && tap.heard[0] != recordAlert && tap.heard[0] != recordHandshake {
		f.Kind = NotTLS
		c.hear(tap.heard)
	}
	return f
}

// First bytes of TLS records (RFC 8446, 5.1).
const (
	recordAlert     = 21
	recordHandshake = 22
)

// clearTap keeps the first bytes that come during a handshake, in case they are not TLS.
type clearTap struct {
	net.Conn
	heard []byte
	done  bool
}

func (t *clearTap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	const most = 2 << 10
	if room := most - len(t.heard); !t.done && room > 0 && (len(t.heard) == 0 || t.heard[0] != recordHandshake) {
		t.heard = append(t.heard, p[:min(n, room)]...)
	}
	return n, err
}
