package report

import (
	"net/netip"
	"strings"
	"testing"

	"herald/scan"
	"herald/wire"
)

// An address that accepts on every port, and seldom is what the port promises, is named
// below the table; a server with many services is not.
func TestAnAddressThatAnswersEverythingIsNamed(t *testing.T) {
	services := func(addr string, ports int, verdict func(i int) scan.Verdict) (all []*scan.Service) {
		for i := range ports {
			at := netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(i+1))
			all = append(all, &scan.Service{Target: scan.Target{Host: addr, Addr: at.Addr(), Port: at.Port()}, Endpoint: wire.Endpoint{Addr: at}, Verdict: verdict(i), Connections: 1})
		}
		return all
	}
	always := func(v scan.Verdict) func(int) scan.Verdict { return func(int) scan.Verdict { return v } }
	var all []*scan.Service
	all = append(all, services("192.0.2.1", 20, always(scan.Unexpected))...)
	all = append(all, services("192.0.2.2", 20, always(scan.AsExpected))...)
	all = append(all, services("192.0.2.3", 15, always(scan.Unknown))...)
	all = append(all, services("192.0.2.4", 20, func(i int) scan.Verdict {
		if i == 7 {
			return scan.Closed
		}
		return scan.Silent
	})...)
	for _, s := range services("192.0.2.5", 20, always(scan.Unexpected)) { // published wherever there was room
		s.Protocol, s.Confirmed = "smtp", true
		all = append(all, s)
	}
	var named []string
	for line := range strings.Lines(string(write(t, sinks["table"], all...))) {
		if strings.Contains(line, "honeypot") {
			named = append(named, line)
		}
	}
	const want = "192.0.2.1 accepts connections on all 20 ports, and 20 are not what the port promises, or not understood: a honeypot or a middlebox may answer for them all\n"
	if len(named) != 1 || named[0] != want {
		t.Errorf("named are %q", named)
	}
}
