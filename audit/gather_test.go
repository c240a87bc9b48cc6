package audit

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"herald/scan"
	"herald/wire"
)

// late refuses connections at first, as a server does that is still starting.
type late struct {
	wire.Transport
	refuses atomic.Int32
}

func (l *late) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	if l.refuses.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return l.Transport.Dial(ctx, e)
}

// player gives a recording that can be asked several times.
type player struct {
	t    *testing.T
	text []byte
}

func (p player) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	transcript, err := wire.ReadTranscript("recording", bytes.NewReader(p.text), nil)
	if err != nil {
		p.t.Error(err)
		return nil, err
	}
	return (&wire.Replay{Transcript: transcript}).Dial(ctx, e)
}

// With "eventually" a service that is late is looked at again until it holds; without, the
// first look is the verdict.
func TestEventually(t *testing.T) {
	text, err := os.ReadFile("../probes/testdata/pop3/popa3d-1.0.3.txt")
	if err != nil {
		t.Fatal(err)
	}
	const file = `
version: 1
defaults: {EVENTUALLY}
services:
  - {id: pop3, at: "192.0.2.1:110", expect: pop3}
`
	for words, want := range map[string]State{"eventually: 1m": Pass, "unknown: fail": Fail} {
		f, err := Parse("a.yaml", strings.NewReader(strings.Replace(file, "EVENTUALLY", words, 1)), nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := &late{Transport: player{t, text}}
		transport.refuses.Store(2)
		facts, findings, err := Run(t.Context(), f, scan.Options{Caller: wire.Caller{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		if len(findings) != 1 || findings[0].State != want || len(facts.Services) != 1 {
			t.Errorf("%s: %+v", words, findings)
		}
	}
}
