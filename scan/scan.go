// Package scan leads targets to services: it resolves names, opens connections, listens,
// lets the likeliest probe speak, and has the signatures say what was heard. It decides
// which probe is next, how many work at once, and when to give up; it does not know any
// protocol's words.
//
// Begin with [New], then [Scanner.Look] for one endpoint or [Scanner.Run] for many.
package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
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
		if name := p.Info().Name; len(o.Only) == 0 || contains(o.Only, name) {
			s.probes = append(s.probes, p)
			s.byName[name] = p
		}
	}
	s.byName[probes.Line.Info().Name] = probes.Line
	s.options.Workers = max(1, orElse(o.Workers, 256))
	s.options.PerHost = max(1, orElse(o.PerHost, 8))
	s.options.PerMail = max(1, orElse(o.PerMail, 1))
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

// Run looks at every target of a source and writes a service for each endpoint to the
// sink, in the order in which they are done; the endpoints of one target are written
// together. It returns the first error of the source or the sink, or the context's; what
// was found before is written in any case. When Options.Drain is closed, nothing new is
// begun, and what is under way is finished. It does not close the sink.
func (s *Scanner) Run(ctx context.Context, targets Source, sink Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{
		Scanner: s,
		begun:   make(chan *work, ahead),
		todo:    make(chan *work, ahead),
		back:    make(chan returned, ahead),
		done:    make(chan *Service, ahead),
		pause:   time.NewTimer(0),
	}
	defer r.pause.Stop()
	var feeding, working sync.WaitGroup
	feeding.Go(func() { r.feed(ctx, targets) })
	dispatched := make(chan struct{})
	dispatcher := newDispatcher(courtesy{
		perHost: s.options.PerHost, perMail: s.options.PerMail, perNet: s.options.PerNet,
		rate: s.options.Rate, pushed: firstPause,
	})
	go func() {
		defer close(dispatched)
		dispatcher.run(ctx, s.options.Drain, r.begun, r.todo, r.back)
	}()
	for range s.options.Workers {
		working.Go(func() { r.work(ctx, dispatched) })
	}
	go func() { working.Wait(); feeding.Wait(); close(r.done) }()
	if err := r.collect(ctx, sink, cancel); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if <-dispatched; r.sourceErr == nil && (r.unread || dispatcher.dropped) {
		return ErrDrained
	}
	return r.sourceErr
}

// work looks at what there is to do until there is no more.
func (r *run) work(ctx context.Context, dispatched <-chan struct{}) {
	for w := range r.todo {
		found := r.lookPatiently(ctx, w)
		found.Siblings = w.siblings
		select {
		case r.back <- returned{w, pushesBack(found)}:
		case <-dispatched:
		}
		r.done <- found
	}
}

// ahead is how many endpoints may lie between two stages: enough for none to wait for the other
// at each, too few for what was heard to fill the memory while the sink is slow.
const ahead = 64

// firstPause is how long an address is left alone after it pushed back the first time; it
// doubles with each time in a row.
const firstPause = time.Second

// run is one run of a scanner.
type run struct {
	*Scanner
	begun     chan *work    // resolved, to be dispatched
	todo      chan *work    // dispatched, to be looked at
	back      chan returned // looked at, room for others
	done      chan *Service
	sourceErr error
	unread    bool // the source was not read to its end

	flushed time.Time   // when the sink handed on last what it held back
	pause   *time.Timer // until it does so again
}

// resolveAtOnce is how many names are looked up at the same time.
const resolveAtOnce = 64

// feed reads the source; names are looked up beside it.
func (r *run) feed(ctx context.Context, targets Source) {
	names := make(chan Target)
	var resolving sync.WaitGroup
	started := 0
	defer func() {
		close(names)
		resolving.Wait()
		close(r.begun)
	}()
	for t, err := range targets {
		if err != nil {
			r.sourceErr = err
			return
		}
		if t.Addr.IsValid() {
			if !r.begin(ctx, &work{t, wire.Endpoint{Addr: netip.AddrPortFrom(t.Addr, t.Port)}, 1, 1}) {
				r.unread = true
				return
			}
			continue
		}
		if started < resolveAtOnce {
			started++
			resolving.Go(func() {
				for t := range names {
					r.lookUp(ctx, t)
				}
			})
		}
		select {
		case names <- t:
		case <-ctx.Done():
			return
		case <-r.options.Drain:
			r.unread = true
			return
		}
	}
}

// begin hands work to the dispatcher; false where nothing new may begin.
func (r *run) begin(ctx context.Context, w *work) bool {
	select {
	case <-r.options.Drain:
		return false
	default:
	}
	select {
	case r.begun <- w:
		return true
	case <-ctx.Done():
	case <-r.options.Drain:
	}
	return false
}

func (r *run) lookUp(ctx context.Context, t Target) {
	endpoints, failed := r.Resolve(ctx, t)
	if failed != nil {
		failed.Siblings = 1
		r.done <- failed
		return
	}
	going := 0
	for _, e := range endpoints {
		if !holds(r.options.Exclude, e.Addr.Addr()) {
			going++
		}
	}
	for _, e := range endpoints {
		if holds(r.options.Exclude, e.Addr.Addr()) {
			r.done <- &Service{
				Target: t, Endpoint: e, Expected: expectations(&t), Verdict: Untried, Siblings: len(endpoints), Started: time.Now(),
				Failure: &wire.Failure{Op: wire.OpResolve, Kind: wire.Excluded, Err: fmt.Errorf("%s is excluded", e.Addr.Addr())},
			}
			continue
		}
		select { // a target that was begun is finished, whatever Drain says
		case r.begun <- &work{t, e, len(endpoints), going}:
		case <-ctx.Done():
			return
		}
	}
}

// collect writes what is done. Siblings wait for each other, so that a target is written
// whole or not at all.
func (r *run) collect(ctx context.Context, sink Sink, cancel context.CancelCauseFunc) error {
	var failed error
	var progress Progress
	siblings := map[uint64][]*Service{}
	enough := false
	for {
		found, more := r.next(sink, &failed)
		if !more {
			break
		}
		if failed != nil || enough || found.Failure != nil && found.Failure.Kind == wire.Canceled && ctx.Err() != nil {
			continue // not looked at to the end: nothing is said of it
		}
		family := []*Service{found}
		if found.Siblings > 1 {
			at := found.Target.Position
			family = append(siblings[at], found)
			if len(family) < found.Siblings {
				siblings[at] = family
				continue
			}
			delete(siblings, at)
		}
		for _, one := range family {
			if failed = sink.Write(ctx, one); failed != nil {
				cancel(failed)
				break
			}
			progress.add(one)
		}
		if r.options.Progress != nil {
			r.options.Progress(progress)
		}
		if most := r.options.MostResults; most > 0 && progress.Done >= most {
			enough = true
			cancel(ErrEnough)
		}
	}
	return failed
}

// next waits for what is done. A sink that holds lines back hands them on before a long wait:
// where results come one by one and fast, to write each by itself would cost as much as to make it.
func (r *run) next(sink Sink, failed *error) (*Service, bool) {
	select {
	case found, more := <-r.done:
		return found, more
	default:
	}
	if f, ok := sink.(Flusher); ok && *failed == nil {
		now := time.Now()
		if early := heldBack - now.Sub(r.flushed); early > 0 {
			r.pause.Reset(early)
			select {
			case found, more := <-r.done:
				r.pause.Stop()
				return found, more
			case now = <-r.pause.C:
			}
		}
		r.flushed = now
		*failed = f.Flush()
	}
	found, more := <-r.done
	return found, more
}

// heldBack is how long a line may wait for others while the scan has nothing else to write:
// less than people notice.
const heldBack = 20 * time.Millisecond

// Flusher is a sink that holds back what it writes; it is flushed when the scan waits, and then
// not more often than every 20 ms.
type Flusher interface{ Flush() error }

// ErrEnough ends a run that has found Options.MostResults.
var ErrEnough = errors.New("as many results as were asked for")

// ErrDrained ends a run that did not begin all, since Options.Drain was closed.
var ErrDrained = errors.New("not all targets were begun")

// pushesBack says whether a server asks for less: 421, 429, or a reset instead of a word.
func pushesBack(s *Service) bool {
	if s.Declined {
		for _, o := range s.Seen {
			for _, e := range o.Evidence {
				if bytes.HasPrefix(e.Text, []byte("421")) {
					return true
				}
			}
		}
	}
	for _, e := range s.Evidence() {
		if e.Key == "http.status" && bytes.Contains(e.Text, []byte(" 429")) {
			return true
		}
	}
	return s.Protocol == "" && s.Failure != nil && s.Failure.Kind == wire.Reset && s.Failure.Op != wire.OpDial
}

func (p *Progress) add(s *Service) {
	p.Done++
	p.Connections += s.Connections
	p.Received += int64(s.Received)
	p.Sent += int64(s.Sent)
	switch {
	case s.Failure == nil:
	case s.Failure.Kind == wire.Exhausted:
		p.Exhausted++
	case s.Failure.Kind == wire.Internal:
		p.Defects++
	}
}
