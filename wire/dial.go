package wire

import (
	"context"
	"net"
)

// Network dials over the network. It never binds without need: a local address that was
// bound before connecting takes a port from every destination.
type Network struct {
	// Dialer is used where not nil, for a source address or a way of its own.
	Dialer *net.Dialer
}

func (n Network) Dial(ctx context.Context, e Endpoint) (net.Conn, error) {
	d := n.Dialer
	if d == nil {
		d = &net.Dialer{KeepAlive: -1}
	}
	return d.DialContext(ctx, "tcp", e.Addr.String())
}
