package scan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"herald/wire"
)

// Endpoints where one conversation suggests another: testdata/then has them as recorded by
// the whole walk, all connections in their order.
func TestOneConversationLeadsToTheNext(t *testing.T) {
	files, err := filepath.Glob("testdata/then/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			tr, err := wire.ReadTranscript(file, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			target := ReplayTarget(tr)
			if target.Port == 0 {
				t.Fatal("no note says \"herald scan TARGET\"")
			}
			s := Replay(t.Context(), Options{}, tr, target)
			if s.Connections != len(tr.Exchanges) {
				t.Errorf("%d connections, recorded %d; steps %v", s.Connections, len(tr.Exchanges), s.Steps)
			}
			if s.Failure != nil {
				t.Errorf("failure %v", s.Failure)
			}
			for _, line := range tr.Conclusions {
				word, want, _ := strings.Cut(line, " ")
				got := s.Claim(word)
				if word == "confirmed" && s.Confirmed {
					got = s.Protocol
				}
				if got != want {
					t.Errorf("%s is %q, want %q", word, got, want)
				}
			}
		})
	}
}
