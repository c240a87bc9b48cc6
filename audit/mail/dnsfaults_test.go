package mail

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"herald/resolve"
	"herald/wire"
)

func (f filtered) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	if e.Addr.Port() == f.port {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	return f.Transport.Dial(ctx, e)
}

// fourOnly is a network without IPv6.
type fourOnly struct{ wire.Transport }

func (f fourOnly) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	if e.Addr.Addr().Is6() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return f.Transport.Dial(ctx, e)
}

// silent is a network where nothing is heard from a port, and no wait for it takes time: the
// others keep all the patience that a busy machine needs.
type silent struct {
	wire.Transport
	port uint16
}

func (s silent) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	c, err := s.Transport.Dial(ctx, e)
	if err != nil || e.Addr.Port() != s.port {
		return c, err
	}
	return noWords{c}, nil
}

type noWords struct{ net.Conn }

func (noWords) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// records are the world's zone.
func (w *world) records(t *testing.T) resolve.Records {
	z, err := resolve.ReadZone("good.zone", strings.NewReader(w.zone))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// failing answers every question about the domain itself with a failure.
type failing struct {
	resolve.Records
	status resolve.Status
}

func (b failing) Lookup(ctx context.Context, name string, qtype uint16) resolve.Answer {
	if n := dns.CanonicalName(name); dns.IsSubDomain("good.test.", n) {
		return resolve.Answer{Name: n, Type: dns.Type(qtype).String(), Status: b.status, Server: "192.0.2.53:53"}
	}
	return b.Records.Lookup(ctx, name, qtype)
}

// docker knows addresses alone, as the resolver in a container does.
type docker struct{ resolve.Records }

func (d docker) Lookup(ctx context.Context, name string, qtype uint16) resolve.Answer {
	a := d.Records.Lookup(ctx, name, qtype)
	a.Server = "127.0.0.11:53"
	if (qtype == dns.TypeMX || qtype == dns.TypeTXT || qtype == dns.TypeSRV) && dns.IsSubDomain("good.test.", a.Name) {
		a.Status, a.Records = resolve.NoData, nil
	}
	return a
}
