// Package wire holds conversations with strangers: dialling, deadlines, limits, TLS,
// failures, the record of every byte, and the replay of such records.
//
// Everything above this package talks to a server through a [Conversation], which is
// opened by a [Caller] towards one [Endpoint]. No other package sets a deadline, a
// buffer or a TLS setting. What a network or a server does wrong is data, a [Failure];
// it is never a panic and never an error of the program.
//
// Begin with [Caller.Open], then [Conversation].
package wire

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Security is how a connection is, or is to be, protected.
type Security string

const (
	Plain    Security = "plain"    // no TLS
	TLS      Security = "tls"      // TLS from the first byte (RFC 8314: implicit TLS)
	StartTLS Security = "starttls" // begun in the clear and upgraded inside the protocol
)

// Endpoint is one address and port. A conversation has exactly one, so that a host that
// works over IPv4 alone must show its broken IPv6.
type Endpoint struct {
	Addr     netip.AddrPort
	Name     string   // the host name it was found by, without a final dot; "" for a bare address. Sent as SNI and Host
	Security Security // Plain or TLS: how to begin; "" is Plain
}

// Host is the name, or failing one the address.
func (e Endpoint) Host() string {
	if e.Name != "" {
		return e.Name
	}
	return e.Addr.Addr().String()
}

func (e Endpoint) String() string { return e.Addr.String() }

// Limits bound a conversation. A zero field takes the value of [DefaultLimits].
type Limits struct {
	Dial     time.Duration // for the connection to stand
	TLS      time.Duration // for a handshake
	Greeting time.Duration // how long an unasked first word is awaited
	Settle   time.Duration // a silence after bytes without a line end that counts as their end
	Reply    time.Duration // for a whole reply line, or a wanted number of bytes
	Whole    time.Duration // for the conversation, from dialling
	Line     int           // bytes in one line, its end included
	Bytes    int           // bytes received in all
	Turns    int           // messages sent
}

// DefaultLimits suit an ordinary look at a public server.
//
// RFC 5321, 4.5.3.1.5 allows reply lines of 512 bytes and servers exceed it: 8 KiB.
var DefaultLimits = Limits{
	Dial:     5 * time.Second,
	TLS:      8 * time.Second,
	Greeting: 6 * time.Second, // some mail servers pause on purpose before they greet
	Settle:   200 * time.Millisecond,
	Reply:    6 * time.Second,
	Whole:    30 * time.Second,
	Line:     8 << 10,
	Bytes:    256 << 10,
	Turns:    40,
}

func (l Limits) filled() Limits {
	d := DefaultLimits
	return Limits{
		Dial: or(l.Dial, d.Dial), TLS: or(l.TLS, d.TLS), Greeting: or(l.Greeting, d.Greeting),
		Settle: or(l.Settle, d.Settle), Reply: or(l.Reply, d.Reply), Whole: or(l.Whole, d.Whole),
		Line: or(l.Line, d.Line), Bytes: or(l.Bytes, d.Bytes), Turns: or(l.Turns, d.Turns),
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Manners are how we present ourselves and how far we go. The zero value is the polite
// default.
type Manners struct {
	Hello      string // name in EHLO, HELO and LHLO; "" is the address literal of our side (RFC 5321, 4.1.3)
	UserAgent  string // HTTP User-Agent; "" is [DefaultUserAgent]
	NoUpgrade  bool   // do not follow STARTTLS, STLS, AUTH TLS
	Favicon    bool   // HTTP: also ask for /favicon.ico
	RelayCheck string // an URL of the user's own: ask a proxy to fetch it; "" is not to ask
}

// DefaultUserAgent says who we are and where to read about it.
const DefaultUserAgent = "herald (service identification; +https://github.com/herald)"

// Transport gives connections: the network, a replayed transcript, or a way through a
// proxy. Errors are those of package net; [Caller.Open] makes failures of them.
type Transport interface {
	Dial(ctx context.Context, e Endpoint) (net.Conn, error)
}

// Caller opens conversations. The zero value calls over the network with
// [DefaultLimits]. It is a value: copy it to change a limit for one call.
type Caller struct {
	Transport Transport // nil is [Network]
	Limits    Limits
	Manners   Manners
	TLS       TLSOffer
}

// Open dials the endpoint and, where its Security says so, completes a TLS handshake.
// The conversation is bound to ctx: when ctx ends, it fails. The returned error is
// always a *[Failure]; after a failed handshake the conversation is returned beside it,
// since what the server said instead of TLS is worth reading. Close it in any case.
func (c *Caller) Open(ctx context.Context, e Endpoint) (*Conversation, error) {
	limits := c.Limits.filled()
	transport := c.Transport
	if transport == nil {
		transport = Network{}
	}
	began := time.Now()
	conn, err := dial(ctx, transport, e, began.Add(limits.Dial))
	if err != nil {
		f := failureOf(OpDial, err)
		if f.Kind == Canceled && ctx.Err() == nil {
			f.Kind = Timeout // our own limit ran out, not the caller's context
		}
		return nil, f
	}
	v := newConversation(ctx, conn, &e, &limits, c, began)
	if e.Security == TLS {
		if err := v.handshake(); err != nil {
			return v, err
		}
	}
	return v, nil
}

func dial(ctx context.Context, t Transport, e Endpoint, end time.Time) (net.Conn, error) {
	if n, ok := t.(Network); ok {
		return n.Dial(Until(ctx, end), e)
	}
	ctx, cancel := withTimer(ctx, end)
	defer cancel()
	return t.Dial(ctx, e)
}
