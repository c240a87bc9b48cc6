package mail

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// trip is a round trip under way.
type trip struct {
	*plan
	want TripRequest
	out  *RoundTrip
	life context.Context // a little longer than the plan's, so that nothing stays behind

	sent sync.Mutex    // over the probes' times
	over chan struct{} // closed when all is sent
	end  time.Time     // of waiting, set before over is closed
}

// Time beyond the delivery's: logging in, fetching, deleting.
const (
	tripBeside  = 5 * time.Minute
	tripCleanup = 20 * time.Second // where the user has stopped us
)

// roundTrip sends, waits, fetches and deletes.
func (p *plan) roundTrip() {
	t := &trip{plan: p, want: *p.g.RoundTrip, over: make(chan struct{})}
	t.want.Patience = cmp.Or(t.want.Patience, TripPatience)
	began := time.Now()
	t.out = &RoundTrip{Mailbox: t.want.Mailbox, Began: began.UTC(), PatienceMS: ms(t.want.Patience)}
	p.facts.RoundTrip = t.out
	life, end := context.WithTimeout(context.WithoutCancel(p.ctx), t.want.Patience+tripBeside)
	defer end()
	stop := context.AfterFunc(p.ctx, func() {
		select {
		case <-time.After(tripCleanup):
			end()
		case <-life.Done():
		}
	})
	defer stop()
	t.life = life
	defer func() { t.out.TookMS = ms(time.Since(began)) }()

	submit, fetch, outside := t.servers()
	imaps, pops := t.boxes(fetch)
	t.prepare(imaps, pops)
	t.out.Nothing = t.inVain(len(submit)+len(outside), len(fetch))
	for _, c := range submit {
		t.out.Probes = append(t.out.Probes, t.probe(c.s, false))
	}
	for _, c := range outside {
		t.out.Probes = append(t.out.Probes, t.probe(c.s, true))
	}
	t.sendWatched(slices.Concat(submit, outside), imaps)
	for _, b := range pops {
		b.watch(slices.ContainsFunc(imaps, func(i *imapBox) bool { return i.box.Ready }))
	}
	cleanUp(imaps, pops)
	t.verify()
	t.mask()
}

// boxes are the mailbox as each server shows it, by protocol.
func (t *trip) boxes(fetch []*call) (imaps []*imapBox, pops []*popBox) {
	for _, c := range fetch {
		box := &Box{Service: c.s}
		t.out.Boxes = append(t.out.Boxes, box)
		if c.s.Protocol == "imap" {
			imaps = append(imaps, &imapBox{trip: t, call: c, box: box, pushes: make(chan time.Time, 1), standing: make(chan struct{})})
		} else {
			pops = append(pops, &popBox{trip: t, call: c, box: box})
		}
	}
	return imaps, pops
}

// prepare opens all mailboxes side by side. POP3 is left for later where IMAP is enough: some
// of its servers want logins a minute apart.
func (t *trip) prepare(imaps []*imapBox, pops []*popBox) {
	var all sync.WaitGroup
	for _, b := range imaps {
		all.Go(b.prepare)
	}
	all.Wait()
	if slices.ContainsFunc(imaps, func(b *imapBox) bool { return b.box.Ready }) {
		for _, b := range pops {
			b.box.Ready = true
		}
		return
	}
	for _, b := range pops {
		all.Go(b.prepare)
	}
	all.Wait()
}

// inVain says why nothing is to be sent, "" where something is.
func (t *trip) inVain(takers, showers int) string {
	switch {
	case takers == 0:
		return "no server is known that takes submissions"
	case showers == 0:
		return "no server is known to fetch from"
	case !slices.ContainsFunc(t.out.Boxes, func(b *Box) bool { return b.Ready }):
		return "the mailbox did not open anywhere: nobody could fetch the message, or delete it"
	}
	return ""
}

// sendWatched sends one probe after the other while all mailboxes are watched by IMAP, and
// returns when each was found or nobody waits any longer.
func (t *trip) sendWatched(calls []*call, imaps []*imapBox) {
	var watching sync.WaitGroup
	for _, b := range imaps {
		watching.Go(b.watch)
	}
	for _, b := range imaps {
		<-b.standing
	}
	for i, c := range calls {
		t.send(c, t.out.Probes[i])
	}
	t.sent.Lock()
	t.end = time.Now().Add(t.want.Patience)
	t.sent.Unlock()
	close(t.over)
	watching.Wait()
}

// cleanUp deletes what was found; at the end IMAP looks whether POP3 has deleted what it could not.
func cleanUp(imaps []*imapBox, pops []*popBox) {
	for _, b := range imaps {
		b.clean()
	}
	for _, b := range pops {
		b.clean()
	}
	for _, b := range imaps {
		b.recheck()
		b.leave()
	}
}

// missing are the probes that were sent and have not been found in the box.
func (t *trip) missing(b *Box) (list []*Probe) {
	t.sent.Lock()
	defer t.sent.Unlock()
	for _, p := range t.out.Probes {
		if !p.Said.IsZero() && !b.has(p) {
			list = append(list, p)
		}
	}
	return list
}

// all says that everything was sent and found in the box.
func (t *trip) all(b *Box) bool {
	select {
	case <-t.over:
		return len(t.missing(b)) == 0
	default:
		return false
	}
}

// late says that nobody waits any longer.
func (t *trip) late() bool {
	if t.ctx.Err() != nil || t.life.Err() != nil {
		return true
	}
	t.sent.Lock()
	defer t.sent.Unlock()
	return !t.end.IsZero() && time.Now().After(t.end)
}

// untilEnd is a pause no longer than anybody waits.
func (t *trip) untilEnd(d time.Duration) time.Duration {
	t.sent.Lock()
	defer t.sent.Unlock()
	if t.end.IsZero() {
		return d
	}
	return max(0, min(d, time.Until(t.end)+time.Millisecond))
}

func (b *Box) has(p *Probe) bool {
	return slices.ContainsFunc(b.Arrivals, func(a *Arrival) bool { return a.ID == p.ID })
}

// pause waits, and returns early where something ends the waiting.
func (t *trip) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
	case <-t.life.Done():
	}
}
