package report

import (
	"fmt"
	"net/netip"
	"slices"

	"herald/scan"
)

// Spent counts what a scan cost the hosts that it looked at. The zero value is ready to use.
type Spent struct {
	hosts       map[netip.Addr]*host
	more        bool // more addresses than are told apart
	connections int
	sent        int // bytes
	received    int // bytes
}

// host is what is counted of an address.
type host struct {
	connections int
	bytes       int // sent and received
	asked       int // ports
	open        int // of these, accept connections
	odd         int // of these, are neither what their port promises nor, where it promises nothing, understood
}

const mostHosts = 1 << 16 // addresses that are told apart

// Add counts a service.
func (p *Spent) Add(s *scan.Service) {
	p.connections, p.sent, p.received = p.connections+s.Connections, p.sent+s.Sent, p.received+s.Received
	addr := s.Endpoint.Addr.Addr()
	h := p.hosts[addr]
	if h == nil {
		if s.Connections == 0 {
			return
		}
		if len(p.hosts) >= mostHosts {
			p.more = true
			return
		}
		if p.hosts == nil {
			p.hosts = map[netip.Addr]*host{}
		}
		h = &host{}
		p.hosts[addr] = h
	}
	h.connections += s.Connections
	h.bytes += s.Sent + s.Received
	h.asked++
	switch s.Verdict {
	case scan.Unexpected, scan.Unknown, scan.Silent:
		h.open++
		if len(s.Expected) > 0 || !s.Confirmed {
			h.odd++
		}
	case scan.AsExpected:
		h.open++
	}
}

// String is a line for people, "" where no connection was made.
func (p *Spent) String() string {
	if p.connections == 0 {
		return ""
	}
	connections, bytes := 0, 0
	for _, h := range p.hosts {
		connections, bytes = max(connections, h.connections), max(bytes, h.bytes)
	}
	over := ""
	if p.more {
		over = "more than "
	}
	return fmt.Sprintf("%d %s to %s%d %s (at most %d to one), %d bytes sent, %d received (at most %d with one)",
		p.connections, plural(p.connections, "connection"), over, len(p.hosts), plural(len(p.hosts), "address"), connections, p.sent, p.received, bytes)
}

// answersEverything says that an address accepts on so many ports, and is so seldom what
// they promise, that one thing may stand behind all of them: a honeypot, or a middlebox.
func (h *host) answersEverything() bool {
	const many = 16
	return h.asked >= many && h.open == h.asked && 2*h.odd >= h.asked
}

// suspicions are lines for people about addresses that answer everything.
func (p *Spent) suspicions() (lines []string) {
	const shown = 10 // addresses
	all := p.answerEverything()
	for _, addr := range all[:min(len(all), shown)] {
		h := p.hosts[addr]
		lines = append(lines, fmt.Sprintf("%s accepts connections on all %d ports, and %d are not what the port promises, or not understood: a honeypot or a middlebox may answer for them all", addr, h.asked, h.odd))
	}
	if n := len(all) - shown; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more addresses like that", n))
	}
	return lines
}

// answerEverything are the addresses that do, in order.
func (p *Spent) answerEverything() (all []netip.Addr) {
	for addr, h := range p.hosts {
		if h.answersEverything() {
			all = append(all, addr)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}
