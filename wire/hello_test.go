package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"testing"
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
		c, err := Caller{}.Open(context.Background(), Endpoint{Addr: l.Addr().(*net.TCPAddr).AddrPort(), Name: "mail.example.test"})
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
		c, err := Caller{Transport: how}.Open(t.Context(), Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:443")})
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

// parseServerHello reads within the message.
func FuzzServerHello(f *testing.F) {
	f.Add(append(make([]byte, 35), 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4))
	f.Add(append(make([]byte, 34), 32))
	f.Fuzz(func(t *testing.T, b []byte) { parseServerHello(b) })
}
