package scan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go4.org/netipx"

	"herald/resolve"
	"herald/wire"
)

// crowd is a transport that counts how many conversations stand at once with each network,
// and keeps when they began.
type crowd struct {
	doorbell
	mu    sync.Mutex
	open  map[netip.Prefix]int
	most  map[netip.Prefix]int
	began []time.Time
}

func (c *crowd) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	network := networkOf(e.Addr.Addr())
	c.mu.Lock()
	if c.open == nil {
		c.open, c.most = map[netip.Prefix]int{}, map[netip.Prefix]int{}
	}
	c.open[network]++
	c.most[network] = max(c.most[network], c.open[network])
	c.began = append(c.began, time.Now())
	c.mu.Unlock()
	conn, err := c.doorbell.Dial(ctx, e)
	return &leaving{Conn: conn, left: func() {
		c.mu.Lock()
		c.open[network]--
		c.mu.Unlock()
	}}, err
}

type leaving struct {
	net.Conn
	once sync.Once
	left func()
}

func (l *leaving) Close() error {
	l.once.Do(l.left)
	return l.Conn.Close()
}

// No more conversations at once go to a /24, or to a /48 of IPv6, than are allowed; other
// networks do not wait.
func TestPerNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var targets []Target
		for i := range 60 {
			for _, a := range []string{fmt.Sprintf("192.0.2.%d", i), fmt.Sprintf("198.51.100.%d", i), fmt.Sprintf("2001:db8:1:%x::1", i), fmt.Sprintf("2001:db8:2::%x", i)} {
				targets = append(targets, Target{Host: a, Addr: netip.MustParseAddr(a), Port: 2525, Position: uint64(len(targets))})
			}
		}
		c := &crowd{doorbell: doorbell{words: "421 no\r\n", end: "read closed", stays: 50 * time.Millisecond}}
		var written []*Service
		began := time.Now()
		err := New(Options{Caller: wire.Caller{Transport: c}, PerNet: 3}).Run(t.Context(), sourceOf(targets...), sinkOf(&written))
		if err != nil || len(written) != len(targets) {
			t.Fatalf("%d services, %v", len(written), err)
		}
		if len(c.most) != 4 {
			t.Errorf("%d networks, not 4", len(c.most))
		}
		for network, most := range c.most {
			if most != 3 {
				t.Errorf("%d conversations at once with %s, not 3", most, network)
			}
		}
		if took := time.Since(began); took > 2*time.Second { // 20 rounds of 50 ms
			t.Errorf("it takes %s: networks wait for each other", took)
		}
	})
}

// The rate is held, and the beginnings are not as regular as a clock's.
func TestRateWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var targets []Target
		for i := range 400 {
			a := netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
			targets = append(targets, Target{Host: a.String(), Addr: a, Port: 2525, Position: uint64(i)})
		}
		c := &crowd{doorbell: doorbell{words: "421 no\r\n", end: "read closed"}}
		var written []*Service
		began := time.Now()
		if err := New(Options{Caller: wire.Caller{Transport: c}, Rate: 100}).Run(t.Context(), sourceOf(targets...), sinkOf(&written)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 3800*time.Millisecond || took > 4200*time.Millisecond {
			t.Errorf("400 endpoints at 100 a second take %s", took)
		}
		gaps := map[time.Duration]bool{}
		for i := range c.began[1:] {
			gap := c.began[i+1].Sub(c.began[i])
			if gap < 7*time.Millisecond || gap > 13*time.Millisecond {
				t.Errorf("%s between two beginnings", gap)
			}
			gaps[gap.Round(100*time.Microsecond)] = true
		}
		if len(gaps) < 20 {
			t.Errorf("only %d different gaps: there is no jitter", len(gaps))
		}
	})
}

// All addresses of a name are looked at, A and AAAA; those that are excluded are told and not
// touched; and the name's endpoints are written together.
func TestAllAddressesOfAName(t *testing.T) {
	parse := netip.MustParseAddr
	names := resolve.Map{Names: map[string][]netip.Addr{
		"a.test": {parse("192.0.2.1"), parse("2001:db8::1"), parse("192.0.2.99"), parse("2001:db8::2")},
		"b.test": {parse("192.0.2.2"), parse("192.0.2.3")},
	}}
	var b netipx.IPSetBuilder
	b.Add(parse("192.0.2.99"))
	excluded, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{doorbell: doorbell{words: "220 x\r\n", end: "read closed"}}
		var written []*Service
		targets := []Target{{Host: "a.test", Port: 2525}, {Host: "b.test", Port: 2525, Position: 1}}
		if err := New(Options{Caller: wire.Caller{Transport: c}, Resolver: names, Exclude: excluded}).Run(t.Context(), sourceOf(targets...), sinkOf(&written)); err != nil {
			t.Fatal(err)
		}
		of := map[string][]netip.Addr{}
		changes, last := 0, ""
		for _, s := range written {
			of[s.Target.Host] = append(of[s.Target.Host], s.Endpoint.Addr.Addr())
			if s.Target.Host != last {
				changes, last = changes+1, s.Target.Host
			}
			untouched := s.Verdict == Untried && s.Failure != nil && s.Failure.Kind == wire.Excluded && s.Connections == 0
			if is := s.Endpoint.Addr.Addr() == parse("192.0.2.99"); is != untouched {
				t.Errorf("%s is told as %s, %v, after %d connections", s.Endpoint.Addr, s.Verdict, s.Failure, s.Connections)
			}
		}
		for name, want := range names.Names {
			slices.SortFunc(of[name], netip.Addr.Compare)
			want = slices.SortedFunc(slices.Values(want), netip.Addr.Compare)
			if !slices.Equal(of[name], want) {
				t.Errorf("%s: %v are told, want %v", name, of[name], want)
			}
		}
		if changes != 2 {
			t.Error("the endpoints of a name are not written together")
		}
	})
}
