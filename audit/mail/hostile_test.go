package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whatever a server does, a visit ends in time, in bounds, and in findings that can be
// written; the enumeration of versions and suites, and the injection, are part of it.
func TestHostileServers(t *testing.T) {
	roles := []Service{{Port: 25, Protocol: "smtp"}, {Port: 143, Protocol: "imap"}, {Port: 110, Protocol: "pop3"}, {Port: 4190, Protocol: "sieve"}, {Port: 993, Protocol: "imap"}}
	var all sync.WaitGroup
	for _, hostile := range wiretest.Servers() {
		at := wiretest.Start(t, hostile.Serve)
		for _, role := range roles {
			all.Go(func() { // most of the time is spent waiting
				if err := meet(t.Context(), at.Addr, role); err != nil {
					t.Errorf("%s as %s on %d: %v", hostile.Name, role.Protocol, role.Port, err)
				}
			})
		}
	}
	all.Wait()
}

// meet gathers from a server and judges it.
func meet(ctx context.Context, at netip.AddrPort, role Service) error {
	const limit = 300 * time.Millisecond
	g := Gatherer{Patience: limit, Space: -1, Injection: true, TLSScan: true, Caller: wire.Caller{
		Transport: towards{at}, Limits: wire.Limits{Dial: time.Minute, TLS: limit, Greeting: limit, Reply: limit, Whole: 4 * limit, Bytes: 64 << 10},
	}}
	facts, err := g.Gather(ctx, Question{Services: []string{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), role.Port).String()}})
	if err != nil {
		return err
	}
	var saved, table, lines bytes.Buffer
	findings := Judge(facts, Options{})
	if err := errors.Join(facts.Write(&saved), WriteTable(&table, facts, findings, Style{Why: true, All: true}), WriteLines(&lines, findings)); err != nil {
		return err
	}
	if saved.Len() > 1<<20 {
		return fmt.Errorf("%d bytes of facts", saved.Len())
	}
	for _, out := range []string{table.String(), lines.String()} {
		if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !safe(r) }); i >= 0 {
			return fmt.Errorf("an unprintable character gets out: %q", out[max(0, i-40):min(len(out), i+40)])
		}
	}
	return nil
}

// towards connects to one place, whatever is asked.
type towards struct{ to netip.AddrPort }

func (d towards) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	e.Addr = d.to
	return wire.Network{}.Dial(ctx, e)
}
