package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"herald/wire"
)

type counting struct {
	asked atomic.Int32
	of    Resolver
}

func (c *counting) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	c.asked.Add(1)
	return c.of.Addresses(ctx, host)
}

func TestMap(t *testing.T) {
	one := netip.MustParseAddr("127.0.0.1")
	m := Map{Names: map[string][]netip.Addr{"mail.example.org": {one, netip.MustParseAddr("::ffff:127.0.0.1")}}}
	got, err := m.Addresses(t.Context(), "Mail.Example.org.")
	if err != nil || !slices.Equal(got, []netip.Addr{one}) {
		t.Errorf("got %v, %v; want %v once", got, err, one)
	}
	if _, err := m.Addresses(t.Context(), "other.example.org"); wire.KindOf(err) != wire.NotFound {
		t.Errorf("an unknown name gives %v, want not-found", err)
	}
}

func TestCachedAsksOnce(t *testing.T) {
	below := &counting{of: Map{Names: map[string][]netip.Addr{"a": {netip.MustParseAddr("::1")}}}}
	c := &Cached{Of: below}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := c.Addresses(t.Context(), "a"); err != nil || len(got) != 1 {
				t.Errorf("got %v, %v", got, err)
			}
			c.Addresses(t.Context(), "missing")
		})
	}
	all.Wait()
	if n := below.asked.Load(); n != 2 {
		t.Errorf("asked %d times for 2 names", n)
	}
}

// patient answers a question when it is told to, or gives up with the one who asked.
type patient struct {
	asked  atomic.Int32
	answer chan struct{}
}

func (p *patient) Addresses(ctx context.Context, _ string) ([]netip.Addr, error) {
	p.asked.Add(1)
	select {
	case <-p.answer:
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	case <-ctx.Done():
		return nil, wire.FailureOf(wire.OpResolve, ctx.Err())
	}
}

// Who waits for another's question does not give up with him.
func TestCachedOutlivesWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &patient{answer: make(chan struct{})}
		c := &Cached{Of: below}
		first, giveUp := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Addresses(first, "a"); wire.KindOf(err) != wire.Canceled {
				t.Errorf("who gave up got %v", err)
			}
		})
		synctest.Wait()
		for range 5 {
			all.Go(func() {
				if got, err := c.Addresses(t.Context(), "a"); err != nil || len(got) != 1 {
					t.Errorf("who waits gets %v, %v", got, err)
				}
			})
		}
		synctest.Wait()
		giveUp()
		synctest.Wait()
		close(below.answer)
		all.Wait()
		if n := below.asked.Load(); n != 2 {
			t.Errorf("asked %d times, not twice", n)
		}
	})
}

func TestNetworkReadsAddressesAsTheyStand(t *testing.T) {
	got, err := Network{}.Addresses(t.Context(), "127.0.0.1")
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %v, %v", got, err)
	}
}
