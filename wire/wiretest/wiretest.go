// Package wiretest has servers that nobody wants to meet, for tests: on real sockets of
// loopback or in memory, each bounded in what it sends and how long it stays. What they do
// has broken programs of this kind, or would.
//
// Walk [Servers] and [Start] each, or call them through [Only] by a clock of the test's own; a
// new way to be nasty is one more entry in the list, and every probe is tried against it.
package wiretest

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"herald/wire"
)

// Server is a nasty server.
type Server struct {
	Name  string
	Serve func(net.Conn) // answers one connection, which is closed afterwards

	// Reading is how it ends for somebody who says a line and reads lines until it ends:
	// the kind of the failure.
	Reading wire.Kind

	// TLS says that it waits for a ClientHello. Handshake is the failure of the handshake,
	// "" where it stands.
	TLS       bool
	Handshake wire.Kind

	// Slow says that only the time for the whole conversation ends the reading.
	Slow bool
}

// Bounds of every server.
const (
	Longest = 2 * time.Minute // a connection: who waits for its end is seen to
	Most    = 4 << 20         // bytes that an endless server sends
)

// Limits are a conversation's limits for tests with these servers: nobody waits for real.
var Limits = wire.Limits{
	Dial: 5 * time.Second, TLS: 2 * time.Second, Greeting: 40 * time.Millisecond, Settle: 10 * time.Millisecond,
	Reply: 60 * time.Millisecond, Whole: 600 * time.Millisecond, Line: 8 << 10, Bytes: 256 << 10, Turns: 40,
}

// Start has the server listen on a port of loopback until the test ends; its goroutines
// end before that.
func Start(t testing.TB, serve func(net.Conn)) wire.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: l, open: map[net.Conn]bool{}}
	s.all.Go(func() { s.accept(serve) })
	t.Cleanup(s.close)
	return wire.Endpoint{Addr: l.Addr().(*net.TCPAddr).AddrPort()}
}

type server struct {
	listener net.Listener
	all      sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
	ended    bool
}

func (s *server) accept(serve func(net.Conn)) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.open[c] = true
		s.mu.Unlock()
		s.all.Go(func() {
			c.SetDeadline(time.Now().Add(Longest))
			serve(c)
			c.Close()
			s.mu.Lock()
			delete(s.open, c)
			s.mu.Unlock()
		})
	}
}

func (s *server) close() {
	s.listener.Close()
	s.mu.Lock()
	s.ended = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

// Nobody is a place on loopback where nobody listens, and nobody else will until the test
// ends: connections are refused.
func Nobody(t testing.TB) netip.AddrPort {
	t.Helper()
	at, release, err := Unheard()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return at
}

// Unheard is [Nobody] for those that have no test at hand. The port is held by a connection
// that was bound to it: one that had merely been free a moment ago could be given to the
// next listener, or to the caller itself.
func Unheard() (at netip.AddrPort, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return at, nil, err
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	c, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		l.Close()
		return at, nil, err
	}
	at = c.LocalAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), func() { c.Close(); l.Close() }, nil
}

// Announce closes arrived when the first connection has come.
func Announce(arrived chan<- struct{}, serve func(net.Conn)) func(net.Conn) {
	var once sync.Once
	return func(c net.Conn) {
		once.Do(func() { close(arrived) })
		serve(c)
	}
}
