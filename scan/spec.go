package scan

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"herald/probes"
	"herald/wire"
)

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
		var err error
		if rest, err = s.authority(after); err != nil {
			return s, err
		}
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

// authority is the host and port of an URL, rest being what stands behind "://" in it. The path
// of a web page is left out; another one stays, for the host's check to refuse.
func (s *Spec) authority(rest string) (string, error) {
	u, err := url.Parse(s.Text)
	if err != nil || u.Path == "" && u.RawQuery == "" && u.User == nil || !strings.ContainsAny(rest, "/?@") {
		return rest, nil
	}
	if u.User != nil {
		return "", fmt.Errorf("target %q: a user name does not belong into a target; herald never logs in by itself", s.Text)
	}
	if u.Path == "/" || s.Protocol == "http" {
		return u.Host, nil
	}
	return rest, nil
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
