package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"herald/probes"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

// Gather looks at every place of a file, by one ordinary scan, and lets the file's checks
// gather what they need. What goes wrong with a server is a fact; the error is one of our
// own, or of a file that trust names.
func Gather(ctx context.Context, file *File, o scan.Options) (*Facts, error) {
	return gather(ctx, file, file.Services, o)
}

func gather(ctx context.Context, file *File, services []*Service, o scan.Options) (*Facts, error) {
	facts := &Facts{Format: FactsFormat}
	var err error
	if facts.Roots, err = ReadRoots(file); err != nil {
		return nil, err
	}
	if file.Defaults.Timeout > 0 {
		o.Timeout = file.Defaults.Timeout
		o.Patience = min(file.Defaults.Timeout*3/4, time.Minute)
		o.Caller.Limits.Greeting = max(o.Patience, wire.DefaultLimits.Greeting)
		o.Caller.Limits.Whole = o.Timeout
	}
	o.Resolver = file.resolver(o.Resolver)
	var found sink
	if err := scan.New(o).Run(ctx, sourceOf(targets(services)), &found); err != nil {
		return nil, err
	}
	facts.Services = found.facts
	if err := facts.again(ctx, services, o); err != nil {
		return nil, err
	}
	vouchBySystem(facts.Services)
	for _, c := range file.Checks {
		raw, err := c.Gather(ctx, file, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
		if facts.Sections == nil {
			facts.Sections = map[string]json.RawMessage{}
		}
		facts.Sections[c.Name()] = raw
	}
	facts.Made = time.Now().UTC()
	return facts, nil
}

// targets are the places of services, each once.
func targets(services []*Service) (all []scan.Target) {
	seen := map[string]bool{}
	for _, s := range services {
		for _, p := range s.At {
			if !seen[p.Key()] {
				seen[p.Key()] = true
				t := target(s, p)
				t.Position = uint64(len(all))
				all = append(all, t)
			}
		}
	}
	return all
}

// target is one place of a service. What is expected is the scanner's hint: a mail server on an
// odd port gets a mail server's time to greet.
func target(s *Service, p Place) scan.Target {
	t := scan.Target{Host: p.Host, Port: p.Port, Protocol: s.Expect.Protocol}
	if a, err := netip.ParseAddr(p.Host); err == nil {
		t.Addr = a
	}
	if probes.Named(t.Protocol) == nil { // nobody to be asked first
		t.Protocol = ""
	}
	switch s.Expect.ModeOf(p) {
	case wire.TLS:
		t.Security = wire.TLS
	case wire.StartTLS, wire.Plain:
		t.Security = wire.Plain
	default:
		if t.Protocol != "" {
			t.Security = usual(p, t.Protocol)
		}
	}
	return t
}

func sourceOf(targets []scan.Target) scan.Source {
	return func(yield func(scan.Target, error) bool) {
		for _, t := range targets {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// again looks without a hint at the places that did not answer as the hint said: a
// server may have been put off by it, and what really runs there is to be told.
func (f *Facts) again(ctx context.Context, services []*Service, o scan.Options) error {
	wanted := map[string]*Expect{}
	for _, s := range services {
		for _, p := range s.At {
			if wanted[p.Key()] == nil {
				wanted[p.Key()] = &s.Expect
			}
		}
	}
	places := f.disappointing(wanted)
	if len(places) == 0 {
		return nil
	}
	var found sink
	if err := scan.New(o).Run(ctx, sourceOf(places), &found); err != nil {
		return err
	}
	for _, newer := range found.facts {
		for i, old := range f.Services {
			if old.key() == newer.key() && old.At == newer.At && newer.better(old, wanted[old.At]) {
				f.Services[i] = newer
			}
		}
	}
	return nil
}

// disappointing are the places that answer, and not as they should; wanted is by place.
func (f *Facts) disappointing(wanted map[string]*Expect) (places []scan.Target) {
	asked := map[string]bool{}
	for _, fact := range f.Services {
		want := wanted[fact.At]
		if want == nil || want.Protocol == "" || asked[fact.At] || fact.Record.Protocol == want.Protocol && fact.names(want.Product) {
			continue
		}
		switch fact.Record.Verdict {
		case scan.Closed, scan.Filtered, scan.Unresolved, scan.Untried:
			continue
		}
		spec, err := scan.ParseSpec(fact.At)
		if err != nil {
			continue
		}
		asked[fact.At] = true
		for t := range spec.Targets(nil) {
			t.Position = uint64(len(places))
			places = append(places, t)
		}
	}
	return places
}

// better says whether a second look came nearer to what is wanted than the first.
func (f *Fact) better(than *Fact, want *Expect) bool {
	if f.Record.Protocol == want.Protocol {
		return than.Record.Protocol != want.Protocol || f.names(want.Product)
	}
	return than.Record.Protocol == "" && f.Record.Protocol != ""
}

// names says whether a product is among those that the server was told to be.
func (f *Fact) names(product string) bool {
	return product == "" || slices.ContainsFunc(f.Record.Claims, func(c report.ClaimJSON) bool {
		return c.Field == "product" && strings.EqualFold(c.Value, product)
	})
}

// usual is how a protocol begins on a port by custom.
func usual(p Place, protocol string) wire.Security {
	for _, number := range []uint16{p.Own, p.Port} {
		if known := scan.PortNamed(number); known != nil {
			for _, e := range known.Expected {
				if e.Protocol == protocol {
					return e.Security
				}
			}
		}
	}
	return wire.Plain
}

// GatherTargets looks at targets that nothing is expected of. Of the second list only
// what is open is kept.
func GatherTargets(ctx context.Context, all, open []scan.Target, o scan.Options) (*Facts, error) {
	facts := &Facts{Format: FactsFormat}
	for i, list := range [][]scan.Target{all, open} {
		for n := range list {
			list[n].Position = uint64(n)
		}
		var found sink
		if err := scan.New(o).Run(ctx, sourceOf(list), &found); err != nil {
			return nil, err
		}
		for _, f := range found.facts {
			if shut := f.Record.Verdict == scan.Closed || f.Record.Verdict == scan.Filtered; i == 0 || !shut {
				facts.Services = append(facts.Services, f)
			}
		}
	}
	vouchBySystem(facts.Services)
	facts.Made = time.Now().UTC()
	return facts, nil
}
