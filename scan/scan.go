// Package scan leads targets to services: it resolves names, opens connections, listens,
// lets the likeliest probe speak, and has the signatures say what was heard. It decides
// which probe is next, how many work at once, and when to give up; it does not know any
// protocol's words.
//
// Begin with [New], then [Scanner.Look] for one endpoint or [Scanner.Run] for many.
package scan

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/resolve"
	"herald/wire"
)

// Options of a scanner. The zero value is a polite default.
type Options struct {
	Caller     wire.Caller
	Resolver   resolve.Resolver // nil asks the system's, each name once
	Signatures *fingerprint.Set // nil is the built-in set
	Workers    int              // endpoints looked at at once; 0 is 256
	PerHost    int              // endpoints of one address looked at at once; 0 is 8
	Rate       float64          // new connections a second over all; 0 is no limit
	Timeout    time.Duration    // for one endpoint, all connections; 0 is 20 s
	Patience   time.Duration    // how long a port that greets by custom may stay silent; 0 is 6.5 s
	Only       []string         // probes that may speak; empty for all
	Progress   func(Progress)   // called now and then from one goroutine; may be nil
}

// Progress of a run.
type Progress struct {
	Started, Done int // endpoints
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
		if name := p.Info().Name; len(o.Only) == 0 || contains(o.Only, name) {
			s.probes = append(s.probes, p)
			s.byName[name] = p
		}
	}
	s.options.Workers = max(1, orElse(o.Workers, 256))
	s.options.PerHost = max(1, orElse(o.PerHost, 8))
	s.options.Timeout = orElse(o.Timeout, 20*time.Second)
	s.options.Patience = orElse(o.Patience, 6500*time.Millisecond)
	return s
}

func orElse[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
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
			Target: t, Expected: expectations(t), Verdict: Unresolved,
			Failure: wire.FailureOf(wire.OpResolve, err), Started: time.Now(),
		}
	}
	var all []wire.Endpoint
	for _, a := range addrs {
		all = append(all, wire.Endpoint{Addr: netip.AddrPortFrom(a, t.Port), Name: t.Host})
	}
	return all, nil
}

// Run looks at every target of a source and writes a service for each endpoint to the
// sink, in the order in which they are done. It returns the first error of the source or
// the sink, or the context's; what was found before is written in any case. It does not
// close the sink.
func (s *Scanner) Run(ctx context.Context, targets Source, sink Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type work struct {
		target   Target
		endpoint wire.Endpoint
	}
	todo := make(chan work)
	done := make(chan *Service)
	hosts := newGates(s.options.PerHost)
	pace := newPacer(s.options.Rate)

	var sourceErr error
	go func() {
		defer close(todo)
		for t, err := range targets {
			if err != nil {
				sourceErr = err
				return
			}
			endpoints, failed := s.Resolve(ctx, t)
			if failed != nil {
				select {
				case done <- failed:
				case <-ctx.Done():
					return
				}
			}
			for _, e := range endpoints {
				if pace.wait(ctx) != nil || hosts.enter(ctx, e.Addr.Addr()) != nil {
					return
				}
				select {
				case todo <- work{t, e}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	var workers sync.WaitGroup
	for range s.options.Workers {
		workers.Go(func() {
			for w := range todo {
				found := s.Look(ctx, w.target, w.endpoint)
				hosts.leave(w.endpoint.Addr.Addr())
				done <- found
			}
		})
	}
	go func() { workers.Wait(); close(done) }()

	var sinkErr error
	var progress Progress
	for found := range done {
		if sinkErr != nil {
			continue // drain the workers
		}
		if found.Failure != nil && found.Failure.Kind == wire.Canceled && ctx.Err() != nil {
			continue // not looked at to the end: say nothing of it
		}
		if sinkErr = sink.Write(ctx, found); sinkErr != nil {
			cancel(sinkErr)
			continue
		}
		progress.Done++
		if s.options.Progress != nil {
			s.options.Progress(progress)
		}
	}
	switch {
	case sinkErr != nil:
		return sinkErr
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return sourceErr
}
