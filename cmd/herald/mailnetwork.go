package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"herald/wire"
)

// elsewhere connects to other places than it is asked to.
type elsewhere struct {
	wire.Network
	to map[string]netip.AddrPort // by host:port, and by address:port
}

func parseConnect(list []string) (elsewhere, error) {
	e := elsewhere{to: map[string]netip.AddrPort{}}
	for _, text := range list {
		from, to, _ := strings.Cut(text, "=")
		addr, err := netip.ParseAddrPort(to)
		host, port, bad := net.SplitHostPort(from)
		if err != nil || bad != nil || host == "" || port == "" {
			return e, fmt.Errorf("--connect-to %q: write it like mail.example.test:25=127.0.0.1:2525", text)
		}
		e.to[strings.ToLower(net.JoinHostPort(host, port))] = addr
	}
	return e, nil
}

func (e elsewhere) Dial(ctx context.Context, at wire.Endpoint) (net.Conn, error) {
	for _, key := range []string{net.JoinHostPort(strings.ToLower(at.Name), fmt.Sprint(at.Addr.Port())), at.Addr.String()} {
		if to, ok := e.to[key]; ok {
			at.Addr = to
			break
		}
	}
	return e.Network.Dial(ctx, at)
}
