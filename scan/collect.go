package scan

import (
	"context"
	"time"

	"herald/wire"
)

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
