package probes_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
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
		var meeting sync.WaitGroup // not t.Parallel, which allows as many as there are processors: here everybody waits
		for _, s := range some {
			meeting.Go(func() { conversations.Add(meetAll(t, s)) })
		}
		meeting.Wait()
		runtime.ReadMemStats(&after)
		if each := int64(after.TotalAlloc-before.TotalAlloc) / max(1, conversations.Load()); each > memory {
			t.Errorf("%d bytes are allocated for a conversation with %s and its like", each, some[0].Name)
		}
	}
}

// meetAll has every probe converse with a server, all at once, and says how many did.
func meetAll(t *testing.T, s wiretest.Server) (conversations int64) {
	const slack = 30 * time.Second // beyond the limit of the conversation: the machine may be busy; less than a server stays
	e := wiretest.Start(t, s.Serve)
	for _, security := range []wire.Security{wire.Plain, wire.TLS} {
		if security == wire.TLS && (!s.TLS || s.Handshake != "") {
			continue
		}
		e.Security = security
		var talking sync.WaitGroup
		for _, p := range probes.All() {
			conversations++
			talking.Go(func() {
				began := time.Now()
				meet(t, s.Name+": "+p.Info().Name, p, e)
				if took := time.Since(began); took > wiretest.Limits.Whole+slack {
					t.Errorf("%s: %s: it takes %s", s.Name, p.Info().Name, took)
				}
			})
		}
		talking.Wait()
	}
	return conversations
}

// meet has a probe converse, as a scan would.
func meet(t *testing.T, name string, p probes.Probe, e wire.Endpoint) {
	limits := wiretest.Limits
	limits.Dial = time.Minute // no matter how busy the machine: a connection to loopback stands
	c, err := (&wire.Caller{Limits: limits}).Open(context.Background(), e)
	if c == nil {
		if wire.KindOf(err) != wire.Reset {
			t.Errorf("%s: %v", name, err)
		}
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
	if received > wiretest.Limits.Bytes {
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
	for _, words := range greetings {
		var meeting sync.WaitGroup
		for n := range len(words) + 1 {
			e := wiretest.Start(t, wiretest.ResetAfter(words, n))
			meeting.Go(func() {
				for _, p := range probes.All() {
					meet(t, fmt.Sprintf("a reset behind %q: %s", words[:n], p.Info().Name), p, e)
				}
			})
		}
		meeting.Wait()
	}
}
