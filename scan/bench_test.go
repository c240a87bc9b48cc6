package scan

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"herald/probes"
	"herald/wire"
)

// again plays the first conversation of a transcript on each connection.
type again struct{ *wire.Transcript }

func (a again) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	return (&wire.Replay{Transcript: a.Transcript, AnyWords: true}).Dial(ctx, e)
}

// BenchmarkLook is a whole look at one endpoint without a network: the walk, the probe and the
// signatures, against a recorded server.
func BenchmarkLook(b *testing.B) {
	for _, name := range []string{"smtp/exim-4.96", "ftp/vsftpd-3.0.3", "imap/courier-5.0.13", "pop3/dovecot-2.3.19", "nntp/leafnode-1.12.0", "http/lighttpd-1.4"} {
		b.Run(name, func(b *testing.B) {
			recorded, err := wire.ReadRecording(probes.Recordings, "testdata/"+name+".txt")
			if err != nil {
				b.Fatal(err)
			}
			target := ReplayTarget(recorded)
			target.Port = usualPort(filepath.Dir(name))
			endpoint := wire.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1")}
			s := New(Options{Caller: wire.Caller{Transport: again{recorded}}})
			protocol := ""
			b.ReportAllocs()
			for b.Loop() {
				protocol = s.Look(b.Context(), target, endpoint).Protocol
			}
			if protocol != filepath.Dir(name) {
				b.Errorf("told as %q", protocol)
			}
		})
	}
}
