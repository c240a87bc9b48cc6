package scan

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net/netip"
	"strings"
)

// Specs gives specifications one by one; it ends at the first error.
type Specs = iter.Seq2[Spec, error]

// ReadSpecs reads specifications from a list: one or several a line, separated by
// spaces; '#' begins a remark. A bad line ends it with an error that names the list and
// the line; everything before it was given.
func ReadSpecs(name string, r io.Reader) Specs {
	return func(yield func(Spec, error) bool) {
		const longest = 64 << 10 // bytes in a line
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 4<<10), longest)
		n := 0
		for lines.Scan() {
			n++
			line, _, _ := strings.Cut(lines.Text(), "#")
			for word := range strings.FieldsSeq(line) {
				s, err := ParseSpec(word)
				if err != nil {
					yield(Spec{}, fmt.Errorf("%s:%d: %w", name, n, err))
					return
				}
				if !yield(s, nil) {
					return
				}
			}
		}
		if err := lines.Err(); err != nil {
			yield(Spec{}, fmt.Errorf("%s:%d: %w", name, n+1, err))
		}
	}
}

// Targets are the specification's targets, in order; ports are used where it names none.
func (s Spec) Targets(ports []uint16) Source {
	return func(yield func(Target, error) bool) {
		for i := range s.targets(ports) {
			if !yield(s.target(i, ports), nil) {
				return
			}
		}
	}
}

// targets is how many there are.
func (s Spec) targets(ports []uint16) uint64 {
	n := uint64(len(s.Ports))
	if n == 0 {
		n = uint64(len(ports))
	}
	return s.Hosts() * n
}

// target is the specification's i-th target: all hosts at the first port, then at the
// second.
func (s Spec) target(i uint64, ports []uint16) Target {
	if len(s.Ports) > 0 {
		ports = s.Ports
	}
	hosts := s.Hosts()
	t := Target{Host: s.Name, Port: ports[i/hosts], Protocol: s.Protocol, Security: s.Security}
	if s.Name == "" {
		t.Addr = addrAt(s.First, i%hosts)
		t.Host = t.Addr.String()
	}
	return t
}

// Hosts is how many hosts the specification names; 1 for a name. Ranges of more than
// 2^62 addresses count as 2^62, which no scan can visit.
func (s Spec) Hosts() uint64 {
	if s.Name != "" {
		return 1
	}
	first, last := new(big.Int).SetBytes(s.First.AsSlice()), new(big.Int).SetBytes(s.Last.AsSlice())
	n := last.Sub(last, first).Add(last, big.NewInt(1))
	if n.BitLen() > 62 {
		return 1 << 62
	}
	return n.Uint64()
}

// addrAt is the address so many behind another; an IPv4 address in the midst of IPv6 is one
// of IPv4.
func addrAt(first netip.Addr, behind uint64) netip.Addr {
	if behind == 0 {
		return first.Unmap()
	}
	b := first.As16()
	low := binary.BigEndian.Uint64(b[8:])
	sum := low + behind
	binary.BigEndian.PutUint64(b[8:], sum)
	if sum < low {
		binary.BigEndian.PutUint64(b[:8], binary.BigEndian.Uint64(b[:8])+1)
	}
	if first.Is4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b).Unmap()
}
