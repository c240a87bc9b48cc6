//go:build integration

package integration

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"herald/scan"
)

// recordInto is where recordings go: probes/testdata, or a copy of it.
var recordInto = flag.String("record", os.Getenv("HERALD_RECORD"), "record the zoo's conversations into `DIR`, as probes/testdata is laid out; also HERALD_RECORD")

// TestRecord records what herald says and hears at every server of the zoo. With a
// directory to write to, a file there is rewritten if the old one now concludes something
// else; without one nothing is written, and that everything can be recorded is the test.
func TestRecord(t *testing.T) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	dir := cmp.Or(*recordInto, filepath.Join("..", "probes", "testdata"))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Fatalf("%s is no directory: %v", dir, err)
	}
	found := scanZoo(t, zoo)
	recorded := 0
	for _, s := range zoo {
		f := found[s.Published]
		if f == nil || f.Protocol != s.Protocol {
			continue // TestZoo complains
		}
		version := ""
		if s.Package != "" {
			if version, err = s.PackageVersion(); err != nil {
				t.Fatal(err)
			}
		}
		name := NameIn(os.DirFS(dir), s.Protocol, serverNames(s), version, portName(zoo, s))
		note := cmp.Or(s.Product, s.Service) + " " + version + ", Debian bookworm, recorded " + time.Now().UTC().Format(time.DateOnly)
		r, err := RecordingOf(f, name, note)
		if err != nil {
			t.Logf("not recorded: %v", err)
			continue
		}
		recorded++
		why, err := r.Due(os.DirFS(dir))
		switch {
		case err != nil:
			t.Error(err)
		case why != "" && *recordInto == "":
			t.Logf("due: %s/%s: %s", r.Probe, r.Name, why)
		case why != "":
			t.Logf("written: %s/%s: %s", r.Probe, r.Name, why)
			if err := r.Write(dir); err != nil {
				t.Error(err)
			}
		}
	}
	if recorded < len(zoo)/2 {
		t.Errorf("only %d of %d servers can be recorded", recorded, len(zoo))
	}
}

// serverNames are the product in lower case, without blanks, and the container's name.
func serverNames(s Served) []string {
	if s.Product == "" {
		return []string{s.Service}
	}
	return []string{strings.ReplaceAll(strings.ToLower(s.Product), " ", "-"), s.Service}
}

// portName tells a port from the server's others of the same protocol, "" for the first.
func portName(zoo []Served, s Served) string {
	if s.Security == "tls" {
		return "tls"
	}
	for _, other := range zoo {
		if other.Service == s.Service && other.Protocol == s.Protocol && other.Security != "tls" && other.Port < s.Port {
			if p := scan.PortNamed(s.Port); p != nil {
				return p.Service
			}
			return "other"
		}
	}
	return ""
}
