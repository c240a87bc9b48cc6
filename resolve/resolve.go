// Package resolve turns names into addresses, over the network or out of a map, asks the DNS
// for records, and fetches the documents that a domain publishes. It is, beside wire, the one
// package that may open sockets.
//
// Begin with [Network] for addresses, [Server] for records, [Fetcher] for documents.
package resolve

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"herald/wire"
)

// Resolver looks a host name up. The addresses are all of the name's, IPv6 and IPv4,
// unmapped, without duplicates. What goes wrong is a [*wire.Failure] of kind not-found
// or unresolved.
type Resolver interface {
	Addresses(ctx context.Context, host string) ([]netip.Addr, error)
}

// Network asks the system's resolver. The zero value is ready to use.
type Network struct {
	Resolver *net.Resolver // nil is net.DefaultResolver
	Timeout  time.Duration // for one name; 0 is 5 s
}

func (n Network) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	r := n.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(n.Timeout, 5*time.Second))
	defer cancel()
	found, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, wire.FailureOf(wire.OpResolve, err)
	}
	return tidy(found), nil
}

// Map is a resolver made of names and their addresses; names are compared without regard
// to case and a final dot. A name that it does not have is asked of Else, or not found.
type Map struct {
	Names map[string][]netip.Addr // lower case, no final dot
	Else  Resolver
}

func (m Map) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if addrs, ok := m.Names[name]; ok {
		return tidy(addrs), nil
	}
	if m.Else != nil {
		return m.Else.Addresses(ctx, host)
	}
	return nil, &wire.Failure{Op: wire.OpResolve, Kind: wire.NotFound, Err: fmt.Errorf("no address is given for %s", host)}
}

// Cached asks another resolver once for each name; simultaneous questions for one name
// share the answer. Failures are kept too: a name is asked once in a scan.
type Cached struct {
	Of   Resolver
	Most int // names kept; 0 is 65,536

	mu    sync.Mutex
	known map[string]*answer
}

type answer struct {
	done  chan struct{}
	addrs []netip.Addr
	err   error
}

func (c *Cached) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	most := cmp.Or(c.Most, 1<<16)
	for {
		c.mu.Lock()
		a, ok := c.known[host]
		if !ok {
			if c.known == nil || len(c.known) >= most {
				c.known = map[string]*answer{} // begun anew: bounded, and right
			}
			a = &answer{done: make(chan struct{})}
			c.known[host] = a
		}
		c.mu.Unlock()
		if !ok {
			a.addrs, a.err = c.Of.Addresses(ctx, host)
			if wire.KindOf(a.err) == wire.Canceled { // not an answer of the DNS
				c.mu.Lock()
				if c.known[host] == a {
					delete(c.known, host)
				}
				c.mu.Unlock()
			}
			close(a.done)
		}
		select {
		case <-a.done:
			if ok && wire.KindOf(a.err) == wire.Canceled && ctx.Err() == nil {
				continue // who asked has given up; we have not
			}
			return a.addrs, a.err
		case <-ctx.Done():
			return nil, wire.FailureOf(wire.OpResolve, ctx.Err())
		}
	}
}

func tidy(found []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(found))
	for _, a := range found {
		if a = a.Unmap(); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// At asks one server, over UDP and, where an answer is too long, TCP.
func At(server netip.AddrPort) Network {
	return Network{Resolver: &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.String())
		},
	}}
}
