package scan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The whole walk meets every nasty server, on ports of several customs: it ends in time,
// within bounds of connections, bytes and memory, with a verdict, and without a defect.
func TestWalkMeetsNastyServers(t *testing.T) {
	const (
		memory   = 6 << 20 // bytes allocated for an endpoint, server's side included, on average
		together = 25      // servers
	)
	fingerprint.Builtin() // not counted below
	for some := range slices.Chunk(wiretest.Servers(), together) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		synctest.Test(t, func(t *testing.T) {
			var meeting sync.WaitGroup
			for _, s := range some {
				for _, port := range nastyPorts {
					meeting.Go(func() { meetNasty(t, s, port) })
				}
			}
			meeting.Wait()
			time.Sleep(wiretest.Longest)
		})
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(some)*len(nastyPorts)); each > memory {
			t.Errorf("%d bytes are allocated for an endpoint like %s", each, some[0].Name)
		}
	}
}

var nastyPorts = []uint16{4, 21, 25, 143, 443, 8080}

func meetNasty(t *testing.T, s wiretest.Server, port uint16) {
	name := fmt.Sprintf("%s, on port %d", s.Name, port)
	found, options := lookAt(t, s.Serve, port)
	if found.Verdict == Silent && len(found.Evidence()) > 0 && found.TLS() == nil {
		t.Errorf("%s: silent, and %q was heard", name, found.Evidence()[0].Text)
	}
	if found.Duration > options.Timeout {
		t.Errorf("%s: it takes %s", name, found.Duration)
	}
	if found.Connections > mostConnections {
		t.Errorf("%s: %d connections", name, found.Connections)
	}
	if found.Received > mostConnections*wire.DefaultLimits.Bytes {
		t.Errorf("%s: %d bytes are taken", name, found.Received)
	}
	switch found.Verdict {
	case AsExpected, Unexpected, Unknown, Silent:
	default:
		t.Errorf("%s: %s, %v", name, found.Verdict, found.Failure)
	}
	for _, o := range found.Seen {
		if o.Failure != nil && (o.Failure.Kind == wire.Internal || o.Failure.Kind == wire.Exhausted || o.Failure.Kind == wire.Canceled) {
			t.Errorf("%s: %v", name, o.Failure)
		}
	}
	if strings.HasPrefix(s.Name, "the banner of every protocol") && found.Received >= len(wiretest.EveryBanner) && (found.Doubt == "" || found.Protocol != "" || found.Verdict != Unknown || surest(found) > doubtful) {
		t.Errorf("%s: it is believed to be %q, %v; doubt %q", name, found.Protocol, found.Claims, found.Doubt)
	}
}

// lookAt looks at a server on a port of a network in memory, with everyday options.
func lookAt(t *testing.T, serve func(net.Conn), port uint16) (*Service, Options) {
	s := New(Options{Caller: wire.Caller{Transport: wiretest.Only(serve)}})
	at := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)
	return s.Look(t.Context(), Target{Host: at.Addr().String(), Addr: at.Addr(), Port: port}, wire.Endpoint{Addr: at}), s.options
}

func surest(s *Service) (most int) {
	for _, c := range s.Claims {
		most = max(most, c.Certainty)
	}
	return most
}

// A server of TLS that refuses our hello talks: it is not taken for a silent one.
func TestRefusedHandshakesAreTold(t *testing.T) {
	for _, test := range []struct {
		server  string
		port    uint16
		verdict Verdict
		kind    wire.Kind
		says    string // the protocol
	}{
		{"an alert", 443, Unknown, wire.TLSAlert, ""},
		{"a handshake record of garbage", 443, Unknown, wire.TLSFailed, ""},
		{"TLS answered with HTTP", 443, Unexpected, "", "http"},
		{"accepts, then nothing", 443, Silent, wire.Timeout, ""},
		{"closes at once", 443, Silent, wire.Closed, ""},
		{"says back what it hears", 443, Unexpected, "", "echo"},
	} {
		t.Run(test.server, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := slices.IndexFunc(wiretest.Servers(), func(s wiretest.Server) bool { return s.Name == test.server })
				found, _ := lookAt(t, wiretest.Servers()[i].Serve, test.port)
				var kind wire.Kind
				if found.Failure != nil {
					kind = found.Failure.Kind
				}
				if found.Verdict != test.verdict || kind != test.kind || found.Protocol != test.says {
					t.Errorf("it is told as %s, %q, %v; steps %v", found.Verdict, found.Protocol, found.Failure, found.Steps)
				}
				time.Sleep(wiretest.Longest)
			})
		})
	}
}

// clumsy is a probe with a defect.
type clumsy struct{ inRecognize, inConverse bool }

var clumsyInfo = probes.Info{Name: "clumsy", Title: "a probe with a defect"}

func (clumsy) Info() *probes.Info { return &clumsyInfo }

func (p clumsy) Recognize([]byte) probes.Likeness {
	if p.inRecognize {
		panic("index out of range while recognising")
	}
	return 100
}

func (p clumsy) Converse(c *wire.Conversation, o *probes.Observation) error {
	line, _ := c.ReadLine()
	if p.inConverse {
		var none []byte
		_ = none[len(line)]
	}
	return nil
}

// A panic in a probe is a failure of that endpoint, told with its place and the
// transcript; the others go on, the connections are closed.
func TestPanicIsContained(t *testing.T) {
	for name, p := range map[string]clumsy{"recognising": {inRecognize: true}, "conversing": {inConverse: true}} {
		t.Run(name, func(t *testing.T) {
			e := wiretest.Start(t, answer("220 mx.example.org ESMTP Postfix\r\n", map[string]string{"": "250 mx\r\n", "QUIT": "221 Bye\r\n"}))
			s := New(Options{})
			s.probes = append([]probes.Probe{p}, s.probes...)
			s.byName["clumsy"] = p
			var written []*Service
			targets := []Target{{Host: "127.0.0.1", Addr: e.Addr.Addr(), Port: e.Addr.Port()}, {Host: "127.0.0.1", Addr: e.Addr.Addr(), Port: e.Addr.Port(), Position: 1}}
			var progress Progress
			s.options.Progress = func(p Progress) { progress = p }
			if err := s.Run(t.Context(), sourceOf(targets...), sinkOf(&written)); err != nil || len(written) != 2 {
				t.Fatalf("%d services, %v", len(written), err)
			}
			if progress.Defects != 2 {
				t.Errorf("%d defects are counted", progress.Defects)
			}
			for _, found := range written {
				if found.Failure == nil || found.Failure.Kind != wire.Internal || !strings.Contains(found.Failure.Error(), "nasty_test.go") {
					t.Errorf("it is told as %v", found.Failure)
				}
				var text strings.Builder
				found.Transcript().WriteTo(&text)
				if !strings.Contains(text.String(), "< 220 mx.example.org ESMTP Postfix\\r\\n\n") {
					t.Errorf("the transcript is lost:\n%s", &text)
				}
			}
		})
	}
}

func sourceOf(targets ...Target) Source {
	return func(yield func(Target, error) bool) {
		for _, t := range targets {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// collected is a sink that keeps what it is given.
type collected struct{ all *[]*Service }

func sinkOf(all *[]*Service) Sink { return collected{all} }

func (c collected) Write(_ context.Context, s *Service) error {
	*c.all = append(*c.all, s)
	return nil
}

func (collected) Close() error { return nil }
