package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
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
	for _, role := range []Service{{Port: 25, Protocol: "smtp"}, {Port: 143, Protocol: "imap"}, {Port: 110, Protocol: "pop3"}, {Port: 4190, Protocol: "sieve"}, {Port: 993, Protocol: "imap"}} {
		t.Run(fmt.Sprintf("%s on %d", role.Protocol, role.Port), func(t *testing.T) {
			t.Parallel()
			for some := range slices.Chunk(wiretest.Servers(), 20) {
				atNoon(t, func(t *testing.T) {
					var all sync.WaitGroup
					for _, hostile := range some {
						all.Go(func() {
							if err := meet(t.Context(), hostile.Serve, role); err != nil {
								t.Errorf("%s: %v", hostile.Name, err)
							}
						})
					}
					all.Wait()
				})
			}
		})
	}
}

// meet gathers from a server and judges it.
func meet(ctx context.Context, serve func(net.Conn), role Service) error {
	const limit = 10 * time.Second
	g := Gatherer{Patience: limit, Space: -1, Injection: true, TLSScan: true, Caller: wire.Caller{
		Transport: wiretest.Only(serve), Limits: wire.Limits{TLS: limit, Greeting: limit, Reply: limit, Whole: 4 * limit, Bytes: 64 << 10},
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
