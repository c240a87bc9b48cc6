package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"herald/scan"
)

// transcriptSink writes the transcript of each service into a directory, then hands the
// service on.
type transcriptSink struct {
	scan.Sink
	dir string
}

func (t *transcriptSink) Write(ctx context.Context, s *scan.Service) error {
	if err := writeTranscript(t.dir, s); err != nil {
		return err
	}
	return t.Sink.Write(ctx, s)
}

func (t *transcriptSink) Flush() error { return flush(t.Sink) }

// writeTranscript names the file by the address and port; certificates lie beside it.
func writeTranscript(dir string, s *scan.Service) error {
	transcript := s.Transcript()
	for name, chain := range transcript.NameCertificates() {
		if err := os.WriteFile(filepath.Join(dir, name), chain, 0o644); err != nil {
			return err
		}
	}
	var text strings.Builder
	if _, err := transcript.WriteTo(&text); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, transcriptName(s)), []byte(text.String()), 0o644)
}

func transcriptName(s *scan.Service) string {
	host := s.Target.Host
	if s.Endpoint.Addr.IsValid() {
		host = s.Endpoint.Addr.Addr().String()
	}
	safe := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' {
			return r
		}
		return '_'
	}, host)
	if len(safe) > 120 {
		safe = safe[:100] + hex.EncodeToString([]byte(safe[100:110]))
	}
	return fmt.Sprintf("%s_%d.txt", safe, s.Target.Port)
}
