package scan

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"herald/wire"
)

// dripping is a network of servers that say a byte a second, for ever.
type dripping struct{ words string }

func (d dripping) Dial(context.Context, wire.Endpoint) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		go func() { // it takes what is said
			b := make([]byte, 1024)
			for {
				if _, err := theirs.Read(b); err != nil {
					return
				}
			}
		}()
		for i := 0; ; i++ {
			if _, err := theirs.Write([]byte{d.words[i%len(d.words)]}); err != nil {
				return
			}
			time.Sleep(time.Second) // a fake clock's
		}
	}()
	return ours, nil
}

// With the limits that hold by default, a server that says a byte a second takes no more
// time than an endpoint may take.
func TestByteASecond(t *testing.T) {
	for name, words := range map[string]string{"no line end": "2", "lines": "220-mx\r\n", "HTTP": "HTTP/1.1 200 OK\r\nX: y\r\n", "TLS": "\x16\x03\x03\x40\x00\x02\x00"} {
		for _, port := range []uint16{25, 80, 143, 443, 20000} {
			synctest.Test(t, func(t *testing.T) {
				a := netip.MustParseAddr("192.0.2.1")
				s := New(Options{Caller: wire.Caller{Transport: dripping{words}}})
				began := time.Now()
				found := s.Look(t.Context(), Target{Host: a.String(), Addr: a, Port: port}, wire.Endpoint{Addr: netip.AddrPortFrom(a, port)})
				if took := time.Since(began); took > s.options.Timeout+time.Second || found.Received > 60 || found.Connections > mostConnections {
					t.Errorf("%s on port %d: %s, %d bytes, %d connections, %s", name, port, took, found.Received, found.Connections, found.Verdict)
				}
				time.Sleep(2 * time.Second) // the servers see that we have gone
			})
		}
	}
}
