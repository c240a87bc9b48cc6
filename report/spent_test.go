package report

import (
	"net/netip"
	"testing"

	"herald/scan"
	"herald/wire"
)

func TestSpent(t *testing.T) {
	at := func(i int) wire.Endpoint {
		return wire.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 25)}
	}
	var p Spent
	if got := p.String(); got != "" {
		t.Errorf("of nothing: %q", got)
	}
	p.Add(&scan.Service{Endpoint: at(1), Connections: 1, Sent: 10, Received: 20})
	p.Add(&scan.Service{Endpoint: at(1), Connections: 2, Sent: 1, Received: 2})
	p.Add(&scan.Service{Endpoint: at(2), Connections: 1, Sent: 5, Received: 50})
	p.Add(&scan.Service{Endpoint: at(3)})
	if got, want := p.String(), "4 connections to 2 addresses (at most 3 to one), 16 bytes sent, 72 received (at most 55 with one)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range mostHosts + 5 { // not all can be told apart, but all are counted
		p.Add(&scan.Service{Endpoint: at(i), Connections: 1})
	}
	if got, want := p.String(), "65545 connections to more than 65536 addresses (at most 4 to one), 16 bytes sent, 72 received (at most 55 with one)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
