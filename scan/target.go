package scan

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"herald/probes"
	"herald/wire"
)

// Target is one port of one host, as the user named it. Names are looked up later; each
// address of a name becomes an endpoint.
type Target struct {
	Host     string     // name or address, as the user wrote it
	Addr     netip.Addr // invalid while Host is a name
	Port     uint16
	Protocol string        // the user's hint, from an URL: "imap"; "" for none
	Security wire.Security // the user's hint; "" for none
	Position uint64        // its place in the order of the scan; see Plan
}

// String is the target as a user would write it.
func (t Target) String() string {
	s := joinHostPort(t.Host, t.Port)
	if t.Protocol != "" {
		s = Expected{t.Protocol, t.Security}.scheme() + "://" + s
	}
	return s
}

func joinHostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// Source gives targets one by one, so that there may be more of them than memory holds.
// It ends at the first error.
type Source = iter.Seq2[Target, error]

// Spec is a parsed target specification: hosts times ports. It holds no list of
// addresses, however large the range.
type Spec struct {
	Text     string
	Name     string // host name; "" where the hosts are addresses
	First    netip.Addr
	Last     netip.Addr
	Ports    []uint16 // empty: the caller's choice
	Protocol string
	Security wire.Security
}

// ParseSpec reads one target: a host name, an address, a CIDR block, a range
// (10.0.0.1-10.0.0.9 or 10.0.0.1-9), each with or without ports
// (host:25,110,1000-1010,mail), or an URL (imaps://mail.example.org).
func ParseSpec(text string) (Spec, error) {
	s := Spec{Text: text}
	if at, err := netip.ParseAddrPort(text); err == nil && at.Addr().Is4() && at.Port() > 0 { // most of a long list
		s.First, s.Last, s.Ports = at.Addr(), at.Addr(), []uint16{at.Port()}
		return s, nil
	}
	rest := text
	scheme, after, isURL := strings.Cut(strings.ToLower(text), "://")
	if isURL {
		if err := s.takeScheme(scheme); err != nil {
			return s, err
		}
		if u, err := url.Parse(text); err == nil && (u.Path != "" || u.RawQuery != "" || u.User != nil) && strings.ContainsAny(after, "/?@") {
			if u.User != nil {
				return s, fmt.Errorf("target %q: a user name does not belong into a target; herald never logs in by itself", text)
			}
			if u.Path == "/" || s.Protocol == "http" {
				after = u.Host
			}
		}
		rest = after
	}
	host, ports, err := splitHostPorts(rest)
	if err != nil {
		return s, fmt.Errorf("target %q: %w", text, err)
	}
	if ports != "" {
		if s.Ports, err = ParsePorts(ports); err != nil {
			return s, fmt.Errorf("target %q: %w", text, err)
		}
	} else if isURL {
		port := usualPort(scheme)
		if port == 0 {
			port = usualPort(Expected{s.Protocol, s.Security}.scheme())
		}
		if port == 0 {
			return s, fmt.Errorf("target %q: %s has no usual port; write it: %s:PORT", text, scheme, text)
		}
		s.Ports = []uint16{port}
	}
	if err := s.takeHost(host); err != nil {
		return s, fmt.Errorf("target %q: %w", text, err)
	}
	return s, nil
}

// usualPort is the port of an URL's scheme that names none: IANA's service of that name,
// or the lowest port on which the protocol is the first to be expected; 0 for none.
func usualPort(scheme string) uint16 {
	for _, p := range Ports() {
		if p.Service == scheme && len(p.Expected) > 0 {
			return p.Number
		}
	}
	for _, p := range Ports() {
		if len(p.Expected) > 0 && p.Expected[0].scheme() == scheme {
			return p.Number
		}
	}
	return 0
}

func (s *Spec) takeScheme(scheme string) error {
	name := strings.ToLower(scheme)
	aliases := map[string]Expected{
		"tls": {"", wire.TLS}, "ssl": {"", wire.TLS}, "tcp": {"", wire.Plain},
		"submission": {"smtp", wire.Plain}, "submissions": {"smtp", wire.TLS},
		"proxy": {"http-proxy", wire.Plain}, "socks": {"socks5", wire.Plain}, "xmpp-client": {"xmpp", wire.Plain},
	}
	if e, ok := aliases[name]; ok {
		s.Protocol, s.Security = e.Protocol, e.Security
		return nil
	}
	if isProtocol(name) {
		s.Protocol, s.Security = name, wire.Plain
		return nil
	}
	if plain, ok := strings.CutSuffix(name, "s"); ok && isProtocol(plain) {
		s.Protocol, s.Security = plain, wire.TLS
		return nil
	}
	return fmt.Errorf("target %q: unknown scheme %q; write a protocol of 'herald probes', with a final s for TLS", s.Text, scheme)
}

// isProtocol says whether there is a probe of that name, or a port that promises it.
func isProtocol(name string) bool {
	if probes.Named(name) != nil {
		return true
	}
	return slices.ContainsFunc(Ports(), func(p *KnownPort) bool {
		return slices.ContainsFunc(p.Expected, func(e Expected) bool { return e.Protocol == name })
	})
}

func splitHostPorts(text string) (host, ports string, err error) {
	if strings.HasPrefix(text, "[") {
		host, after, closed := strings.Cut(text[1:], "]")
		if !closed {
			return "", "", fmt.Errorf("a [ without its ]")
		}
		if after == "" {
			return host, "", nil
		}
		ports, ok := strings.CutPrefix(after, ":")
		if !ok {
			return "", "", fmt.Errorf("after ] comes :PORT, not %q", after)
		}
		if ports == "" {
			return "", "", fmt.Errorf("no port after the colon")
		}
		return host, ports, nil
	}
	if strings.Count(text, ":") > 1 {
		return text, "", nil // a bare IPv6 address or block
	}
	host, ports, has := strings.Cut(text, ":")
	if has && ports == "" {
		return "", "", fmt.Errorf("no port after the colon")
	}
	return host, ports, nil
}

func (s *Spec) takeHost(host string) error {
	if host == "" {
		return fmt.Errorf("no host")
	}
	if strings.Contains(host, "/") {
		block, err := netip.ParsePrefix(host)
		if err != nil {
			return fmt.Errorf("%q is not a CIDR block like 192.0.2.0/24 or 2001:db8::/64", host)
		}
		s.setRange(block.Masked().Addr(), lastOf(block))
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		s.setRange(addr, addr)
		return nil
	}
	if from, to, isRange := strings.Cut(host, "-"); isRange {
		if first, err := netip.ParseAddr(from); err == nil {
			last, err := netip.ParseAddr(to)
			if err != nil && first.Is4() {
				last, err = netip.ParseAddr(from[:strings.LastIndexByte(from, '.')+1] + to)
			}
			switch {
			case err != nil:
				return fmt.Errorf("%q is not the end of a range like 192.0.2.1-192.0.2.9 or 192.0.2.1-9", to)
			case first.BitLen() != last.BitLen() || last.Less(first):
				return fmt.Errorf("the range %q ends before it begins", host)
			}
			s.setRange(first, last)
			return nil
		}
	}
	if looksLikeAddress(host) {
		return fmt.Errorf("%q is not an IPv4 address: four numbers from 0 to 255", host)
	}
	if !validName(host) {
		return fmt.Errorf("%q is neither an address nor a host name", host)
	}
	s.Name = strings.TrimSuffix(host, ".")
	return nil
}

// setRange takes IPv4 addresses that are written as IPv6 (RFC 4291, 2.5.5.2) for what they
// are: exclusions, limits and reserved ranges hold for them too.
func (s *Spec) setRange(first, last netip.Addr) {
	if first.Is4In6() && last.Is4In6() {
		first, last = first.Unmap(), last.Unmap()
	}
	s.First, s.Last = first, last
}

func looksLikeAddress(host string) bool {
	return strings.Trim(host, "0123456789.") == "" && strings.Contains(host, ".")
}

// validName takes host names (RFC 1123, 2.1) and, since people have them, underscores.
func validName(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' {
			return false
		}
		for i := range len(label) {
			b := label[i]
			if !(b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' || b == '-' || b == '_' || b >= 0x80) {
				return false
			}
		}
	}
	return true
}

func lastOf(block netip.Prefix) netip.Addr {
	b := block.Masked().Addr().AsSlice()
	for i := block.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
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

// targets is how many there are.
func (s Spec) targets(ports []uint16) uint64 {
	n := uint64(len(s.Ports))
	if n == 0 {
		n = uint64(len(ports))
	}
	return s.Hosts() * n
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

// Specs gives specifications one by one; it ends at the first error.
type Specs = iter.Seq2[Spec, error]

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

// ParsePorts reads a list like 25,110,1000-1010,imaps,mail: numbers, ranges, service and
// protocol names, groups. The order is kept, duplicates are dropped.
func ParsePorts(text string) ([]uint16, error) {
	var ports []uint16
	seen := map[uint16]bool{}
	add := func(p uint16) {
		if !seen[p] {
			seen[p] = true
			ports = append(ports, p)
		}
	}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		from, to, isRange := strings.Cut(word, "-")
		switch {
		case word == "":
			return nil, fmt.Errorf("ports %q: nothing between two commas", text)
		case isNumber(word):
			p, err := parsePort(word)
			if err != nil {
				return nil, err
			}
			add(p)
		case isRange && (from == "" || isNumber(from)) && (to == "" || isNumber(to)):
			first, last := uint16(1), uint16(65535)
			var err error
			if from != "" {
				if first, err = parsePort(from); err != nil {
					return nil, err
				}
			}
			if to != "" {
				if last, err = parsePort(to); err != nil {
					return nil, err
				}
			}
			if last < first {
				return nil, fmt.Errorf("port range %q ends before it begins", word)
			}
			for p := int(first); p <= int(last); p++ {
				add(uint16(p))
			}
		default:
			named := PortGroup(strings.ToLower(word))
			if named == nil {
				named = PortsOf(strings.ToLower(word))
			}
			if named == nil {
				return nil, fmt.Errorf("unknown port %q: write a number, a range like 1000-1010, a name like imaps, or a group: %s", word, strings.Join(PortGroups(), ", "))
			}
			for _, p := range named {
				add(p)
			}
		}
	}
	return ports, nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || n > 65535 {
		return 0, fmt.Errorf("port %s: a port is a number from 1 to 65535", s)
	}
	return uint16(n), nil
}

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
