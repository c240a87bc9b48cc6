package scan

import (
	"context"
	"time"

	"herald/wire"
)

// collect writes what is done, until there is no more; the first error of the sink ends the run.
func (r *run) collect(ctx context.Context, sink Sink, cancel context.CancelCauseFunc) error {
	var failed error
	fail := func(err error) {
		if err != nil && failed == nil {
			failed = err
			cancel(err)
		}
	}
	var flush func() // nil where the sink holds nothing back
	if f, ok := sink.(Flusher); ok {
		flush = func() {
			if failed == nil {
				fail(f.Flush())
			}
		}
	}
	var progress Progress
	incomplete := families{}
	enough := false
	for {
		found, more := r.next(flush)
		if !more {
			return failed
		}
		if failed != nil || enough || found.Failure != nil && found.Failure.Kind == wire.Canceled && ctx.Err() != nil {
			continue // not looked at to the end: nothing is said of it
		}
		for _, one := range incomplete.add(found) {
			if err := sink.Write(ctx, one); err != nil {
				fail(err)
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
}

// families are endpoints of targets that have several, by the target's position. They wait for
// each other, so that a target is written whole or not at all.
type families map[uint64][]*Service

// add returns all endpoints of the target where this one was the last, none before.
func (f families) add(found *Service) []*Service {
	if found.Siblings <= 1 {
		return []*Service{found}
	}
	at := found.Target.Position
	family := append(f[at], found)
	if len(family) < found.Siblings {
		f[at] = family
		return nil
	}
	delete(f, at)
	return family
}

// next waits for what is done. A sink that holds lines back hands them on before a long wait:
// where results come one by one and fast, to write each by itself would cost as much as to make it.
func (r *run) next(flush func()) (*Service, bool) {
	select {
	case found, more := <-r.done:
		return found, more
	default:
	}
	if flush != nil {
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
		flush()
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
