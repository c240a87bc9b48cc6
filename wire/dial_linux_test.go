package wire

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

// Calls come from the addresses that were named, each of its own family.
func TestSources(t *testing.T) {
	sources := []netip.Addr{netip.MustParseAddr("127.0.0.7"), netip.MustParseAddr("127.0.0.8"), netip.MustParseAddr("::1")}
	seen := map[string]bool{}
	e := serve(t, func(c net.Conn) {
		c.Write([]byte(c.RemoteAddr().(*net.TCPAddr).IP.String() + "\n"))
	})
	for range 40 {
		c, err := (&Caller{Transport: Network{Sources: sources}}).Open(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		line, err := c.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		if local := c.Local().Addr().String() + "\n"; local != string(line) {
			t.Errorf("we are %q for ourselves and %q for the server", local, line)
		}
		seen[string(line)] = true
		c.Close()
	}
	if len(seen) != 2 || !seen["127.0.0.7\n"] || !seen["127.0.0.8\n"] {
		t.Errorf("called from %v", seen)
	}
}

// An address that is not ours cannot be called from: an error of this machine, not of the
// endpoint.
func TestSourceOfAnotherMachine(t *testing.T) {
	e := Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:9")}
	_, err := (&Caller{Transport: Network{Sources: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}).Open(context.Background(), e)
	if KindOf(err) != Exhausted {
		t.Errorf("got %v", err)
	}
}

// Who was answered leaves no port waiting behind: the server sees a reset, not an end, and
// everything that was said to it before.
func TestClosingFreesThePort(t *testing.T) {
	type end struct {
		said string
		err  error
	}
	ends := make(chan end, 1)
	e := serve(t, func(c net.Conn) {
		buf := make([]byte, 100)
		n, _ := c.Read(buf)
		c.Write([]byte("221 Bye\r\n"))
		_, err := c.Read(buf[n:])
		ends <- end{string(buf[:n]), err}
	})
	c, err := (&Caller{}).Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ask("QUIT"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-ends; got.said != "QUIT\r\n" || KindOf(FailureOf(OpRead, got.err)) != Reset {
		t.Errorf("answered: the server sees %q, %v", got.said, got.err)
	}
}

// A last word that nobody has answered is not taken back by a reset.
func TestClosingLosesNoWord(t *testing.T) {
	said := make(chan string, 1)
	e := serve(t, func(c net.Conn) {
		c.Write([]byte("220 hello\r\n"))
		all := make([]byte, 0, 100)
		buf := make([]byte, 100)
		for {
			n, err := c.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil {
				said <- string(all) + string(KindOf(FailureOf(OpRead, err)))
				return
			}
		}
	})
	c, err := (&Caller{}).Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadLine(); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("QUIT"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := <-said; got != "QUIT\r\nclosed" {
		t.Errorf("the server heard %q", got)
	}
}
