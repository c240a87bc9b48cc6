package wiretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"herald/wire"
)

// handshakers wait for a ClientHello and then misbehave.
func handshakers() []Server {
	answer := func(words string) func(net.Conn) {
		return func(c net.Conn) { c.Read(make([]byte, 4096)); io.WriteString(c, words); hold(c) }
	}
	after := func(cert func() tls.Certificate, then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert()}, MinVersion: tls.VersionTLS12})
			if s.Handshake() == nil {
				then(s)
			}
		}
	}
	http400 := "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	return []Server{
		{Name: "TLS answered with HTTP", TLS: true, Handshake: wire.NotTLS, Serve: func(c net.Conn) { c.Read(make([]byte, 4096)); io.WriteString(c, http400) }, Reading: wire.Closed},
		{Name: "TLS answered with garbage", TLS: true, Handshake: wire.NotTLS, Serve: answer(strings.Repeat("\x99garbage", 100)), Reading: wire.Timeout},
		{Name: "TLS answered with application data", TLS: true, Handshake: wire.NotTLS, Serve: answer("\x17\x03\x03\x00\x05early"), Reading: wire.Timeout},
		{Name: "a handshake record of garbage", TLS: true, Handshake: wire.TLSFailed, Serve: answer("\x16\x03\x03\x00\x08\x02\x00\x00\x04\xff\xff\xff\xff"), Reading: wire.Timeout},
		{Name: "a record of 65,535 bytes", TLS: true, Handshake: wire.NotTLS, Serve: func(c net.Conn) {
			c.Read(make([]byte, 4096))
			endless("\x16\x03\x03\xff\xff", "\x00")(c)
		}, Reading: wire.Limit},
		{Name: "a handshake message of 16 MB", TLS: true, Handshake: wire.TLSFailed, Serve: func(c net.Conn) {
			c.Read(make([]byte, 4096))
			endless("\x16\x03\x03\x40\x00\x02\xff\xff\xff", "\x16\x03\x03\x40\x00")(c)
		}, Reading: wire.Limit},
		{Name: "endless empty handshake records", TLS: true, Handshake: wire.TLSFailed, Serve: func(c net.Conn) { c.Read(make([]byte, 4096)); endless("", "\x16\x03\x03\x00\x00")(c) }, Reading: wire.Limit},
		{Name: "endless warnings", TLS: true, Handshake: wire.TLSFailed, Serve: func(c net.Conn) {
			c.Read(make([]byte, 4096))
			endless("", "\x15\x03\x03\x00\x02\x01\x5a")(c)
		}, Reading: wire.Limit},
		{Name: "closes without an alert", TLS: true, Handshake: wire.Closed, Serve: func(c net.Conn) { c.Read(make([]byte, 4096)) }, Reading: wire.Closed},
		{Name: "resets in the handshake", TLS: true, Handshake: wire.Reset, Serve: func(c net.Conn) { c.Read(make([]byte, 4096)); abrupt(c) }, Reading: wire.Reset},
		{Name: "silent in the handshake", TLS: true, Handshake: wire.Timeout, Serve: hold, Reading: wire.Timeout},
		{Name: "half a handshake", TLS: true, Handshake: wire.Timeout, Serve: answer("\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"), Reading: wire.Timeout},
		{Name: "an alert", TLS: true, Handshake: wire.TLSAlert, Serve: answer("\x15\x03\x03\x00\x02\x02\x28"), Reading: wire.Timeout},
		{Name: "a certificate of 1 MB", TLS: true, Handshake: wire.TLSFailed, Serve: after(huge, hold), Reading: wire.Closed},
		{Name: "a certificate of 200 KB with 10,000 names", TLS: true, Serve: after(many, hold), Reading: wire.Timeout},
		{Name: "a certificate with escapes and formulas in its names", TLS: true, Serve: after(evil, say("220 inside ESMTP\r\n")), Reading: wire.Timeout},
		{Name: "closes after the handshake", TLS: true, Serve: after(evil, func(net.Conn) {}), Reading: wire.Closed},
		{Name: "an endless line inside TLS", TLS: true, Serve: after(evil, endless("220 ", "a")), Reading: wire.Limit},
		{Name: "garbage under the session", TLS: true, Reading: wire.TLSFailed, Serve: func(c net.Conn) {
			after(evil, func(net.Conn) { io.WriteString(c, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)); hold(c) })(c)
		}},
		{Name: "asks to renegotiate", TLS: true, Reading: wire.TLSFailed, Serve: renegotiates},
		{Name: "application data amid the handshake", TLS: true, Handshake: wire.TLSFailed, Reading: wire.Closed, Serve: noisy},
		{Name: "a choice that was not offered, to every hello", TLS: true, Handshake: wire.TLSFailed, Reading: wire.Timeout, Serve: answer(serverHello(0x0303, 0xfafa, nil))},
		{Name: "a version that was not offered, to every hello", TLS: true, Handshake: wire.TLSFailed, Reading: wire.Timeout, Serve: answer(serverHello(0x0300, 0x002f, nil))},
		{Name: "a choice in records of one byte", TLS: true, Handshake: wire.Timeout, Reading: wire.Timeout, Serve: func(c net.Conn) {
			c.Read(make([]byte, 4096))
			for _, b := range []byte(serverHello(0x0303, 0xc02b, nil))[5:] {
				c.Write([]byte{22, 3, 3, 0, 1, b})
			}
			hold(c)
		}},
		{Name: "asks for another hello for ever", TLS: true, Handshake: wire.TLSFailed, Reading: wire.Limit, Serve: func(c net.Conn) {
			c.Read(make([]byte, 4096))
			endless("", serverHello(0x0303, 0x1301, helloRetry))(c)
		}},
		{Name: "a chain of 200 certificates", TLS: true, Serve: func(c net.Conn) {
			cert := evil()
			cert.Certificate = slices.Repeat(cert.Certificate, 200)
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
			if s.Handshake() == nil {
				hold(s)
			}
		}, Reading: wire.Timeout},
		{Name: "words in the clear under the session", TLS: true, Reading: wire.NotTLS, Serve: func(c net.Conn) {
			after(evil, func(net.Conn) { io.WriteString(c, "220 mx ESMTP\r\n"); hold(c) })(c)
		}},
	}
}

// Handshake is how many bytes a server of TLS 1.3 sends at least until its handshake is over:
// a signature's length varies.
func Handshake() int {
	ours, theirs := net.Pipe()
	defer ours.Close()
	counted := &cut{Conn: theirs, left: 1 << 20}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		tls.Server(counted, thirteen()).Handshake()
	}()
	tls.Client(ours, &tls.Config{InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}).Handshake()
	<-done
	const varies = 4 // bytes
	return 1<<20 - counted.left - varies
}

// ResetAmidHandshake sends so many bytes of its handshake, then resets the connection.
func ResetAmidHandshake(n int) func(net.Conn) {
	return func(c net.Conn) {
		s := &cut{Conn: c, left: n}
		if tls.Server(s, thirteen()).Handshake(); s.left > 0 {
			io.Copy(io.Discard, c) // all was sent: the client's answer is awaited
		}
		abrupt(c)
	}
}

func thirteen() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{evil()}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// cut is a connection over which only so many bytes can be sent.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	if len(p) > c.left {
		n, err := c.Conn.Write(p[:c.left])
		c.left -= n
		return n, errors.Join(io.ErrShortWrite, err)
	}
	c.left -= len(p)
	return c.Conn.Write(p)
}

// helloRetry is the random value of a ServerHello that wants another hello (RFC 8446, 4.1.3).
var helloRetry = []byte("\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c")

// serverHello is a record with a server's choice (RFC 5246, 7.4.1.3), of TLS 1.3 where it
// has helloRetry for its random value.
func serverHello(version, suite uint16, random []byte) string {
	var extensions []byte
	if random == nil {
		random = make([]byte, 32)
	} else {
		extensions = []byte{0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 23} // TLS 1.3, and a share of P-256
	}
	body := binary.BigEndian.AppendUint16(nil, version)
	body = append(append(body, random...), 0) // no session
	body = append(binary.BigEndian.AppendUint16(body, suite), 0)
	body = append(body, extensions...)
	return string(slices.Concat([]byte{22, 3, 3, 0, byte(4 + len(body)), 2, 0, 0, byte(len(body))}, body))
}

// EvilName is the name in the certificates of these servers.
const EvilName = "=cmd|' /C calc'!A0\x1b[2J\u202e\r\nx"

var (
	evil = sync.OnceValue(func() tls.Certificate { return certificate(0, nil) })
	huge = sync.OnceValue(func() tls.Certificate { return certificate(1<<20, nil) })
	many = sync.OnceValue(func() tls.Certificate {
		names := make([]string, 10_000)
		for i := range names {
			names[i] = "host-of-many." + strings.Repeat("x", i%8)
		}
		return certificate(0, names)
	})
)

// certificate makes one with an extension of so many bytes.
func certificate(bytes int, names []string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	name := []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: EvilName},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "+1+1\t\x07"},
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Unix(4e9, 0), DNSNames: names,
		Subject: pkix.Name{ExtraNames: name},
	}
	if bytes > 0 {
		template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1}, Value: make([]byte, bytes)}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
