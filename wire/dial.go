package wire

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
)

// Network dials over the network. It never binds a port: a port that was bound before
// connecting is taken from every destination, so that 28,000 destinations use up all.
type Network struct {
	// Dialer is used where not nil, for a way of its own.
	Dialer *net.Dialer

	// Sources are addresses of this machine to call from, one chosen at random for each
	// connection among those of the destination's family; empty lets the system choose. Each
	// has its own ports towards one destination (on Linux 28,232 by default).
	Sources []netip.Addr
}

func (n Network) Dial(ctx context.Context, e Endpoint) (net.Conn, error) {
	if d := n.Dialer; d != nil {
		return d.DialContext(ctx, "tcp", e.Addr.String())
	}
	return dialTCP(ctx, e.Addr, n.source(e.Addr.Addr()))
}

// Check says which of the sources is no address of this machine.
func (n Network) Check() error {
	for _, s := range n.Sources {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s, 0)))
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		c.Close()
	}
	return nil
}

// source is an address to call from, the zero value where the system is to choose.
func (n Network) source(to netip.Addr) netip.Addr {
	fits := 0
	var chosen netip.Addr
	for _, s := range n.Sources {
		if s.Is4() == to.Unmap().Is4() {
			if fits++; rand.IntN(fits) == 0 {
				chosen = s
			}
		}
	}
	return chosen
}
