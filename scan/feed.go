package scan

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"herald/wire"
)

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
