package main

import (
	"bytes"
	"path"
	"slices"
	"testing"

	"herald/fingerprint"
	"herald/probes"
	"herald/recorded"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

// What a scan writes, identify reads: every recording's line is read again, and gives the
// same evidence.
func TestIdentifyReadsWhatScanWrites(t *testing.T) {
	files, err := probes.Recordings.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, dir := range files {
		list, err := probes.Recordings.ReadDir(path.Join("testdata", dir.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if path.Ext(f.Name()) != ".txt" {
				continue
			}
			file := path.Join("testdata", dir.Name(), f.Name())
			data, err := probes.Recordings.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tr, err := wire.ReadTranscript(file, bytes.NewReader(data), func(cert string) ([]byte, error) {
				return probes.Recordings.ReadFile(path.Join(path.Dir(file), cert))
			})
			if err != nil {
				t.Fatal(err)
			}
			s := scan.Replay(t.Context(), scan.Options{}, tr, scan.ReplayTarget(tr))
			var line bytes.Buffer
			sink := report.NewJSONLines(&line, 0)
			if err := sink.Write(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if err := sink.Close(); err != nil {
				t.Fatal(err)
			}
			for item, err := range recorded.Read("line", &line, recorded.Options{}) {
				if err != nil {
					t.Errorf("%s: %v", file, err)
					continue
				}
				read++
				want := s.Evidence()
				if item.Protocol != s.Protocol && s.Protocol != "" || !slices.EqualFunc(item.Heard, want, sameEvidence) {
					t.Errorf("%s: %s with %v is read as %s with %v", file, s.Protocol, want, item.Protocol, item.Heard)
				}
			}
		}
	}
	if read < 100 {
		t.Errorf("only %d lines were read", read)
	}
}

func sameEvidence(a, b fingerprint.Evidence) bool {
	return a.Key == b.Key && bytes.Equal(a.Text, b.Text) && a.TLS == b.TLS
}
