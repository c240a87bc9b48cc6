package wiretest

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"herald/wire"
)

// Net is a network in memory: it says who serves at an endpoint, nil for nobody. Its
// connections behave like those of loopback, but no system call waits in them. A test with
// a clock of its own (testing/synctest) therefore waits for nothing, however long the limits
// are that it runs into, and never meets one because its machine is busy.
//
// Such a test sleeps for [Longest] at its end: servers see then that nobody is there.
type Net func(wire.Endpoint) (serve func(net.Conn))

// Only is the network of one server, wherever it is called.
func Only(serve func(net.Conn)) Net { return func(wire.Endpoint) func(net.Conn) { return serve } }

func (n Net) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	serve := n(e)
	if serve == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(e.Addr), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, theirs := Pipe(e.Addr)
	go func() {
		theirs.SetDeadline(time.Now().Add(Longest))
		serve(theirs)
		theirs.Close()
	}()
	return ours, nil
}

// Pipe is a connection in memory to a server at the address: the client's side and the
// server's. They are what *net.TCPConn are, as far as these tests look: each keeps 64 KiB of
// what its user has not read yet, and has deadlines, CloseWrite and SetLinger.
func Pipe(at netip.AddrPort) (client, server net.Conn) {
	p := &pipe{}
	p.changed.L = &p.mu
	there := net.TCPAddrFromAddrPort(at)
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40000}
	if at.Addr().Is6() {
		here.IP = net.IPv6loopback
	}
	a, b := &side{pipe: p, local: here, remote: there}, &side{pipe: p, local: there, remote: here}
	a.peer, b.peer = b, a
	return a, b
}

const window = 64 << 10 // bytes that one side keeps unread

// pipe is what both sides share.
type pipe struct {
	mu      sync.Mutex
	changed sync.Cond // something of a side, or its time
}

type side struct {
	*pipe
	peer          *side
	local, remote net.Addr

	in            bytes.Buffer // came, and was not read yet
	over, reset   bool         // the peer has sent FIN, RST
	ended, closed bool         // we have sent FIN; our user has closed
	abrupt        bool         // Close sends RST
	readBy, sayBy deadline
}

// deadline wakes who waits when it has come.
type deadline struct {
	at    time.Time // zero for none
	timer *time.Timer
}

func (d *deadline) set(p *pipe, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = at, nil
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), func() {
			p.mu.Lock()
			p.changed.Broadcast()
			p.mu.Unlock()
		})
	}
	p.changed.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (s *side) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, s.fails("read", net.ErrClosed)
		case s.readBy.passed():
			return 0, s.fails("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case s.in.Len() > 0:
			s.changed.Broadcast()
			return s.in.Read(p)
		case s.over:
			return 0, io.EOF
		case s.reset:
			return 0, s.fails("read", os.NewSyscallError("read", syscall.ECONNRESET))
		}
		s.changed.Wait()
	}
}

func (s *side) Write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return n, s.fails("write", net.ErrClosed)
		case s.sayBy.passed():
			return n, s.fails("write", os.ErrDeadlineExceeded)
		case s.ended, s.reset && s.over:
			return n, s.fails("write", os.NewSyscallError("write", syscall.EPIPE))
		case s.reset:
			return n, s.fails("write", os.NewSyscallError("write", syscall.ECONNRESET))
		case s.peer.closed: // which answers by RST
			s.reset = true
			s.changed.Broadcast()
			return len(p), nil
		}
		if k := min(len(p)-n, window-s.peer.in.Len()); k > 0 {
			s.peer.in.Write(p[n : n+k])
			s.changed.Broadcast()
			n += k
		}
		if n == len(p) {
			return n, nil
		}
		s.changed.Wait()
	}
}

// Close sends what a kernel sends: RST where something came that nobody has read.
func (s *side) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.fails("close", net.ErrClosed)
	}
	s.closed = true
	s.readBy.set(s.pipe, time.Time{})
	s.sayBy.set(s.pipe, time.Time{})
	switch {
	case s.abrupt, s.in.Len() > 0:
		s.peer.reset = true
	case !s.reset:
		s.peer.over = true
	}
	s.changed.Broadcast()
	return nil
}

// CloseWrite sends FIN.
func (s *side) CloseWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.fails("close", net.ErrClosed)
	}
	s.ended, s.peer.over = true, true
	s.changed.Broadcast()
	return nil
}

// SetLinger has Close send RST where the number of seconds is 0.
func (s *side) SetLinger(seconds int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abrupt = seconds == 0
	return nil
}

// wait stays without reading until the connection is closed, or the time to read is over.
func (s *side) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.closed && !s.readBy.passed() {
		s.changed.Wait()
	}
}

func (s *side) fails(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: s.local, Addr: s.remote, Err: err}
}

func (s *side) LocalAddr() net.Addr  { return s.local }
func (s *side) RemoteAddr() net.Addr { return s.remote }

func (s *side) SetReadDeadline(at time.Time) error  { return s.setDeadlines(at, &s.readBy) }
func (s *side) SetWriteDeadline(at time.Time) error { return s.setDeadlines(at, &s.sayBy) }
func (s *side) SetDeadline(at time.Time) error      { return s.setDeadlines(at, &s.readBy, &s.sayBy) }

func (s *side) setDeadlines(at time.Time, all ...*deadline) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.fails("set", net.ErrClosed)
	}
	for _, d := range all {
		d.set(s.pipe, at)
	}
	return nil
}
