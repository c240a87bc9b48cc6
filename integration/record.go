package integration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// Recording is a conversation with a server of the zoo, as a transcript for the probes'
// tests.
type Recording struct {
	Probe      string // the folder it belongs into
	Name       string // of the file, without ".txt": "dovecot-2.3.19-tls"
	Transcript *wire.Transcript
}

// RecordingOf makes a recording of what a scan saw: the one conversation that settled the
// protocol, with what was concluded from it. The error says why it is no good as a test.
func RecordingOf(s *scan.Service, name, note string) (*Recording, error) {
	p := probes.Named(s.Protocol)
	if p == nil {
		return nil, fmt.Errorf("%s: the protocol was not found", name)
	}
	i := slices.IndexFunc(s.Seen, func(o *probes.Observation) bool {
		return o.Speaks() == s.Protocol && (o.Confirmed || o.Declined) && o.After == nil
	})
	if i < 0 {
		return nil, fmt.Errorf("%s: no conversation in %s by itself", name, s.Protocol)
	}
	t := s.Transcript()
	t.Notes = []string{note}
	t.Exchanges = []wire.Exchange{s.Seen[i].Exchange()}
	if wrongOf(t, s.Protocol) != "" { // a client may have said which port it speaks to
		t.Conclusions = append(t.Conclusions, "port "+strconv.Itoa(int(s.Endpoint.Addr.Port())))
	}
	if wrong := wrongOf(t, s.Protocol); wrong != "" {
		return nil, fmt.Errorf("%s: the conversation alone does not conclude what the scan did: %s", name, wrong)
	}
	return &Recording{Probe: s.Protocol, Name: name, Transcript: t}, nil
}

// wrongOf says which of a transcript's conclusions does not hold now, "" where all do.
func wrongOf(t *wire.Transcript, probe string) string {
	s := scan.Replay(context.Background(), scan.Options{}, t, scan.ReplayTarget(t))
	for _, line := range t.Conclusions {
		if got, ok := scan.Concludes(s, probe, line); !ok {
			return fmt.Sprintf("= %s: it is %s", line, got)
		}
	}
	return ""
}

// Due says why a recording has to be written: none in its folder concludes this, or the
// one under its name now concludes something else, be it that the probe asks otherwise or
// that the signatures say otherwise. "" leaves the folder alone: another date, another
// order of packets, another certificate are no reason.
func (r *Recording) Due(testdata fs.FS) (string, error) {
	old, err := readRecording(testdata, r.Probe, r.Name+".txt")
	if err == nil {
		return wrongOf(old, r.Probe), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	files, err := fs.Glob(testdata, path.Join(r.Probe, "*.txt"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		other, err := readRecording(testdata, r.Probe, path.Base(file))
		if err != nil {
			return "", err
		}
		if r.saidBy(other) && wrongOf(other, r.Probe) == "" {
			return "", nil
		}
	}
	return "there is none", nil
}

// saidBy says whether another transcript concludes all that this one does, and is
// protected alike.
func (r *Recording) saidBy(other *wire.Transcript) bool {
	if upgrades(other) != upgrades(r.Transcript) {
		return false
	}
	for _, line := range r.Transcript.Conclusions {
		if !strings.HasPrefix(line, "port ") && !slices.Contains(other.Conclusions, line) {
			return false
		}
	}
	return true
}

// upgrades is where TLS begins in a transcript: with the first event, later, nowhere.
func upgrades(t *wire.Transcript) string {
	for _, x := range t.Exchanges {
		for i, e := range x.Events {
			switch {
			case e.Mark == '!' && i == 0:
				return "first"
			case e.Mark == '!':
				return "later"
			}
		}
	}
	return ""
}

func readRecording(testdata fs.FS, probe, name string) (*wire.Transcript, error) {
	return wire.ReadRecording(testdata, path.Join(probe, name))
}

// Write puts the recording into the folder of its probe, with the certificates it names.
func (r *Recording) Write(dir string) error {
	folder := filepath.Join(dir, r.Probe)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	for name, pem := range r.Transcript.NameCertificates() {
		if err := os.WriteFile(filepath.Join(folder, name), pem, 0o666); err != nil {
			return err
		}
	}
	var text strings.Builder
	if _, err := r.Transcript.WriteTo(&text); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, r.Name+".txt"), []byte(text.String()), 0o666)
}

// NameIn is the file's name in a folder of recordings: the server and its version, and
// what tells it from the same server's other ports. A server may have several names, the
// first of which is used where none has a file yet. Where the version is not known, the
// file that is there already says it.
func NameIn(testdata fs.FS, probe string, servers []string, version, suffix string) string {
	if suffix != "" {
		suffix = "-" + suffix
	}
	plain := version
	if version == "" {
		plain = "[0-9]*"
	}
	for _, server := range servers {
		files, _ := fs.Glob(testdata, path.Join(probe, server+"-"+plain+suffix+".txt"))
		for _, file := range files {
			name := strings.TrimSuffix(path.Base(file), ".txt")
			if !strings.Contains(strings.TrimSuffix(strings.TrimPrefix(name, server+"-"), suffix), "-") {
				return name
			}
		}
	}
	if version != "" {
		version = "-" + version
	}
	return servers[0] + version + suffix
}
