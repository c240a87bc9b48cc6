package main

import (
	"bytes"
	"io/fs"
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
	files, err := fs.Glob(probes.Recordings, "testdata/*/*.txt")
	if err != nil || len(files) < 100 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		tr, err := wire.ReadRecording(probes.Recordings, file)
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
		items := 0
		for item, err := range recorded.Read("line", &line, recorded.Options{}) {
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			items++
			if s.Protocol != "" && item.Protocol != s.Protocol || !slices.EqualFunc(item.Heard, s.Evidence(), sameEvidence) {
				t.Errorf("%s: %s with %v is read as %s with %v", file, s.Protocol, s.Evidence(), item.Protocol, item.Heard)
			}
		}
		if items != 1 {
			t.Errorf("%s: %d records of one line", file, items)
		}
	}
}

func sameEvidence(a, b fingerprint.Evidence) bool {
	return a.Key == b.Key && bytes.Equal(a.Text, b.Text) && a.TLS == b.TLS
}
