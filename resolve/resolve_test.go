package resolve

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

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

func TestNetworkReadsAddressesAsTheyStand(t *testing.T) {
	got, err := Network{}.Addresses(t.Context(), "127.0.0.1")
	if err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %v, %v", got, err)
	}
}
