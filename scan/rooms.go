package scan

import (
	"container/heap"
	"net/netip"
	"time"
)

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

func (r rests) Len() int { return len(r) }

func (r rests) Less(i, j int) bool { return r[i].until.Before(r[j].until) }

func (r rests) Swap(i, j int) { r[i], r[j] = r[j], r[i] }

func (r *rests) Push(x any) { *r = append(*r, x.(rest)) }

func (r *rests) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	*r = (*r)[:last]
	return x
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
