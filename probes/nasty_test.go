package probes_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"herald/probes"
	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every probe converses with every nasty server: it ends in time, within bounds of bytes
// and memory, and as something that a network can do; never as a defect of ours.
func TestNastyServers(t *testing.T) {
	const (
		memory   = 3 << 19 // bytes allocated for a conversation, server's side included, on average
		together = 12      // servers
	)
	for some := range slices.Chunk(wiretest.Servers(), together) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var conversations atomic.Int64
		synctest.Test(t, func(t *testing.T) {
			var meeting sync.WaitGroup
			for _, s := range some {
				meeting.Go(func() { conversations.Add(meetAll(t, s)) })
			}
			meeting.Wait()
			time.Sleep(wiretest.Longest)
		})
		runtime.ReadMemStats(&after)
		if each := int64(after.TotalAlloc-before.TotalAlloc) / max(1, conversations.Load()); each > memory {
			t.Errorf("%d bytes are allocated for a conversation with %s and its like", each, some[0].Name)
		}
	}
}

// meetAll has every probe converse with a server, all at once, and says how many did.
func meetAll(t *testing.T, s wiretest.Server) (conversations int64) {
	for _, security := range []wire.Security{wire.Plain, wire.TLS} {
		if security == wire.TLS && (!s.TLS || s.Handshake != "") {
			continue
		}
		var talking sync.WaitGroup
		for _, p := range probes.All() {
			conversations++
			talking.Go(func() {
				began := time.Now()
				meet(t, s.Name+": "+p.Info().Name, p, s.Serve, security)
				if took := time.Since(began); took > wire.DefaultLimits.Whole {
					t.Errorf("%s: %s: it takes %s", s.Name, p.Info().Name, took)
				}
			})
		}
		talking.Wait()
	}
	return conversations
}

// meet has a probe converse, as a scan would.
func meet(t *testing.T, name string, p probes.Probe, serve func(net.Conn), security wire.Security) {
	caller := wire.Caller{Transport: wiretest.Only(serve)}
	c, err := caller.Open(context.Background(), wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Security: security})
	if c == nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer c.Close()
	if err != nil {
		return // the handshake was not what this is about
	}
	o := probes.Observe(c)
	c.Listen(0)
	err = p.Converse(c, o)
	switch kind := wire.KindOf(err); kind {
	case "", wire.Timeout, wire.Reset, wire.Closed, wire.NotTLS, wire.TLSAlert, wire.TLSFailed, wire.Protocol, wire.Limit:
	default:
		t.Errorf("%s: it ends as %q: %v", name, kind, err)
	}
	if err != nil && wire.KindOf(err) == "" && !errors.Is(err, probes.ErrOtherProtocol) {
		t.Errorf("%s: an error that is no failure: %v", name, err)
	}
	received, _ := c.Traffic()
	if received > wire.DefaultLimits.Bytes {
		t.Errorf("%s: %d bytes are taken", name, received)
	}
	if n := size(o); n > 4*received+4<<10 {
		t.Errorf("%s: %d bytes are noted of %d", name, n, received)
	}
}

// A server may reset the connection behind any byte of what it says, in the clear and amid
// its handshake: to every probe that is an end like others.
func TestResetBehindEachByteOfTheGreeting(t *testing.T) {
	greetings := []string{"220 mx.example.org ESMTP\r\n250-mx\r\n250 STARTTLS\r\n", "\x16\x03\x03\x00\x04\x0e\x00\x00\x00\x05\x00\x00\x01\x00"}
	synctest.Test(t, func(t *testing.T) {
		for _, words := range greetings {
			var meeting sync.WaitGroup
			for n := range len(words) + 1 {
				meeting.Go(func() {
					for _, p := range probes.All() {
						meet(t, fmt.Sprintf("a reset behind %q: %s", words[:n], p.Info().Name), p, wiretest.ResetAfter(words, n), wire.Plain)
					}
				})
			}
			meeting.Wait()
		}
		time.Sleep(wiretest.Longest)
	})
}
