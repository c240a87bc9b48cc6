package scan

import (
	"context"
	"net/netip"
	"strings"

	"herald/wire"
)

// replayAddress stands for the server of a transcript that does not name its own; it is
// reserved for documentation (RFC 5737).
var replayAddress = netip.MustParseAddr("192.0.2.1")

// ReplayTarget is the target that a transcript's first note names ("herald scan TARGET"),
// or a nameless one on port 0, of which nothing is expected.
func ReplayTarget(t *wire.Transcript) Target {
	for _, note := range t.Notes {
		text, ok := strings.CutPrefix(note, "herald scan ")
		if !ok {
			continue
		}
		spec, err := ParseSpec(text)
		if err != nil || len(spec.Ports) != 1 {
			continue
		}
		for target := range spec.Targets(nil) {
			return target
		}
	}
	return Target{Host: replayAddress.String(), Addr: replayAddress}
}

// Replay leads a recorded endpoint through the same walk as [Scanner.Look], without a
// network.
func Replay(ctx context.Context, t *wire.Transcript, target Target) *Service {
	addr := target.Addr
	if !addr.IsValid() {
		addr = replayAddress
	}
	e := wire.Endpoint{Addr: netip.AddrPortFrom(addr, target.Port)}
	if !target.Addr.IsValid() {
		e.Name = target.Host
	}
	return New(Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: t}}}).Look(ctx, target, e)
}
