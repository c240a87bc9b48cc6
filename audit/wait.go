package audit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"herald/report"
	"herald/resolve"
	"herald/scan"
)

// Awaited is how waiting for one endpoint ended.
type Awaited struct {
	At    string
	Ready bool
	Seen  string // "smtp (Postfix)", "closed"
	After time.Duration
}

// Wait looks at targets until each of them answers in its protocol (in protocol, where
// that is not ""), or the context ends. A connection that stands is not yet an answer.
func Wait(ctx context.Context, o scan.Options, targets []scan.Target, protocol string) []Awaited {
	began := time.Now()
	all := make([]Awaited, len(targets))
	o.Resolver = resolverOfWait(o)
	scanner := scan.New(o)
	var waiting sync.WaitGroup
	for i, t := range targets {
		if t.Protocol == "" && protocol != "" {
			t.Protocol, t.Security = protocol, usual(Place{Port: t.Port}, protocol)
		}
		waiting.Go(func() { all[i] = waitFor(ctx, scanner, t, began) })
	}
	waiting.Wait()
	return all
}

// resolverOfWait asks for a name each time: a scanner's own keeps that there is none, and
// what is waited for may be the name.
func resolverOfWait(o scan.Options) resolve.Resolver {
	if o.Resolver != nil {
		return o.Resolver
	}
	return resolve.Network{}
}

func waitFor(ctx context.Context, scanner *scan.Scanner, t scan.Target, began time.Time) Awaited {
	a := Awaited{At: Place{Host: t.Host, Port: t.Port}.Key(), Seen: "not looked at"}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		found := &sink{}
		one := func(yield func(scan.Target, error) bool) { yield(t, nil) }
		if err := scanner.Run(ctx, one, found); err == nil && len(found.facts) > 0 {
			a.Ready = true
			var seen []string
			for _, f := range found.facts { // every address must answer
				r := f.Record
				a.Ready = a.Ready && r.Confirmed && !r.Declined && (t.Protocol == "" || r.Protocol == t.Protocol)
				seen = append(seen, answer(r))
			}
			a.Seen = strings.Join(seen, ", ")
		}
		a.After = time.Since(began)
		if a.Ready {
			return a
		}
		select {
		case <-ctx.Done():
			a.After = time.Since(began)
			return a
		case <-time.After(pause):
		}
	}
}

func answer(r *report.Record) string {
	if r.Protocol == "" {
		return string(r.Verdict)
	}
	s := r.Protocol
	if r.Product != "" {
		s += " (" + report.Printable(r.Product, 60) + ")"
	}
	switch {
	case r.Declined:
		s += ", turns us away"
	case !r.Confirmed:
		s += ", not confirmed"
	}
	return s
}

func (a Awaited) String() string {
	word := "ready"
	if !a.Ready {
		word = "not ready"
	}
	return fmt.Sprintf("%s: %s %s after %s", word, a.At, a.Seen, a.After.Round(time.Millisecond))
}
