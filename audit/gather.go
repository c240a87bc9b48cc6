package audit

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"herald/probes"
	"herald/report"
	"herald/resolve"
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
	if err := scan.New(o).Run(ctx, targets(services), &found); err != nil {
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

// targets are the places of services, each once. What is expected is the scanner's hint:
// a mail server on an odd port gets a mail server's time to greet.
func targets(services []*Service) scan.Source {
	return func(yield func(scan.Target, error) bool) {
		seen := map[string]bool{}
		position := uint64(0)
		for _, s := range services {
			for _, p := range s.At {
				if seen[p.Key()] {
					continue
				}
				seen[p.Key()] = true
				t := scan.Target{Host: p.Host, Port: p.Port, Protocol: s.Expect.Protocol, Position: position}
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
				position++
				if !yield(t, nil) {
					return
				}
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
	var places []scan.Target
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
	if len(places) == 0 {
		return nil
	}
	var found sink
	source := func(yield func(scan.Target, error) bool) {
		for _, t := range places {
			if !yield(t, nil) {
				return
			}
		}
	}
	if err := scan.New(o).Run(ctx, source, &found); err != nil {
		return err
	}
	for _, newer := range found.facts {
		for i, old := range f.Services {
			want := wanted[old.At]
			fits := func(f *Fact) bool { return f.Record.Protocol == want.Protocol }
			better := fits(newer) && (!fits(old) || newer.names(want.Product)) || old.Record.Protocol == "" && newer.Record.Protocol != ""
			if old.key() == newer.key() && old.At == newer.At && better {
				f.Services[i] = newer
			}
		}
	}
	return nil
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

// resolver knows the file's hosts, and asks the others of whom the file says.
func (f *File) resolver(otherwise resolve.Resolver) resolve.Resolver {
	if f.DNS.Server.IsValid() {
		otherwise = resolve.At(f.DNS.Server)
	}
	if otherwise == nil {
		otherwise = resolve.Network{}
	}
	names := map[string][]netip.Addr{}
	for short, h := range f.Hosts {
		if len(h.Addresses) > 0 {
			names[h.ask(short)] = h.Addresses
		}
	}
	return &resolve.Cached{Of: families{resolve.Map{Names: names, Else: otherwise}, f.Defaults.Families}}
}

// families leaves out addresses of families that are not asked for.
type families struct {
	of   resolve.Resolver
	want []string
}

func (f families) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	all, err := f.of.Addresses(ctx, host)
	if len(f.want) == 0 {
		return all, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
		return a.Is4() && !slices.Contains(f.want, "ip4") || a.Is6() && !slices.Contains(f.want, "ip6")
	}), err
}

// ReadRoots reads the authorities that a file trusts, DER each; nil for the system's.
func ReadRoots(file *File) ([][]byte, error) {
	var all [][]byte
	for _, name := range file.Trust.CAFiles {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, &fileError{file.Name, fmt.Errorf("trust: %w", err)}
		}
		n := len(all)
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return nil, &fileError{file.Name, fmt.Errorf("trust: %s: %w", name, err)}
			}
			all = append(all, block.Bytes)
		}
		if len(all) == n {
			return nil, &fileError{file.Name, fmt.Errorf("trust: %s: no certificate in it", name)}
		}
	}
	return all, nil
}

// Pool is the authorities that a file trusts, of the roots that [ReadRoots] gave: with the
// system's where the file says so, nil for the system's alone.
func (f *File) Pool(roots [][]byte) *x509.CertPool {
	if len(roots) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	if f.Trust.System {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system // without them fewer are trusted, never more
		}
	}
	for _, der := range roots {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

// vouchBySystem asks the system's authorities, while they are at hand.
func vouchBySystem(facts []*Fact) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return // nothing is said: the finding is about no authority at hand
	}
	for _, f := range facts {
		chain := f.chain()
		if len(chain) == 0 {
			continue
		}
		f.System = trustedBySystem
		if err := vouched(chain, roots, time.Now()); err != nil {
			f.System = err.Error()
		}
	}
}

// Run gathers and judges; where the file says "eventually" it does so again for the
// services that do not hold, until all do or the time is over.
func Run(ctx context.Context, file *File, o scan.Options) (*Facts, []Finding, error) {
	end := time.Now().Add(file.Defaults.Eventually)
	facts, err := Gather(ctx, file, o)
	if err != nil {
		return nil, nil, err
	}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		findings := Judge(file, facts)
		again := file.unsettled(findings)
		left := time.Until(end)
		if len(again) == 0 || left <= 0 {
			return facts, findings, nil
		}
		select {
		case <-time.After(min(pause, left)):
		case <-ctx.Done():
			return facts, findings, context.Cause(ctx)
		}
		newer, err := gather(ctx, file, again, o)
		if err != nil {
			return facts, findings, err
		}
		facts.replace(newer)
	}
}

// unsettled are the services that do not hold.
func (f *File) unsettled(findings []Finding) []*Service {
	bad := map[string]bool{}
	for _, x := range findings {
		if x.State == Fail || x.State == Unknown {
			bad[x.Service] = true
		}
	}
	var again []*Service
	for _, s := range f.Services {
		if bad[s.ID] {
			again = append(again, s)
		}
	}
	return again
}

// replace takes newer facts for the places that they are about.
func (f *Facts) replace(newer *Facts) {
	about := map[string]bool{}
	for _, n := range newer.Services {
		about[n.At] = true
	}
	f.Services = slices.DeleteFunc(f.Services, func(old *Fact) bool { return about[old.At] })
	f.Services = append(f.Services, newer.Services...)
	f.Made, f.Sections = newer.Made, newer.Sections
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
		source := func(yield func(scan.Target, error) bool) {
			for _, t := range list {
				if !yield(t, nil) {
					return
				}
			}
		}
		if err := scan.New(o).Run(ctx, source, &found); err != nil {
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
