package wire

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A server of the standard library answers our own hello as it would a client's.
func TestSayHello(t *testing.T) {
	config, err := lookalike(&TLSState{Version: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}
	config.MinVersion = tls.VersionTLS11
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				tls.Server(conn, config).HandshakeContext(t.Context())
			}()
		}
	}()
	all := []uint16{0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc00a, 0x002f, 0x0005}
	for _, test := range []struct {
		version uint16
		suites  []uint16
		choices []uint16 // any of these
		group   uint16
	}{
		{0x0304, all, []uint16{0x1301, 0x1302, 0x1303}, 29},
		{0x0304, []uint16{0x1303}, []uint16{0x1303}, 29},
		{0x0304, []uint16{0xc02b}, nil, 0},
		{0x0303, all, []uint16{0xc02b}, 0},
		{0x0303, []uint16{0x0005}, nil, 0},
		{0x0302, all, []uint16{0xc00a}, 0},
		{0x0301, all, nil, 0},
		{0x0300, all, nil, 0},
	} {
		c, err := (&Caller{}).Open(context.Background(), Endpoint{Addr: l.Addr().(*net.TCPAddr).AddrPort(), Name: "mail.example.test"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.SayHello(Hello{Version: test.version, Suites: test.suites})
		c.Close()
		switch {
		case err != nil:
			t.Errorf("version %x suites %x: %v", test.version, test.suites, err)
		case got.Refused != (test.choices == nil):
			t.Errorf("version %x suites %x: refused %v", test.version, test.suites, got.Refused)
		case !got.Refused && (!slices.Contains(test.choices, got.Suite) || got.Version != test.version || got.Group != test.group):
			t.Errorf("version %x suites %x: %+v", test.version, test.suites, got)
		}
	}
}

// Whatever a server answers to a hello, in any pieces, reading it ends without a panic: with
// a choice, a refusal, or a failure.
func FuzzSayHello(f *testing.F) {
	body := append(make([]byte, 35), 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4)
	f.Add(append([]byte{22, 3, 3, 0, byte(4 + len(body)), 2, 0, 0, byte(len(body))}, body...), uint8(0))
	f.Add(append([]byte{22, 3, 3, 0, 4, 2, 0, 0, byte(len(body)), 22, 3, 3, 0, byte(len(body))}, body...), uint8(1))
	f.Add([]byte{21, 3, 3, 0, 2, 1, 112, 21, 3, 1, 0, 2, 2, 40}, uint8(0))
	f.Add([]byte{21, 3, 3, 0, 1, 2}, uint8(0))
	f.Add([]byte{22, 3, 3, 0xff, 0xff, 2, 0xff, 0xff, 0xff}, uint8(0))
	f.Fuzz(func(t *testing.T, answer []byte, piece uint8) {
		x := Exchange{Events: []Event{{Mark: '>'}, {Mark: '<', Data: answer}}, End: "read closed"}
		how := &Replay{Transcript: &Transcript{Exchanges: []Exchange{x}}, Piece: int(piece), AnyWords: true}
		c, err := (&Caller{Transport: how}).Open(t.Context(), Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:443")})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got, err := c.SayHello(Hello{Version: 0x0303, Suites: []uint16{0xc02f}})
		if err != nil && (KindOf(err) == Internal || got != HelloAnswer{}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// A server that speaks TLS 1.3 alone shows the certificate of each kind of key, and none
// for a kind that it has not.
func TestAskChain(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(key crypto.Signer, name string) tls.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"mail.example.test"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der, der}, PrivateKey: key}
	}
	both, one := []tls.Certificate{pair(ec, "ec"), pair(rs, "rsa")}, []tls.Certificate{pair(ec, "ec")}
	for _, test := range []struct {
		name       string
		config     *tls.Config
		signatures []uint16
		want       string
	}{
		{"the RSA one", &tls.Config{Certificates: both, MinVersion: tls.VersionTLS13}, RSASignatures, "rsa"},
		{"the ECDSA one", &tls.Config{Certificates: both, MinVersion: tls.VersionTLS13}, ECDSASignatures, "ec"},
		{"one that is not there", &tls.Config{Certificates: one, MinVersion: tls.VersionTLS13}, RSASignatures, ""},
		{"a client is asked for its own", &tls.Config{Certificates: both, ClientAuth: tls.RequireAnyClientCert}, RSASignatures, "rsa"},
		{"no TLS 1.3", &tls.Config{Certificates: both, MaxVersion: tls.VersionTLS12}, RSASignatures, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			at := serveOnce(t, func(conn net.Conn) { tls.Server(conn, test.config).HandshakeContext(t.Context()) })
			c, err := (&Caller{}).Open(t.Context(), Endpoint{Addr: at, Name: "mail.example.test"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			chain, err := c.AskChain(test.signatures)
			switch {
			case err != nil:
				t.Error(err)
			case test.want == "" && chain != nil:
				t.Errorf("%d certificates", len(chain))
			case test.want != "" && (len(chain) != 2 || chain[0].Subject.CommonName != test.want):
				t.Errorf("%d certificates, want two of %s", len(chain), test.want)
			}
		})
	}
}

// Whatever comes in place of a handshake, asking ends with a failure or without a chain.
func TestAskChainOfStrangers(t *testing.T) {
	for name, words := range map[string]string{
		"words":              "220 mail.example.test\r\n",
		"an alert":           "\x15\x03\x03\x00\x02\x02\x28",
		"nothing":            "",
		"a short hello":      "\x16\x03\x03\x00\x06\x02\x00\x00\x02\x03\x03",
		"an endless message": "\x16\x03\x03\x00\x06\x02\xff\xff\xff\x03\x03",
		"data":               "\x17\x03\x03\x00\x02hi",
		"a certificate":      "\x16\x03\x03\x00\x04\x0b\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			at := serveOnce(t, func(conn net.Conn) {
				conn.Read(make([]byte, 4<<10))
				conn.Write([]byte(words))
			})
			c, err := (&Caller{}).Open(t.Context(), Endpoint{Addr: at})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if chain, err := c.AskChain(RSASignatures); chain != nil || (err == nil) != (name == "an alert" || name == "nothing") {
				t.Errorf("%d certificates, %v", len(chain), err)
			}
		})
	}
}

func serveOnce(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		serve(conn)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// Whatever a server sends, reading its certificates ends without a panic: in the flight
// before there are keys, and in what is decrypted with them.
func FuzzAskChain(f *testing.F) {
	body := append(make([]byte, 35), 0x13, 0x01, 0, 0, 46, 0, 43, 0, 2, 3, 4, 0, 51, 0, 36, 0, 29, 0, 32)
	body = append(body, make([]byte, 32)...)
	f.Add(append([]byte{22, 3, 3, 0, byte(4 + len(body)), 2, 0, 0, byte(len(body))}, body...), uint8(0))
	f.Add([]byte{0, 0, 0, 6, 0, 0, 1, 0x30, 0, 0}, uint8(1))
	f.Fuzz(func(t *testing.T, answer []byte, piece uint8) {
		parseCertificates(answer)
		x := Exchange{Events: []Event{{Mark: '>'}, {Mark: '<', Data: answer}}, End: "read closed"}
		how := &Replay{Transcript: &Transcript{Exchanges: []Exchange{x}}, Piece: int(piece), AnyWords: true}
		c, err := (&Caller{Transport: how}).Open(t.Context(), Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:443")})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if chain, err := c.AskChain(RSASignatures); chain != nil || err != nil && KindOf(err) == Internal {
			t.Errorf("%d certificates, %v", len(chain), err)
		}
	})
}

// Whatever a server sends, reading it ends without a panic and within the message.
func FuzzServerHello(f *testing.F) {
	f.Add(append(make([]byte, 35), 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4))
	f.Add(append(make([]byte, 34), 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := parseServerHello(b); ok {
			serverShare(b)
		}
	})
}
