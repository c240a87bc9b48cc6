package scan

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

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

// Servers built on libvncserver give their client a moment to speak first, as a web browser
// would, and hang up on what they do not know: asked nothing, they greet.
func TestHangsUpOnWhoeverSpeaksBeforeTheGreeting(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) {
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err == nil {
			return
		}
		c.SetReadDeadline(time.Time{})
		c.Write([]byte("RFB 003.008\n"))
		if n, err := c.Read(buf); err == nil && string(buf[:n]) == "RFB 003.008\n" {
			c.Write([]byte("\x01\x01"))
			io.Copy(io.Discard, c)
		}
	})
	if s.Protocol != "vnc" || !s.Confirmed || s.Duration > time.Second {
		t.Errorf("told as %q after %s, steps %v", s.Protocol, s.Duration, s.Steps)
	}
}

// Who hangs up on every question costs a second more than its answers, and no more.
func TestHangsUpOnEveryQuestion(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) { c.Read(make([]byte, 4096)) })
	if s.Verdict != Silent || s.Duration > 1500*time.Millisecond || s.Connections > mostConnections {
		t.Errorf("verdict %s after %s and %d connections, steps %v", s.Verdict, s.Duration, s.Connections, s.Steps)
	}
}

// A filter of mail knows no other words than its own, and hangs up on all others.
func TestAskedRarely(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err == nil && n == 17 && buf[4] == 'O' {
			c.Write([]byte("\x00\x00\x00\rO\x00\x00\x00\x06\x00\x00\x01\x11\x00\x10\x07\x02"))
			c.Read(buf)
		}
	})
	if s.Protocol != "milter" || !s.Confirmed || s.Duration > time.Second {
		t.Errorf("told as %q after %s, steps %v", s.Protocol, s.Duration, s.Steps)
	}
}

// A greeting without a word fits three protocols; where the first gets no answer at all, the
// others do not wait as long.
func TestGreetsWithoutAWordAndIsMute(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) {
		c.Write([]byte("220 hello\r\n"))
		io.Copy(io.Discard, c)
	})
	if s.Verdict != Unknown || s.Connections != 3 || s.Duration > 10*time.Second {
		t.Errorf("verdict %s after %s, %d connections, steps %v", s.Verdict, s.Duration, s.Connections, s.Steps)
	}
}

// An answer in a protocol that no probe speaks, and a signature knows, is no complaint about
// words in the clear.
func TestNamedByItsAnswer(t *testing.T) {
	s := lookInMemory(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		c.Write([]byte("ICAP/1.0 400 Bad request\r\nServer: C-ICAP/0.5.10\r\nConnection: close\r\n\r\n"))
	})
	if s.Protocol != "icap" || s.Claim("product") != "c-icap" || s.Claim("version") != "0.5.10" || s.Connections != 1 {
		t.Errorf("told as %q %q %q, %d connections, steps %v", s.Protocol, s.Claim("product"), s.Claim("version"), s.Connections, s.Steps)
	}
}
