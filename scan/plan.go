package scan

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"go4.org/netipx"
)

// Plan is which targets are looked at, and in which order: reproducible from its seed,
// divisible into exact shards, resumable at any position. Specifications are taken in
// blocks; within a block their targets are permuted, so that neither a host nor a network
// is met many times in a row. However many targets a specification names, they are never
// held in memory.
type Plan struct {
	Ports      []uint16            // where a specification names none
	Seed       uint64              // of the order
	Shard, Of  int                 // look at the positions p with p mod Of = Shard-1; 0, 0 is all
	Skip       func(p uint64) bool // positions that were looked at before; nil for none
	Exclude    *netipx.IPSet       // addresses never to be touched; nil for none
	Reserved   bool                // also visit reserved addresses inside wider ranges
	MostPublic uint64              // public addresses, and names, that may be named before it is an error; 0 is no bound
}

// ErrTooMany says that the targets hold more public addresses than Plan.MostPublic.
var ErrTooMany = errors.New("too many public addresses")

// blockSize bounds the specifications that are held at once: some 3 MB.
const blockSize = 1 << 14

// Targets are the plan's targets. An error of the specifications comes after the targets
// of those before it.
func (p Plan) Targets(specs Specs) Source {
	return func(yield func(Target, error) bool) {
		b := block{plan: p}
		position, public, last := uint64(0), uint64(0), Spec{}
		flush := func() bool {
			ok := b.yield(position, yield)
			position += b.total
			b = block{plan: p, specs: b.specs[:0], ends: b.ends[:0]}
			return ok
		}
		for s, err := range specs {
			if err == nil {
				if s.Name != last.Name || s.First != last.First || s.Last != last.Last { // not another port of the same
					public += publicHosts(s)
				}
				last = s
				if p.MostPublic > 0 && public > p.MostPublic {
					err = fmt.Errorf("target %q: %w: %d so far", s.Text, ErrTooMany, public)
				} else {
					err = b.add(s)
				}
			}
			if err != nil {
				if flush() {
					yield(Target{}, err)
				}
				return
			}
			if len(b.specs) == blockSize && !flush() {
				return
			}
		}
		flush()
	}
}

// block is a stretch of specifications whose targets are permuted together.
type block struct {
	plan  Plan
	specs []Spec
	ends  []uint64 // ends[i] is how many targets specs[:i+1] have
	total uint64
}

func (b *block) add(s Spec) error {
	n := s.targets(b.plan.Ports)
	const most = 1 << 62
	if n > most-b.total || s.Hosts() >= most/65536 {
		return fmt.Errorf("target %q: the range is too large to be scanned; name a part of it", s.Text)
	}
	s.Text = "" // not needed any more
	b.specs, b.total = append(b.specs, s), b.total+n
	b.ends = append(b.ends, b.total)
	return nil
}

// yield gives the block's targets in the plan's order; first is the position of the first.
func (b *block) yield(first uint64, yield func(Target, error) bool) bool {
	if b.total == 0 {
		return true
	}
	p := b.plan
	order := newPermutation(b.total, p.Seed^mix(first))
	step, at := uint64(1), uint64(0)
	if p.Of > 1 {
		step = uint64(p.Of)
		at = (uint64(p.Shard-1) + step - first%step) % step
	}
	for ; at < b.total; at += step {
		if p.Skip != nil && p.Skip(first+at) {
			continue
		}
		i := order.at(at)
		n, _ := slices.BinarySearch(b.ends, i+1)
		s := &b.specs[n]
		before := uint64(0)
		if n > 0 {
			before = b.ends[n-1]
		}
		t := s.target(i-before, p.Ports)
		t.Position = first + at
		if t.Addr.IsValid() && (p.excludes(t.Addr) || !p.Reserved && !meant(s) && IsReserved(t.Addr)) {
			continue
		}
		if !yield(t, nil) {
			return false
		}
	}
	return true
}

func (p Plan) excludes(a netip.Addr) bool { return holds(p.Exclude, a) }

// holds says whether an address is in a set, whatever its zone and however it is written; nil
// is the empty set.
func holds(set *netipx.IPSet, a netip.Addr) bool {
	return set != nil && set.Contains(a.Unmap().WithZone(""))
}

// reserved are the addresses that no public host has (IANA IPv4 and IPv6 Special-Purpose
// Address Registries, RFC 6890), multicast among them.
var reserved = sync.OnceValue(func() *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, s := range reservedPrefixes {
		b.AddPrefix(netip.MustParsePrefix(s))
	}
	set, err := b.IPSet()
	if err != nil {
		panic(err)
	}
	return set
})

var reservedPrefixes = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/127", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "3fff::/20", "fc00::/7", "fe80::/10", "ff00::/8",
}

// IsReserved says whether an address is one that no public host has.
func IsReserved(a netip.Addr) bool { return holds(reserved(), a) }

// meant says whether a specification names reserved addresses on purpose: it is a single
// address, or lies in a reserved range whole.
func meant(s *Spec) bool {
	return s.First == s.Last || reserved().ContainsRange(netipx.IPRangeFrom(s.First, s.Last))
}

// publicHosts is how many public addresses a specification names, at most; a name counts as
// one, since it has to be counted before it is looked up.
func publicHosts(s Spec) uint64 {
	if s.Name == "" && IsReserved(s.First) && IsReserved(s.Last) && meant(&s) {
		return 0
	}
	return s.Hosts()
}
