package scan

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"herald/resolve"
	"herald/wire"
)

// paper is an output that a program may die over: what was written beyond the last Length may
// be lost, cut in its midst, or there.
type paper struct {
	text  []byte
	until int // it dies with this line, counted from where it went on
}

var errDied = errors.New("killed")

func (p *paper) Write(_ context.Context, s *Service) error {
	if p.until--; p.until < 0 {
		return errDied
	}
	p.text = fmt.Appendf(p.text, "%s %s\n", s.Target, s.Endpoint.Addr)
	return nil
}

func (p *paper) Length() (int64, error) { return int64(len(p.text)), nil }
func (p *paper) Close() error           { return nil }

// A scan that dies at any line and goes on from its checkpoint holds each endpoint exactly
// once, those of a name with several addresses too, whatever the order in which they end.
func TestCheckpointHoldsEachOnce(t *testing.T) {
	names := resolve.Map{Names: map[string][]netip.Addr{}}
	var targets []Target
	want := map[string]bool{}
	for i := range 90 {
		target := Target{Host: fmt.Sprintf("host%d.test", i), Port: 25, Position: uint64(i)}
		if i%3 == 0 { // an address itself
			target.Addr = netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
			target.Host = target.Addr.String()
			want[fmt.Sprintf("%s %s", target, netip.AddrPortFrom(target.Addr, 25))] = true
		} else {
			for k := range i % 5 { // some have none
				a := netip.AddrFrom4([4]byte{10, byte(k), byte(i >> 8), byte(i)})
				names.Names[target.Host] = append(names.Names[target.Host], a)
				want[fmt.Sprintf("%s %s", target, netip.AddrPortFrom(a, 25))] = true
			}
			if i%5 == 0 {
				want[fmt.Sprintf("%s %s", target, netip.AddrPort{})] = true // told as unresolved
			}
		}
		targets = append(targets, target)
	}
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 1))
		path := filepath.Join(t.TempDir(), "at")
		out := &paper{}
		died := 0
		for ; died < 1000; died++ {
			c, err := OpenCheckpoint(path, "x")
			if err != nil {
				t.Fatal(err)
			}
			if seed%3 == 0 {
				c.every = 0 // saved at each line; else seldom, and much is looked at again
			}
			out.text = out.text[:c.Length()]
			out.until = random.IntN(25)
			if died > 100 {
				out.until = len(want)
			}
			source := func(yield func(Target, error) bool) {
				for _, target := range targets {
					if !c.Skip(target.Position) && !yield(target, nil) {
						return
					}
				}
			}
			sink := c.Sink(out)
			how := &doorbell{words: "220 x\r\n", end: "read closed"}
			err = New(Options{Resolver: names, Workers: 1 + random.IntN(40), Caller: wire.Caller{Transport: how}}).Run(t.Context(), c.Targets(source), sink)
			if err == nil {
				if err := sink.Close(); err != nil {
					t.Fatal(err)
				}
				break
			}
			if !errors.Is(err, errDied) {
				t.Fatal(err)
			}
		}
		seen := map[string]int{}
		for line := range strings.Lines(string(out.text)) {
			seen[strings.TrimSuffix(line, "\n")]++
		}
		for line := range want {
			if seen[line] != 1 {
				t.Errorf("seed %d, after %d deaths: %s stands %d times", seed, died, line, seen[line])
			}
		}
		if len(seen) != len(want) {
			t.Errorf("seed %d: %d endpoints, not %d", seed, len(seen), len(want))
		}
	}
}
