package wire

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// quick are limits for servers that keep us waiting, patient those for servers that end by
// themselves: however busy the machine, time is not what ends them.
var (
	quick   = Limits{Dial: time.Minute, TLS: 300 * time.Millisecond, Greeting: 100 * time.Millisecond, Reply: 100 * time.Millisecond, Settle: 20 * time.Millisecond, Whole: time.Minute, Line: 1 << 10, Bytes: 8 << 10, Turns: 3}
	patient = Limits{Dial: time.Minute, TLS: time.Minute, Greeting: time.Minute, Reply: time.Minute, Settle: 20 * time.Millisecond, Whole: time.Minute, Line: quick.Line, Bytes: quick.Bytes, Turns: quick.Turns}
)

// TestEveryFailureIsProvoked has a real socket produce each kind of failure that a
// conversation can meet; a kind that nothing here provokes fails the test.
func TestEveryFailureIsProvoked(t *testing.T) {
	readLine := func(c *Conversation) error { _, err := c.ReadLine(); return err }
	type provocation struct {
		name   string
		serve  func(net.Conn)
		dial   func(t *testing.T) Endpoint // instead of serve
		caller Caller
		tls    bool
		talk   func(*Conversation) error
		op     Op
		kind   Kind
		alert  uint8
	}
	hold := func(c net.Conn) { c.Read(make([]byte, 1)) } // until the client goes
	all := []provocation{
		{name: "nobody listens", dial: closedPort, op: OpDial, kind: Refused},
		{name: "the backlog is full", dial: fullBacklog, caller: Caller{Limits: Limits{Dial: 150 * time.Millisecond}}, op: OpDial, kind: Timeout},
		{name: "no route", dial: func(*testing.T) Endpoint { return Endpoint{Addr: netip.MustParseAddrPort("224.0.0.1:25")} }, op: OpDial, kind: Unreachable},
		{name: "no local port", serve: hold, caller: Caller{Transport: Network{Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}}}, op: OpDial, kind: Exhausted},
		{name: "silence", serve: hold, talk: readLine, op: OpRead, kind: Timeout},
		{name: "half a line and silence", serve: func(c net.Conn) { c.Write([]byte("220 hal")); hold(c) }, talk: readLine, op: OpRead, kind: Timeout},
		{name: "closed at once", serve: func(net.Conn) {}, talk: readLine, op: OpRead, kind: Closed},
		{name: "half a line and closed", serve: func(c net.Conn) { c.Write([]byte("220 hal")) }, talk: readLine, op: OpRead, kind: Closed},
		{name: "reset", serve: func(c net.Conn) { c.Read(make([]byte, 1)); c.(*net.TCPConn).SetLinger(0) }, talk: func(c *Conversation) error {
			if err := c.Send("NOOP"); err != nil {
				return err
			}
			_, err := c.ReadLine()
			return err
		}, op: OpRead, kind: Reset},
		{name: "TLS answered in the clear", tls: true, serve: func(c net.Conn) { c.Write([]byte("220 mail.example.org ESMTP\r\n")); hold(c) }, op: OpHandshake, kind: NotTLS},
		{name: "TLS answered by an alert", tls: true, serve: tlsServer(t, &tls.Config{MinVersion: tls.VersionTLS13}), caller: Caller{TLS: TLSOffer{MaxVersion: tls.VersionTLS12}}, op: OpHandshake, kind: TLSAlert, alert: 70},
		{name: "TLS answered by nonsense", tls: true, serve: func(c net.Conn) { c.Write([]byte("\x16\x03\x03\x00\x04\x02\x00\x00\x00")); hold(c) }, op: OpHandshake, kind: TLSFailed},
		{name: "TLS answered by silence", tls: true, serve: func(c net.Conn) { c.Read(make([]byte, 4096)); hold(c) }, op: OpHandshake, kind: Timeout},
		{name: "TLS answered by closing", tls: true, serve: func(c net.Conn) { c.Read(make([]byte, 4096)) }, op: OpHandshake, kind: Closed},
		{name: "words in the clear behind STARTTLS", serve: func(c net.Conn) { c.Write([]byte("220 go ahead\r\n250 injected\r\n")); hold(c) }, talk: func(c *Conversation) error {
			if _, err := c.ReadLine(); err != nil {
				return err
			}
			return c.StartTLS()
		}, op: OpHandshake, kind: Protocol},
		{name: "an endless line", serve: func(c net.Conn) { endless(c, "x") }, talk: readLine, op: OpRead, kind: Limit},
		{name: "endless lines", serve: func(c net.Conn) { endless(c, "220-x\r\n") }, talk: func(c *Conversation) error {
			for {
				if _, err := c.ReadLine(); err != nil {
					return err
				}
			}
		}, op: OpRead, kind: Limit},
		{name: "too many questions", serve: func(c net.Conn) { endless(c, "500 what\r\n") }, talk: func(c *Conversation) error {
			for {
				if _, err := c.Ask("NOOP"); err != nil {
					return err
				}
			}
		}, op: OpWrite, kind: Limit},
		{name: "a byte at a time, for ever", serve: func(c net.Conn) {
			for range 100 {
				if _, err := c.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(5 * time.Millisecond) // the server's slowness is what is tested
			}
		}, caller: Caller{Limits: Limits{Whole: 100 * time.Millisecond}}, talk: readLine, op: OpRead, kind: Limit},
		{name: "a line break inside a command", serve: hold, talk: func(c *Conversation) error { return c.Send("NOOP\r\nQUIT") }, op: OpWrite, kind: Internal},
	}
	seen := []Kind{NotFound, Unresolved, Excluded, Canceled} // the first three by tests of resolve and scan, the fourth below
	for _, p := range all {
		seen = append(seen, p.kind)
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			var e Endpoint
			if p.dial != nil {
				e = p.dial(t)
			} else {
				e = serve(t, p.serve)
			}
			if p.tls {
				e.Security = TLS
			}
			l, own := patient, p.caller.Limits
			if p.kind == Timeout {
				l = quick
			}
			l.Dial, l.Whole = or(own.Dial, l.Dial), or(own.Whole, l.Whole)
			p.caller.Limits = l
			c, err := p.caller.Open(t.Context(), e)
			if c != nil {
				defer c.Close()
			}
			if err == nil && p.talk != nil {
				err = p.talk(c)
			}
			f, ok := err.(*Failure)
			if !ok || f.Op != p.op || f.Kind != p.kind || f.Alert != p.alert {
				t.Fatalf("got %v; want %s: %s", err, p.op, p.kind)
			}
			if c != nil {
				if again := c.Send("NOOP"); again != err {
					t.Errorf("the next call gives %v, not the same failure", again)
				}
			}
		})
	}
	for _, k := range []Kind{NotFound, Unresolved, Excluded, Refused, Unreachable, Timeout, Reset, Closed, NotTLS, TLSAlert, TLSFailed, Protocol, Limit, Canceled, Exhausted, Internal} {
		if !slices.Contains(seen, k) {
			t.Errorf("nothing provokes a failure of kind %s", k)
		}
	}
}

func TestCancelEndsAWait(t *testing.T) {
	e := serve(t, func(c net.Conn) { c.Read(make([]byte, 1)) })
	ctx, cancel := context.WithCancel(t.Context())
	c, err := (&Caller{}).Open(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go cancel()
	if _, err := c.ReadLine(); KindOf(err) != Canceled {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestWordsInsteadOfTLSAreKept(t *testing.T) {
	e := serve(t, func(c net.Conn) { c.Write([]byte("SSH-2.0-x\r\n")); c.Read(make([]byte, 4096)) })
	e.Security = TLS
	c, err := (&Caller{Limits: patient}).Open(t.Context(), e)
	if KindOf(err) != NotTLS {
		t.Fatalf("got %v", err)
	}
	defer c.Close()
	if got := string(c.Pending()); got != "SSH-2.0-x\r\n" {
		t.Errorf("kept %q", got)
	}
}

func endless(c net.Conn, what string) {
	block := []byte(strings.Repeat(what, 4096/len(what)))
	for range 10_000 {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// closedPort is held, so that nobody else listens there, and nobody listens.
func closedPort(t *testing.T) Endpoint {
	_, at := bound(t)
	return Endpoint{Addr: at}
}

// fullBacklog is a listener that accepts nobody and whose queue is full, so that the
// kernel drops further SYNs.
func fullBacklog(t *testing.T) Endpoint {
	fd, at := bound(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d := net.Dialer{Timeout: 50 * time.Millisecond}
		if c, err := d.Dial("tcp", at.String()); err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return Endpoint{Addr: at}
}

// bound is a socket on a port of its own that does not listen.
func bound(t *testing.T) (fd int, at netip.AddrPort) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*syscall.SockaddrInet4).Port))
}

func tlsServer(t *testing.T, config *tls.Config) func(net.Conn) {
	t.Helper()
	made, err := lookalike(&TLSState{Version: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = made.Certificates
	return func(c net.Conn) { tls.Server(c, config).Handshake() }
}
