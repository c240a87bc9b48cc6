package scan

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"herald/wire"
	"herald/wire/wiretest"
)

// piped is a transport to servers in memory, each connection with the given function.
type piped func(net.Conn)

func (serve piped) Dial(context.Context, wire.Endpoint) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() { defer theirs.Close(); serve(theirs) }()
	return ours, nil
}

// lookInMemory looks at a server on a port that promises nothing, with a fake clock: what
// is slow is what was made slow, not the machine.
func lookInMemory(t *testing.T, serve piped) (s *Service) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s = look(t, Options{Caller: wire.Caller{Transport: serve}}, Target{Host: "127.0.0.1", Addr: netip.MustParseAddr("127.0.0.1"), Port: 20025})
	})
	return s
}

func look(t *testing.T, o Options, target Target) *Service {
	t.Helper()
	o.Explain = true
	return New(o).Look(t.Context(), target, wire.Endpoint{Addr: netip.AddrPortFrom(target.Addr, target.Port)})
}

func TestSMTPOnAnOddPort(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) {
		script := []string{"220 mail.example.org ESMTP Postfix\r\n", "250-mail.example.org\r\n250 SIZE 1000\r\n", "502 5.5.2 Error: command not recognized\r\n", "221 2.0.0 Bye\r\n"}
		buf := make([]byte, 200)
		for _, line := range script {
			c.Write([]byte(line))
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	})
	if s.Protocol != "smtp" || !s.Confirmed || s.Claim("product") != "Postfix" || s.Claim("host") != "mail.example.org" {
		t.Errorf("got %s confirmed=%v product=%q host=%q, steps %v", s.Protocol, s.Confirmed, s.Claim("product"), s.Claim("host"), s.Steps)
	}
	if s.Connections != 1 || s.Verdict != Unexpected {
		t.Errorf("connections %d, verdict %s", s.Connections, s.Verdict)
	}
}

func TestClosedPort(t *testing.T) {
	at := wiretest.Nobody(t)
	s := look(t, Options{}, Target{Host: "127.0.0.1", Addr: at.Addr(), Port: at.Port()})
	if s.Verdict != Closed || s.Failure == nil || s.Failure.Op != wire.OpDial || s.Failure.Kind != wire.Refused || s.Connections != 1 {
		t.Errorf("verdict %s, failure %v, connections %d", s.Verdict, s.Failure, s.Connections)
	}
}

func TestClosesAtOnce(t *testing.T) {
	s := lookInMemory(t, func(net.Conn) {})
	if s.Protocol != "" || s.Verdict != Silent || s.Failure == nil || s.Failure.Op != wire.OpRead || s.Duration > 0 {
		t.Errorf("protocol %q, verdict %s, failure %v after %s", s.Protocol, s.Verdict, s.Failure, s.Duration)
	}
}

// Whatever a raw printing port hears goes to paper: it is asked for its name and nothing else,
// although web servers are met there too.
func TestPrintersAreAskedOneQuestion(t *testing.T) {
	w := &walk{Scanner: New(Options{}), service: &Service{Expected: PortNamed(9100).Expected}}
	if order := w.questions(wire.Plain); len(order) != 1 || order[0] != "jetdirect" {
		t.Errorf("on port 9100 the questions are %q", order)
	}
	w.service.Expected = nil
	if order := w.questions(wire.Plain); len(order) < 5 || order[0] != "http" || slices.Contains(order, "jetdirect") {
		t.Errorf("on a port that promises nothing the questions are %q", order)
	}
}

// A server that says what it is, and nothing more, is what it says; it is not confirmed.
func TestIdentificationWithoutMore(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) {
		c.Write([]byte("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"))
		io.Copy(io.Discard, c)
	})
	if s.Protocol != "ssh" || s.Confirmed || s.Claim("version") != "9.2p1" || s.Connections != 1 {
		t.Errorf("told as %q, confirmed %v, version %q, %d connections, %v", s.Protocol, s.Confirmed, s.Claim("version"), s.Connections, s.Failure)
	}
}
