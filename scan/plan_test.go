package scan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"
)

func specs(t interface{ Fatal(...any) }, words ...string) Specs {
	var all []Spec
	for _, w := range words {
		s, err := ParseSpec(w)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return func(yield func(Spec, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func planned(t interface{ Fatal(...any) }, p Plan, s Specs) []string {
	var all []string
	for target, err := range p.Targets(s) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, target.String())
	}
	return all
}

func TestShardsAreDisjointAndComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := []string{"10.0.0.0/28:25,110", "a.example:80", "10.9.0.1-7", "[2001:db8::fff0]:25", "2001:db8::/124"}
		seed, of := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 17).Draw(t, "of")
		whole := planned(t, Plan{Seed: seed, Ports: []uint16{1, 2, 3}}, specs(t, words...))
		var union []string
		for shard := 1; shard <= of; shard++ {
			union = append(union, planned(t, Plan{Seed: seed, Ports: []uint16{1, 2, 3}, Shard: shard, Of: of}, specs(t, words...))...)
		}
		slices.Sort(whole)
		slices.Sort(union)
		if want := 16*2 + 1 + 7*3 + 1 + 16*3; len(whole) != want || !slices.Equal(whole, union) {
			t.Fatalf("%d targets whole, %d in %d shards, want %d", len(whole), len(union), of, want)
		}
	})
}

func TestShardsOverManyBlocks(t *testing.T) {
	var list strings.Builder
	const n = 3*blockSize + 5
	for i := range n {
		fmt.Fprintf(&list, "10.%d.%d.%d:25\n", i>>16, i>>8&255, i&255)
	}
	seen := map[string]bool{}
	for shard := 1; shard <= 3; shard++ {
		for target, err := range (Plan{Shard: shard, Of: 3}).Targets(ReadSpecs("list", strings.NewReader(list.String()))) {
			if err != nil || seen[target.String()] {
				t.Fatalf("%s twice, or %v", target, err)
			}
			seen[target.String()] = true
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d targets", len(seen), n)
	}
}

func TestPlanIsReproducible(t *testing.T) {
	p := Plan{Seed: 5, Ports: []uint16{25}}
	if a, b := planned(t, p, specs(t, "10.0.0.0/24")), planned(t, p, specs(t, "10.0.0.0/24")); !slices.Equal(a, b) {
		t.Error("the same seed gives another order")
	}
	other := Plan{Seed: 6, Ports: []uint16{25}}
	if a, b := planned(t, p, specs(t, "10.0.0.0/24")), planned(t, other, specs(t, "10.0.0.0/24")); slices.Equal(a, b) {
		t.Error("another seed gives the same order")
	}
}

func TestReservedRangesAreVisitedOnlyWhenMeant(t *testing.T) {
	count := func(p Plan, words ...string) int {
		p.Ports = []uint16{25}
		return len(planned(t, p, specs(t, words...)))
	}
	if n := count(Plan{}, "127.0.0.0/28"); n != 16 {
		t.Errorf("loopback that was named: %d of 16", n)
	}
	if n := count(Plan{}, "224.0.0.1"); n != 1 {
		t.Errorf("one address that was named: %d of 1", n)
	}
	if n := count(Plan{}, "223.255.255.0-224.0.0.255"); n != 256 {
		t.Errorf("half multicast: %d, want the public 256", n)
	}
	if n := count(Plan{Reserved: true}, "223.255.255.0-224.0.0.255"); n != 512 {
		t.Errorf("half multicast, meant: %d, want 512", n)
	}
	var b netipx.IPSetBuilder
	b.AddPrefix(netip.MustParsePrefix("127.0.0.8/29"))
	set, _ := b.IPSet()
	if n := count(Plan{Exclude: set}, "127.0.0.0/28"); n != 8 {
		t.Errorf("half excluded: %d, want 8", n)
	}
}

// However an address is written, what is said of it holds.
func TestExclusionsHoldForEverySpelling(t *testing.T) {
	var b netipx.IPSetBuilder
	for excluded, err := range ReadSpecs("exclusions", strings.NewReader("192.0.2.0/24 ::ffff:198.51.100.7 fe80::/10\n")) {
		if err != nil {
			t.Fatal(err)
		}
		b.AddRange(netipx.IPRangeFrom(excluded.First, excluded.Last))
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	p := Plan{Ports: []uint16{25}, Exclude: set}
	for _, spelling := range []string{"192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "[::ffff:192.0.2.1]:80", "::ffff:192.0.2.0/120", "::ffff:192.0.2.1-::ffff:192.0.2.9", "198.51.100.7", "fe80::1", "fe80::1%lo"} {
		if got := planned(t, p, specs(t, spelling)); len(got) != 0 {
			t.Errorf("%s: %v is visited", spelling, got)
		}
	}
	if got := planned(t, p, specs(t, "::ffff:192.0.3.1")); len(got) != 1 || got[0] != "192.0.3.1:25" {
		t.Errorf("::ffff:192.0.3.1 is visited as %v", got)
	}
	// IPv6 in whose midst all of IPv4 lies.
	wide := planned(t, p, specs(t, "::fffe:ffff:fffe-::ffff:0.0.0.2"))
	for _, at := range wide {
		if a, err := netip.ParseAddrPort(at); err != nil || a.Addr().Is4In6() || IsReserved(a.Addr()) {
			t.Errorf("%s is visited", at)
		}
	}
}

// A list of names is asked for like one of addresses; another port of the same does not count.
func TestManyNamesAreAskedFor(t *testing.T) {
	p := Plan{Ports: []uint16{25}, MostPublic: 2}
	count := func(words ...string) (n int, failed error) {
		for _, err := range p.Targets(specs(t, words...)) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	if n, err := count("a.test:25", "a.test:80", "a.test:443", "192.0.9.1:25", "192.0.9.1:80"); n != 5 || err != nil {
		t.Errorf("%d targets, %v", n, err)
	}
	if n, err := count("a.test", "b.test", "c.test"); n != 2 || !errors.Is(err, ErrTooMany) {
		t.Errorf("%d targets, %v, want ErrTooMany behind 2", n, err)
	}
}

func TestManyPublicAddressesAreAskedFor(t *testing.T) {
	var failed error
	for _, err := range (Plan{Ports: []uint16{25}, MostPublic: 1 << 16}).Targets(specs(t, "127.0.0.0/8:25", "8.0.0.0/16", "9.9.9.9")) {
		if failed = err; err != nil {
			break
		}
		break // the loopback range alone has 2^24 targets
	}
	for _, err := range (Plan{Ports: []uint16{25}, MostPublic: 1 << 16}).Targets(specs(t, "8.0.0.0/16", "9.9.9.9")) {
		if err != nil {
			failed = err
		}
	}
	if !errors.Is(failed, ErrTooMany) {
		t.Errorf("got %v, want ErrTooMany", failed)
	}
}

// A range of the size of the Internet costs no memory and begins at once.
func TestTheWholeInternetStreams(t *testing.T) {
	n := 0
	for target, err := range (Plan{Ports: []uint16{25, 80, 443}, Shard: 3, Of: 16}).Targets(specs(t, "0.0.0.0/0")) {
		if err != nil || IsReserved(target.Addr) {
			t.Fatalf("%s, %v", target, err)
		}
		if n++; n == 1000 {
			break
		}
	}
}
