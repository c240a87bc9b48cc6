package scan_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// Every transcript of the probes' tests, led through the whole walk, gives what its "="
// lines say, with nothing but the file to go by.
func TestReplayConcludesWhatTranscriptsSay(t *testing.T) {
	files, err := fs.Glob(probes.Recordings, "testdata/*/*.txt")
	if err != nil || len(files) < 200 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt")
		t.Run(name, func(t *testing.T) {
			tr := transcript(t, file)
			s := scan.Replay(context.Background(), scan.Options{}, tr, scan.ReplayTarget(tr))
			if why := otherWay[name]; why != "" {
				if s.Confirmed || len(s.Seen) == 0 || s.Seen[0].Failure == nil || !errors.Is(s.Seen[0].Failure, wire.ErrOtherWords) {
					t.Errorf("it goes the way of the record, though %s", why)
				}
				return
			}
			var wrong []string
			for _, line := range tr.Conclusions {
				if got, ok := scan.Concludes(s, path.Base(path.Dir(file)), line); !ok {
					wrong = append(wrong, fmt.Sprintf("= %s: it is %s", line, got))
				}
			}
			if wrong != nil {
				t.Errorf("%s\n%s", strings.Join(wrong, "\n"), steps(s))
			}
		})
	}
}

// otherWay are the records of conversations that a scan would not hold.
var otherWay = map[string]string{
	"smtp/dovecot-2.3.19-lmtp": "the record is of the probe smtp; a scan knows the greeting, and lets lmtp speak",
}

func transcript(t *testing.T, file string) *wire.Transcript {
	t.Helper()
	tr, err := wire.ReadRecording(probes.Recordings, file)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func steps(s *scan.Service) string {
	var b strings.Builder
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "  connection %d  %s: %s\n", step.Connection, step.What, step.Why)
	}
	return b.String()
}

// What a scan writes down replays to what the scan concluded, connections that were left
// listening included.
func TestTranscriptsOfScansReplay(t *testing.T) {
	slow := &wire.Transcript{
		Notes: []string{"herald scan 192.0.2.1:10025"},
		Exchanges: []wire.Exchange{
			{Events: []wire.Event{{Mark: '>', Data: request("192.0.2.1:10025")}}, End: "read timeout"},
			{Events: []wire.Event{{Mark: '~', Wait: 6e9}, {Mark: '<', Data: []byte("220 slow.example ESMTP Postfix\r\n")}}, End: "read closed"},
			{End: "handshake timeout"},
		},
	}
	all := map[string]*wire.Transcript{"slow": slow}
	files, err := fs.Glob(probes.Recordings, "testdata/*/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		all[file] = transcript(t, file)
	}
	for name, tr := range all {
		first := scan.Replay(context.Background(), scan.Options{}, tr, scan.ReplayTarget(tr))
		if name == "slow" && first.Claim("product") != "Postfix" {
			t.Errorf("the slow server is %q %q\n%s", first.Protocol, first.Claim("product"), steps(first))
		}
		written := first.Transcript()
		again := scan.Replay(context.Background(), scan.Options{}, written, scan.ReplayTarget(written))
		if got, want := summary(again), summary(first); got != want {
			t.Errorf("%s: replayed it is %s, it was %s\n%s", name, got, want, steps(again))
		}
	}
}

func request(host string) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: " + wire.DefaultUserAgent + "\r\nAccept: */*\r\n\r\n")
}

func summary(s *scan.Service) string {
	return fmt.Sprintf("%q confirmed %v declined %v %s %q %q", s.Protocol, s.Confirmed, s.Declined, s.Security, s.Claim("product"), s.Claim("version"))
}
