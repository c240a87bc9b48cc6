//go:build !linux

package wire

import (
	"context"
	"net"
	"net/netip"
)

// dialTCP connects by the standard library's own way.
func dialTCP(ctx context.Context, to netip.AddrPort, source netip.Addr) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}
