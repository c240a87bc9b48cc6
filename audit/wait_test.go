package audit

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"herald/resolve"
	"herald/scan"
	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Waiting for a nasty server ends when it is said to, and never because of what it says in
// another protocol than the one that is awaited.
func TestWaitForNastyServers(t *testing.T) {
	const patience = 20 * time.Second
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		began := time.Now()
		var waiting sync.WaitGroup
		for _, s := range wiretest.Servers() {
			waiting.Go(func() {
				target := scan.Target{Host: "192.0.2.1", Addr: netip.MustParseAddr("192.0.2.1"), Port: 389}
				o := scan.Options{Caller: wire.Caller{Transport: wiretest.Only(s.Serve)}}
				for _, a := range Wait(ctx, o, []scan.Target{target}, "ldap") {
					if a.Ready {
						t.Errorf("%s: said to be ready: %s", s.Name, a)
					}
				}
				if took := time.Since(began); took > patience {
					t.Errorf("%s: it takes %s", s.Name, took)
				}
			})
		}
		waiting.Wait()
		time.Sleep(wiretest.Longest)
	})
}

// lateName is a resolver that does not know a name at first, as where a container has yet
// to start.
type lateName struct {
	mu    sync.Mutex
	asked int
}

func (l *lateName) Addresses(context.Context, string) ([]netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked++; l.asked < 4 {
		return nil, &wire.Failure{Op: wire.OpResolve, Kind: wire.NotFound}
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

// A name that is not known yet is asked for again.
func TestWaitForName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte("+OK ready\r\n")}, {Mark: '>'}, {Mark: '<', Data: []byte("+OK\r\nUSER\r\n.\r\n")}, {Mark: '>'}, {Mark: '<', Data: []byte("+OK\r\n")}}, End: "read closed"}
		how := &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x}}, AnyWords: true}
		names := &lateName{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		o := scan.Options{Caller: wire.Caller{Transport: how}, Resolver: names}
		got := Wait(ctx, o, []scan.Target{{Host: "mail.test", Port: 110}}, "")
		if len(got) != 1 || !got[0].Ready || names.asked != 4 {
			t.Errorf("%v, asked %d times", got, names.asked)
		}
	})
	if _, kept := resolverOfWait(scan.Options{}).(*resolve.Cached); kept {
		t.Error("what the system's resolver does not know is kept")
	}
}
