package mail

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"herald/resolve"
	"herald/wire"
)

// pipes is a network without a kernel, for a fake clock: it counts who is called when.
type pipes struct {
	serve map[netip.AddrPort]func(net.Conn)

	mu    sync.Mutex
	open  map[netip.Addr]int // connections to port 25
	most  map[netip.Addr]int
	ended map[netip.Addr]time.Time
	gaps  []time.Duration // between a connection's end and the next one's beginning, on port 25
}

func (p *pipes) Dial(_ context.Context, e wire.Endpoint) (net.Conn, error) {
	serve := p.serve[e.Addr]
	if serve == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	a := e.Addr.Addr()
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Addr.Port() == 25 {
		p.open[a]++
		p.most[a] = max(p.most[a], p.open[a])
		if end, again := p.ended[a]; again {
			p.gaps = append(p.gaps, time.Since(end))
		}
	}
	ours, theirs := net.Pipe()
	go serve(theirs)
	return &hose{Conn: ours, closed: func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if e.Addr.Port() == 25 {
			p.open[a]--
			p.ended[a] = time.Now()
		}
	}}, nil
}

// hose is our end of a pipe.
type hose struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (h *hose) Close() error {
	h.once.Do(h.closed)
	return h.Conn.Close()
}

func (*hose) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1} }
func (*hose) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }

// A domain takes as long as its slowest server, and not as all of them: areas, hosts,
// addresses and ports are asked side by side, each address one connection at a time on
// port 25, a second apart. On a fake clock, to the second.
func TestSlowestServerDecides(t *testing.T) {
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		slow := func(s *server, d time.Duration) func(net.Conn) {
			return func(c net.Conn) {
				time.Sleep(d)
				s.serve(c)
			}
		}
		p := &pipes{serve: map[netip.AddrPort]func(net.Conn){}, open: map[netip.Addr]int{}, most: map[netip.Addr]int{}, ended: map[netip.Addr]time.Time{}}
		zone := w.zone
		for i, delay := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
			host := fmt.Sprintf("slow%d.good.test.", i)
			for n := range 2 {
				addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + 2*i + n)})
				zone += fmt.Sprintf("good.test. 60 IN MX 20 %s\n%s 60 IN A %s\n", host, host, addr)
				p.serve[netip.AddrPortFrom(addr, 25)] = slow(w.servers[25], delay)
				p.serve[netip.AddrPortFrom(addr, 993)] = slow(w.servers[143], delay) // which speaks first, so that TLS fails
				p.serve[netip.AddrPortFrom(addr, 587)] = slow(w.servers[587], delay)
			}
		}
		records, err := resolve.ReadZone("slow.zone", strings.NewReader(zone))
		if err != nil {
			t.Fatal(err)
		}
		g := Gatherer{Records: records, Caller: wire.Caller{Transport: p}}
		facts, err := g.Gather(t.Context(), Question{Domain: "good.test"})
		if err != nil {
			t.Fatal(err)
		}
		// Three connections to the slowest address: the ordinary one, one without a server
		// name, one for the other kind of key; a second between them.
		want, took := 3*20*time.Second+2*time.Second, time.Duration(facts.TookMS)*time.Millisecond
		if took != want {
			t.Errorf("%s, want %s", took, want)
		}
		if len(p.most) != 6 {
			t.Errorf("%d addresses on port 25", len(p.most))
		}
		for a, n := range p.most {
			if n != 1 {
				t.Errorf("%s: %d connections at once on port 25", a, n)
			}
		}
		if len(p.gaps) != 12 || slices.Min(p.gaps) < time.Second {
			t.Errorf("between connections to one address: %v", p.gaps)
		}
	})
}
