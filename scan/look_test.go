package scan

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"herald/wire"
)

// listen serves every connection on a loopback port with the given function.
func listen(t *testing.T, serve func(net.Conn)) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	at := l.Addr().(*net.TCPAddr).AddrPort()
	return Target{Host: at.Addr().String(), Addr: at.Addr(), Port: at.Port()}
}

func look(t *testing.T, o Options, target Target) *Service {
	t.Helper()
	o.Explain = true
	return New(o).Look(t.Context(), target, wire.Endpoint{Addr: netip.AddrPortFrom(target.Addr, target.Port)})
}

func TestSMTPOnAnOddPort(t *testing.T) {
	target := listen(t, func(c net.Conn) {
		script := []string{"220 mail.example.org ESMTP Postfix\r\n", "250-mail.example.org\r\n250 SIZE 1000\r\n", "502 5.5.2 Error: command not recognized\r\n", "221 2.0.0 Bye\r\n"}
		buf := make([]byte, 200)
		for _, line := range script {
			c.Write([]byte(line))
			if _, err := c.Read(buf); err != nil {
				return
			}
		}
	})
	s := look(t, Options{}, target)
	if s.Protocol != "smtp" || !s.Confirmed || s.Claim("product") != "Postfix" || s.Claim("host") != "mail.example.org" {
		t.Errorf("got %s confirmed=%v product=%q host=%q, steps %v", s.Protocol, s.Confirmed, s.Claim("product"), s.Claim("host"), s.Steps)
	}
	if s.Connections != 1 || s.Verdict != Unexpected {
		t.Errorf("connections %d, verdict %s", s.Connections, s.Verdict)
	}
}

func TestClosedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	s := look(t, Options{}, Target{Host: "127.0.0.1", Addr: at.Addr(), Port: at.Port()})
	if s.Verdict != Closed || s.Failure == nil || s.Failure.Op != wire.OpDial || s.Failure.Kind != wire.Refused || s.Connections != 1 {
		t.Errorf("verdict %s, failure %v, connections %d", s.Verdict, s.Failure, s.Connections)
	}
}

func TestClosesAtOnce(t *testing.T) {
	s := look(t, Options{}, listen(t, func(net.Conn) {}))
	if s.Protocol != "" || s.Verdict != Silent || s.Failure == nil || s.Failure.Op != wire.OpRead || s.Duration > 5*time.Second {
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
	if order := w.questions(wire.Plain); len(order) < 5 || order[0] != "http" || contains(order, "jetdirect") {
		t.Errorf("on a port that promises nothing the questions are %q", order)
	}
}
