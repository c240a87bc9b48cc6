package scan

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"herald/wire"
)

// work is an endpoint that is to be looked at.
type work struct {
	target   Target
	endpoint wire.Endpoint
	siblings int // endpoints of the same target, this one included
	going    int // of these, those that are not excluded
}

// courtesy is how much at once goes where.
type courtesy struct {
	perHost int           // endpoints of one address at once
	perMail int           // of these, on mail ports
	perNet  int           // endpoints of one /24 or /48 at once; 0 is no bound
	rate    float64       // endpoints begun a second; 0 is no bound
	pushed  time.Duration // the first pause after an address pushed back
}

// dispatcher hands work to the workers so that no address and no network gets more at
// once than courtesy allows, and none more than the rate. Work that must wait for its
// address does not keep the rest waiting. It belongs to one goroutine.
type dispatcher struct {
	courtesy
	hosts   map[netip.Addr]*host
	resting rests                     // hosts that pushed back, the one first that may be visited first
	nets    map[netip.Prefix]*network // where something is under way; nil without a bound
	ready   []*work                   // may begin, in order
	waiting int                       // in the queues of hosts
	due     time.Time

	families map[uint64]int // by position: how many endpoints of a target with several went out, where not yet all
	drained  bool           // only what belongs to such a target goes out from now on
	dropped  bool           // something did not
}

// returned is what a worker reports of finished work.
type returned struct {
	*work
	pushedBack bool // 421, 429, resets: the address wants us to go slower
}

func newDispatcher(c courtesy) *dispatcher {
	return &dispatcher{courtesy: c, hosts: map[netip.Addr]*host{}, nets: map[netip.Prefix]*network{}, families: map[uint64]int{}}
}

// mostWaiting bounds the work that waits for its turn, so that a source of any length
// is read only as fast as it is worked off.
const mostWaiting = 4096

// run dispatches until everything that came in went out, or ctx ends; then it closes out.
// When drain is closed, what waits is dropped, except the rest of targets that were begun.
func (d *dispatcher) run(ctx context.Context, drain <-chan struct{}, in <-chan *work, out chan<- *work, back <-chan returned) {
	defer close(out)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for in != nil || len(d.ready) > 0 || d.waiting > 0 {
		var next *work
		to, from := chan<- *work(nil), in
		now := time.Now()
		if len(d.ready) > 0 && !d.due.After(now) {
			next, to = d.ready[0], out
		}
		if len(d.ready)+d.waiting >= mostWaiting {
			from = nil
		}
		var alarm <-chan time.Time
		if at := d.alarm(now); !at.IsZero() {
			timer.Reset(max(0, at.Sub(now)))
			alarm = timer.C
		}
		select {
		case w, ok := <-from:
			if !ok {
				in = nil
				continue
			}
			d.arrive(w)
		case to <- next:
			d.ready = d.ready[1:]
			d.began(next)
			d.pace(now)
		case <-drain:
			drain = nil
			d.drop()
		case r := <-back:
			d.leave(r)
		case <-alarm:
			d.wake(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// alarm is when something changes by itself; the zero time for never. It takes the same now
// by which the caller judged that the next beginning is not due: by a later one it might
// be, and nobody would ever begin it.
func (d *dispatcher) alarm(now time.Time) time.Time {
	var at time.Time
	if len(d.ready) > 0 && d.due.After(now) {
		at = d.due
	}
	if len(d.resting) > 0 && (at.IsZero() || d.resting[0].until.Before(at)) {
		at = d.resting[0].until
	}
	return at
}

// pace spaces the beginnings by the rate, give or take a quarter: a beat as regular as a
// clock's runs into other clocks.
func (d *dispatcher) pace(now time.Time) {
	if d.rate <= 0 {
		return
	}
	if d.due.Before(now) {
		d.due = now
	}
	every := float64(time.Second) / d.rate
	d.due = d.due.Add(time.Duration(every * (0.75 + 0.5*rand.Float64())))
}

// began counts the endpoints of a target that went out.
func (d *dispatcher) began(w *work) {
	if w.going < 2 {
		return
	}
	if d.families[w.target.Position]++; d.families[w.target.Position] == w.going {
		delete(d.families, w.target.Position)
	}
}

// drop forgets the work that was not begun.
func (d *dispatcher) drop() {
	d.drained = true
	stays := func(w *work) bool { return d.families[w.target.Position] > 0 }
	kept := d.ready[:0]
	for _, w := range d.ready {
		if stays(w) {
			kept = append(kept, w)
		} else {
			d.dropped = true
			d.release(w)
		}
	}
	d.ready = kept
	before := d.waiting
	d.waiting = 0
	for _, h := range d.hosts {
		h.queue = slices.DeleteFunc(h.queue, func(w *work) bool { return !stays(w) })
		d.waiting += len(h.queue)
	}
	d.dropped = d.dropped || d.waiting < before
	for _, h := range d.hosts {
		d.advance(h)
	}
}

func (d *dispatcher) arrive(w *work) {
	if d.drained && d.families[w.target.Position] == 0 {
		d.dropped = true
		return
	}
	h := d.hosts[w.endpoint.Addr.Addr()]
	if h == nil {
		h = &host{}
		d.hosts[w.endpoint.Addr.Addr()] = h
	}
	if len(h.queue) == 0 && d.admit(h, w) {
		return
	}
	h.queue = append(h.queue, w)
	d.waiting++
	d.advance(h)
}

// isMail says whether a conversation with the target will be one with a mail server.
func isMail(t Target) bool {
	switch t.Protocol {
	case "smtp", "lmtp", "pop3", "imap", "sieve":
		return true
	case "":
		p := PortNamed(t.Port)
		return p != nil && p.Group == "mail"
	}
	return false
}
