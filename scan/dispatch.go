package scan

import (
	"container/heap"
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

// manners of the dispatcher: how much at once goes where.
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

// host is what goes on at one address.
type host struct {
	all, mail int
	queue     []*work
	crowded   bool      // it stands in the queue of its network
	strikes   int       // how often in a row it pushed back
	until     time.Time // when it may be visited again
}

// network is what goes on in one /24 or /48.
type network struct {
	all   int
	queue []*host // that wait for room in it, each once
}

// rest is a pause of a host, as it was when it began: host.until may have moved on.
type rest struct {
	until time.Time
	addr  netip.Addr
}

// rests is a heap (container/heap). Each host stands in it once at most.
type rests []rest

func (r rests) Len() int           { return len(r) }
func (r rests) Less(i, j int) bool { return r[i].until.Before(r[j].until) }
func (r rests) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *rests) Push(x any)        { *r = append(*r, x.(rest)) }
func (r *rests) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	*r = (*r)[:last]
	return x
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

// admit makes work ready where there is room for it.
func (d *dispatcher) admit(h *host, w *work) bool {
	mail := isMail(w.target)
	if h.all >= d.perHost || mail && h.mail >= d.perMail || !h.until.IsZero() || d.perNet > 0 && !d.enter(h, w) {
		return false
	}
	h.all++
	if mail {
		h.mail++
	}
	d.ready = append(d.ready, w)
	return true
}

// enter takes a place in the network of the work; where there is none, the host waits for one.
func (d *dispatcher) enter(h *host, w *work) bool {
	at := networkOf(w.endpoint.Addr.Addr())
	n := d.nets[at]
	if n == nil {
		n = &network{}
		d.nets[at] = n
	}
	if n.all >= d.perNet {
		if !h.crowded {
			h.crowded = true
			n.queue = append(n.queue, h)
		}
		return false
	}
	n.all++
	return true
}

// vacate gives hosts that wait for it the room that there is in a network.
func (d *dispatcher) vacate(at netip.Prefix) {
	n := d.nets[at]
	for len(n.queue) > 0 && n.all < d.perNet {
		h := n.queue[0]
		n.queue = n.queue[1:]
		h.crowded = false
		d.advance(h)
	}
	if n.all == 0 {
		delete(d.nets, at)
	}
}

// advance admits what it can of a host's queue, in order; work that must wait for the
// mail ports lets the rest pass.
func (d *dispatcher) advance(h *host) {
	kept := h.queue[:0]
	for i, w := range h.queue {
		if h.all >= d.perHost || !h.until.IsZero() {
			kept = append(kept, h.queue[i:]...)
			break
		}
		if d.admit(h, w) {
			d.waiting--
		} else {
			kept = append(kept, w)
		}
	}
	h.queue = kept
}

// release gives back the room that work had.
func (d *dispatcher) release(w *work) *host {
	addr := w.endpoint.Addr.Addr()
	h := d.hosts[addr]
	h.all--
	if isMail(w.target) {
		h.mail--
	}
	if d.perNet > 0 {
		d.nets[networkOf(addr)].all--
	}
	return h
}

func (d *dispatcher) leave(r returned) {
	addr := r.endpoint.Addr.Addr()
	h := d.release(r.work)
	if r.pushedBack && d.pushed > 0 {
		resting := !h.until.IsZero()
		h.until = time.Now().Add(d.pushed << min(h.strikes, 5))
		h.strikes++
		if !resting {
			heap.Push(&d.resting, rest{h.until, addr})
		}
	} else if !r.pushedBack {
		h.strikes = 0
	}
	if d.perNet > 0 {
		d.vacate(networkOf(addr)) // first those that have waited
	}
	d.advance(h)
	if h.all == 0 && len(h.queue) == 0 && h.until.IsZero() {
		delete(d.hosts, addr)
	}
}

// wake lets the hosts go on whose pause is over.
func (d *dispatcher) wake(now time.Time) {
	for len(d.resting) > 0 && !d.resting[0].until.After(now) {
		addr := d.resting[0].addr
		h := d.hosts[addr]
		if h.until.After(now) { // it pushed back again meanwhile
			d.resting[0].until = h.until
			heap.Fix(&d.resting, 0)
			continue
		}
		heap.Pop(&d.resting)
		h.until = time.Time{}
		d.advance(h)
		if h.all == 0 && len(h.queue) == 0 {
			delete(d.hosts, addr)
		}
	}
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

// networkOf is the network that an address is counted with: /24 or /48.
func networkOf(a netip.Addr) netip.Prefix {
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
