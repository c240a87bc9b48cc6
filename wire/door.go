package wire

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// Door is a port of ours that waits for a server to call back: FTP's active mode (RFC 959,
// 5.2). Only the expected host is let in.
type Door struct {
	listener *net.TCPListener
	caller   Caller
}

// OpenDoor opens a port on one of our addresses. The caller's limits, TLS offer and manners
// are those of the conversation that comes of it.
func (c Caller) OpenDoor(local netip.Addr) (*Door, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, failureOf(OpDial, err)
	}
	return &Door{l, c}, nil
}

// Addr is where the door is.
func (d *Door) Addr() netip.AddrPort {
	a := d.listener.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Take waits for the host to call, Limits.Dial at most, and turns others away. The
// conversation's endpoint says which port it came from; name is the host's, for TLS, where
// we stay the client (RFC 4217, 7).
func (d *Door) Take(ctx context.Context, host netip.Addr, name string) (*Conversation, error) {
	limits := d.caller.Limits.filled()
	began := time.Now()
	if err := d.listener.SetDeadline(began.Add(limits.Dial)); err != nil {
		return nil, failureOf(OpDial, err)
	}
	stop := context.AfterFunc(ctx, func() { d.listener.SetDeadline(longAgo) })
	defer stop()
	const strangers = 8
	for range strangers {
		conn, err := d.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, failureOf(OpDial, err)
		}
		a := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		from := netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if from.Addr() != host.Unmap().WithZone("") {
			conn.Close()
			continue
		}
		return newConversation(ctx, conn, &Endpoint{Addr: from, Name: name}, &limits, &d.caller, began), nil
	}
	return nil, failureOf(OpDial, errors.New("only strangers called"))
}

// Close shuts the door.
func (d *Door) Close() error { return d.listener.Close() }
