//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"herald/audit"
	"herald/report"
	"herald/scan"
)

const composeFile = "../docker-compose.yml"

// composed reads the repository's Compose file.
func composed(t *testing.T, profiles ...string) *audit.File {
	t.Helper()
	data, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	file, err := audit.Compose(t.Context(), composeFile, data, audit.ComposeOptions{Profiles: profiles})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// isOfBroken says whether a service of the file is wrong on purpose.
func isOfBroken(s *audit.Service) bool { return strings.HasPrefix(s.ID, "broken-") }

// Nothing is reported on the good servers: neither a fail, nor a warning, nor an unknown.
func TestAuditFindsNothingOnGoodServers(t *testing.T) {
	if _, err := Zoo(); err != nil {
		t.Fatal(err)
	}
	file := composed(t)
	file.Services = slices.DeleteFunc(file.Services, isOfBroken)
	if len(file.Services) < 100 {
		t.Fatalf("only %d places are named", len(file.Services))
	}
	file.Defaults.Eventually = time.Minute // a busy machine answers late
	_, findings, err := audit.Run(t.Context(), file, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, f := range findings {
		switch f.State {
		case audit.Pass:
			passed++
		case audit.NA:
		default:
			t.Errorf("%s %s at %s: %s: expected %s, seen %s (%s)", f.Service, f.Where, f.ID, f.State, f.Expected, f.Seen, f.Evidence)
		}
	}
	if passed < 2*len(file.Services) {
		t.Errorf("%d expectations passed at %d places: too few to prove anything", passed, len(file.Services))
	}
}

// Every planted fault is found, by its own finding and by no other.
func TestAuditFindsPlantedFaults(t *testing.T) {
	planted, err := Planted()
	if err != nil {
		t.Fatal(err)
	}
	file := composed(t, "broken")
	file.Services = slices.DeleteFunc(file.Services, func(s *audit.Service) bool { return !isOfBroken(s) })
	facts, err := audit.Gather(t.Context(), file, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, s := range file.Services {
		found[s.ID] = nil
	}
	for _, f := range audit.Judge(file, facts) {
		if f.State != audit.Pass && f.State != audit.NA {
			found[f.Service] = append(found[f.Service], f.ID)
		}
	}
	for service, finding := range planted {
		if got := found[service]; len(got) != 1 || got[0] != finding {
			t.Errorf("%s: found %v, want %s alone", service, got, finding)
		}
	}
	if names := slices.Sorted(maps.Keys(found)); len(names) != len(planted) || len(names) < 7 {
		t.Errorf("the file has %v, running are %v", names, slices.Sorted(maps.Keys(planted)))
	}
}

// What is learnt from the zoo holds right after.
func TestLearnThenAudit(t *testing.T) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	var targets []scan.Target
	for _, s := range zoo {
		targets = append(targets, scan.Target{Host: s.Published.Addr().String(), Addr: s.Published.Addr(), Port: s.Published.Port()})
	}
	facts, err := audit.GatherTargets(t.Context(), targets, nil, scan.Options{PerHost: 64})
	if err != nil {
		t.Fatal(err)
	}
	var learnt bytes.Buffer
	if err := audit.Learn(&learnt, facts); err != nil {
		t.Fatal(err)
	}
	file, err := audit.Parse("learnt.yaml", bytes.NewReader(learnt.Bytes()), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, learnt.String())
	}
	if len(file.Services) != len(zoo) {
		t.Errorf("%d services learnt of %d", len(file.Services), len(zoo))
	}
	file.Defaults.Eventually = time.Minute // a busy machine answers late
	_, findings, err := audit.Run(t.Context(), file, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.State != audit.Pass && f.State != audit.NA {
			t.Errorf("%s %s: %s: expected %s, seen %s (%s)", f.Service, f.ID, f.State, f.Expected, f.Seen, f.Evidence)
		}
	}
}

// A version that changes between two scans is the only difference that is shown.
func TestDiffShowsAPlantedVersion(t *testing.T) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	var at []scan.Target
	for _, s := range zoo {
		if s.Package != "" && s.Protocol == "http" || s.Protocol == "ssh" || s.Service == "exim" {
			at = append(at, scan.Target{Host: s.Published.Addr().String(), Addr: s.Published.Addr(), Port: s.Published.Port(), Position: uint64(len(at))})
		}
	}
	if len(at) < 3 {
		t.Fatalf("only %d servers to compare", len(at))
	}
	older := scanned(t, at, nil)
	newer := scanned(t, at, func(r *report.Record) {
		if r.Product == "Exim" {
			r.Version = "9.99"
		}
	})
	changes := audit.Diff(older, newer)
	if len(changes) != 1 || changes[0].What != "changed" || changes[0].Field != "version" || changes[0].New != "9.99" {
		t.Errorf("changes: %+v", changes)
	}
}

// scanned is one scan as its JSON lines say it, after a change of some of them.
func scanned(t *testing.T, targets []scan.Target, change func(*report.Record)) *audit.Scan {
	t.Helper()
	source := func(yield func(scan.Target, error) bool) {
		for _, target := range targets {
			if !yield(target, nil) {
				return
			}
		}
	}
	lines := &recordLines{change: change}
	if err := scan.New(scan.Options{}).Run(t.Context(), source, lines); err != nil {
		t.Fatal(err)
	}
	s, err := audit.ReadScan("scan.jsonl", &lines.text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recordLines writes records as JSON lines, changed.
type recordLines struct {
	text   bytes.Buffer
	change func(*report.Record)
}

func (l *recordLines) Write(_ context.Context, s *scan.Service) error {
	r := report.RecordOf(s)
	if l.change != nil {
		l.change(r)
	}
	return json.NewEncoder(&l.text).Encode(r)
}

func (l *recordLines) Close() error { return nil }
