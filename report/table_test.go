package report

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"herald/fingerprint"
	"herald/probes"
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

// Remarks stand beside the row where the terminal has room for them, and else below it; nothing
// is cut without a sign.
func TestRemarksStandBelowInANarrowTerminal(t *testing.T) {
	s := &scan.Service{
		Target:   scan.Target{Host: "mail.example.org", Port: 2525},
		Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:2525"), Name: "mail.example.org"},
		Verdict:  scan.Unknown, Security: wire.Plain, Connections: 1,
		Failure: &wire.Failure{Op: wire.OpRead, Kind: wire.Timeout},
		Seen:    []*probes.Observation{{Evidence: []fingerprint.Evidence{{Key: "tcp.greeting", Text: []byte("words that nobody has heard before, and that go on")}}}},
	}
	for width, want := range map[int]string{
		0: "192.0.2.1:2525 (mail.example.org)  -                 unknown  tcp.greeting: words that nobody has heard before, and that go on; read: timeout\n",
		64: "192.0.2.1:2525 (mail.example.org)  -                 unknown\n" +
			"    tcp.greeting: words that nobody has heard before, and that\n" +
			"    go on; read: timeout\n",
		40: "192.0.2.1:2525 (mail.example.org)  -   …\n" +
			"    tcp.greeting: words that nobody has\n" +
			"    heard before, and that go on; read:\n" +
			"    timeout\n",
	} {
		sink := func(w io.Writer) scan.Sink { return NewTable(w, TableOptions{Width: width}) }
		_, rows, _ := strings.Cut(string(write(t, sink, s)), "\n")
		rows, _, _ = strings.Cut(rows, "1 endpoint")
		if rows != want {
			t.Errorf("%d columns:\n%swant\n%s", width, rows, want)
		}
	}
}

// A greeting that was there as soon as the connection stood is one: 0 means that there was none.
func TestASoonGreetingIsOne(t *testing.T) {
	for took, want := range map[time.Duration]float64{0: 0, 1: 0.01, 4 * time.Microsecond: 0.01, 1234 * time.Microsecond: 1.23} {
		if got := RecordOf(&scan.Service{Greeting: took}).GreetingMS; got != want {
			t.Errorf("%s is %v ms, want %v", took, got, want)
		}
	}
}
