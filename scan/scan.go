// Package scan leads targets to services: it resolves names, opens connections, listens,
// lets the likeliest probe speak, and has the signatures say what was heard. It decides
// which probe is next, how many work at once, and when to give up; it does not know any
// protocol's words.
//
// Begin with [New], then [Scanner.Look] for one endpoint or [Scanner.Run] for many.
package scan

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"herald/fingerprint"
	"herald/probes"
	"herald/resolve"
	"herald/wire"
)

// Options of a scanner. The zero value is a polite default.
type Options struct {
	Caller      wire.Caller
	Resolver    resolve.Resolver // nil asks the system's, each name once
	Signatures  *fingerprint.Set // nil is the built-in set
	Exclude     *netipx.IPSet    // addresses that a name may lead to and that are not touched; nil for none
	Workers     int              // endpoints looked at at once; 0 is 256
	PerHost     int              // endpoints of one address looked at at once; 0 is 8
	PerMail     int              // of these, on mail ports; 0 is 1
	PerNet      int              // endpoints of one /24 (IPv6: /48) looked at at once; 0 is no bound
	Rate        float64          // endpoints begun a second over all; 0 is no bound
	MostResults int              // end after so many services; 0 is no bound
	Drain       <-chan struct{}  // closed: begin nothing new; nil for never
	Timeout     time.Duration    // for one endpoint, all connections; 0 is 20 s
	Patience    time.Duration    // how long a port that greets by custom may stay silent; 0 is 6.5 s
	Explain     bool             // note the steps of each walk: Service.Steps
	Only        []string         // probes that may speak; empty for all
	Progress    func(Progress)   // called now and then from one goroutine; may be nil
}

// Progress of a run, over the endpoints that are done.
type Progress struct {
	Done        int // endpoints
	Connections int
	Received    int64 // bytes, TLS removed
	Sent        int64 // bytes, TLS removed
	Exhausted   int   // endpoints that this machine had no port, file or memory for
	Defects     int   // endpoints where herald itself broke
}

// Sink takes services. Write is called from one goroutine; a slow sink slows the scan.
type Sink interface {
	Write(ctx context.Context, s *Service) error
	Close() error
}

// Scanner looks at endpoints. It is safe for concurrent use.
type Scanner struct {
	options    Options
	probes     []probes.Probe
	byName     map[string]probes.Probe
	signatures *fingerprint.Set
	resolver   resolve.Resolver
}

// New makes a scanner.
func New(o Options) *Scanner {
	s := &Scanner{options: o, signatures: o.Signatures, resolver: o.Resolver, byName: map[string]probes.Probe{}}
	if s.signatures == nil {
		s.signatures = fingerprint.Builtin()
	}
	if s.resolver == nil {
		s.resolver = &resolve.Cached{Of: resolve.Network{}}
	}
	for _, p := range probes.All() {
		if name := p.Info().Name; len(o.Only) == 0 || slices.Contains(o.Only, name) {
			s.probes = append(s.probes, p)
			s.byName[name] = p
		}
	}
	s.byName[probes.Line.Info().Name] = probes.Line
	s.options.Workers = max(1, cmp.Or(o.Workers, 256))
	s.options.PerHost = max(1, cmp.Or(o.PerHost, 8))
	s.options.PerMail = max(1, cmp.Or(o.PerMail, 1))
	s.options.Timeout = cmp.Or(o.Timeout, 20*time.Second)
	s.options.Patience = cmp.Or(o.Patience, 6500*time.Millisecond)
	return s
}

// Resolve gives the endpoints of a target: one for each address of its name. A name that
// does not resolve is a service with a failure, since nothing may vanish.
func (s *Scanner) Resolve(ctx context.Context, t Target) ([]wire.Endpoint, *Service) {
	if t.Addr.IsValid() {
		return []wire.Endpoint{{Addr: netip.AddrPortFrom(t.Addr, t.Port)}}, nil
	}
	addrs, err := s.resolver.Addresses(ctx, t.Host)
	if err == nil && len(addrs) == 0 {
		err = &wire.Failure{Op: wire.OpResolve, Kind: wire.NotFound, Err: fmt.Errorf("%s has no address", t.Host)}
	}
	if err != nil {
		return nil, &Service{
			Target: t, Expected: expectations(&t), Verdict: Unresolved,
			Failure: wire.FailureOf(wire.OpResolve, err), Started: time.Now(),
		}
	}
	var all []wire.Endpoint
	for _, a := range addrs {
		all = append(all, wire.Endpoint{Addr: netip.AddrPortFrom(a, t.Port), Name: t.Host})
	}
	return all, nil
}
