package scan

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"herald/wire"
)

// BenchmarkLook is a whole look at one endpoint without a network: the walk, the probe and the
// signatures, against a recorded server. It makes a scanner each time, since a replay is played once.
func BenchmarkLook(b *testing.B) {
	for _, name := range []string{"smtp/exim-4.96", "ftp/vsftpd-3.0.3", "imap/cyrus-3.6.1", "pop3/dovecot-2.3.19", "nntp/inn-2.7.1"} {
		b.Run(name, func(b *testing.B) {
			file := filepath.Join("..", "probes", "testdata", name+".txt")
			text, err := os.Open(file)
			if err != nil {
				b.Fatal(err)
			}
			defer text.Close()
			recorded, err := wire.ReadTranscript(file, text, func(cert string) ([]byte, error) { return os.ReadFile(filepath.Join(filepath.Dir(file), cert)) })
			if err != nil {
				b.Fatal(err)
			}
			target := ReplayTarget(recorded)
			target.Port = usualPort(filepath.Dir(name))
			endpoint := wire.Endpoint{Addr: netip.AddrPortFrom(target.Addr, target.Port)}
			protocol := ""
			b.ReportAllocs()
			for b.Loop() {
				s := New(Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: recorded}}})
				protocol = s.Look(b.Context(), target, endpoint).Protocol
			}
			if protocol != filepath.Dir(name) {
				b.Errorf("told as %q", protocol)
			}
		})
	}
}
