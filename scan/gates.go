package scan

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// gates let so many in for each address at once.
type gates struct {
	each int

	mu     sync.Mutex
	inside map[netip.Addr]int
	freed  *sync.Cond
}

func newGates(each int) *gates {
	g := &gates{each: each, inside: map[netip.Addr]int{}}
	g.freed = sync.NewCond(&g.mu)
	return g
}

// enter waits until there is room for the address.
func (g *gates) enter(ctx context.Context, a netip.Addr) error {
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		g.freed.Broadcast()
		g.mu.Unlock()
	})
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside[a] >= g.each {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.freed.Wait()
	}
	g.inside[a]++
	return ctx.Err()
}

func (g *gates) leave(a netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[a]--; g.inside[a] <= 0 {
		delete(g.inside, a)
	}
	g.freed.Broadcast()
}

// pacer spaces events evenly. A nil pacer does not wait.
type pacer struct {
	every time.Duration
	next  time.Time
}

func newPacer(rate float64) *pacer {
	if rate <= 0 {
		return nil
	}
	return &pacer{every: time.Duration(float64(time.Second) / rate)}
}

func (p *pacer) wait(ctx context.Context) error {
	if p == nil {
		return ctx.Err()
	}
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(p.every)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
