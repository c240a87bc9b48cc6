package scan

import (
	"context"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"herald/wire"
)

// scarce is a transport of a machine that has no file to spare for a while.
type scarce struct {
	wire.Transport
	without atomic.Int32 // so many dials fail
	errno   syscall.Errno
}

func (s *scarce) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	if s.without.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", s.errno)}
	}
	return s.Transport.Dial(ctx, e)
}

type kept []*Service

func (k *kept) Write(_ context.Context, s *Service) error { *k = append(*k, s); return nil }
func (k *kept) Close() error                              { return nil }

// What this machine cannot do now is done later; what it never can is untried, not closed.
func TestExhaustionIsWaitedFor(t *testing.T) {
	for _, test := range []struct {
		what    string
		errno   syscall.Errno
		without int32
		verdict Verdict
	}{
		{"no files for a while", syscall.EMFILE, 4, Unexpected},
		{"no ports for a while", syscall.EADDRNOTAVAIL, 1, Unexpected},
		{"no files at all", syscall.EMFILE, 1000, Untried},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte("* OK IMAP4rev1 ready\r\n")}}, End: "read closed"}
				way := &scarce{Transport: &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x, x, x}}}, errno: test.errno}
				way.without.Store(test.without)
				target := Target{Host: "192.0.2.1", Addr: netip.MustParseAddr("192.0.2.1"), Port: 4000}
				var found kept
				err := New(Options{Workers: 1, Caller: wire.Caller{Transport: way}}).Run(t.Context(), func(yield func(Target, error) bool) { yield(target, nil) }, &found)
				if err != nil || len(found) != 1 || found[0].Verdict != test.verdict {
					t.Fatalf("%v, %v; wanted one service that is %s", err, found[0].Verdict, test.verdict)
				}
				if test.verdict == Untried && found[0].Failure.Kind != wire.Exhausted {
					t.Errorf("failure %v", found[0].Failure)
				}
			})
		})
	}
}
