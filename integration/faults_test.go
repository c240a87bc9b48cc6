package integration

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"herald/audit/mail"
)

var update = flag.Bool("update", false, "write the table of faults into docs/mail.md")

const (
	manual     = "../docs/mail.md"
	tableBegin = "<!-- The table of faults is made from integration/mail_faults.yaml: go test ./integration -update -->\n"
	tableEnd   = "<!-- end of the table of faults -->\n"
)

// The table in the manual is that of the tests.
func TestFaultsInManual(t *testing.T) {
	all, err := Faults()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s: the marks around the table of faults are missing", manual)
	}
	want := before + tableBegin + FaultTable(all) + tableEnd + after
	if *update {
		if err := os.WriteFile(manual, []byte(want), 0o666); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Errorf("%s is not of this table: go test ./integration -update", manual)
	}
}

// Each row is a domain of its own, tells what is wrong, and who has to find it.
func TestFaultsAreWhole(t *testing.T) {
	all, err := Faults()
	if err != nil {
		t.Fatal(err)
	}
	var domains []string
	for _, f := range all {
		if f.Domain == "" || slices.Contains(domains, f.Domain) {
			t.Errorf("%q: no domain, or one of another row", f.Domain)
		}
		domains = append(domains, f.Domain)
		if (f.Fault == "") == (f.Sound == "") || (f.Fault == "") != (len(f.Finds) == 0) {
			t.Errorf("%s: either a fault, and who finds it, or sound", f.Domain)
		}
		for _, id := range f.Finds {
			if _, twice := f.Also[id]; twice {
				t.Errorf("%s: %s finds the fault itself, or a consequence of it", f.Domain, id)
			}
		}
	}
	if len(all) < 40 {
		t.Errorf("%d rows", len(all))
	}
}

// Every check that can find a fault finds one that is planted, and nothing else finds it
// first: what it is for is in the table.
func TestEveryCheckHasItsFault(t *testing.T) {
	all, err := Faults()
	if err != nil {
		t.Fatal(err)
	}
	without := map[string]string{
		"C4": "found with C3, a fortnight later", "C7": "tells who has signed, no more", "I4": "tells what the server says of itself, no more",
		"S3": "tells what TLS changes, no more", "S5": "the sum of A1 to A4 and V1, with which it is found", "X6": "tells of greylisting, which is no fault",
	}
	found := map[string]bool{}
	for _, f := range all {
		for _, id := range f.Finds {
			found[id] = true
			if !slices.ContainsFunc(mail.Checks, func(c mail.Check) bool { return c.ID == id }) {
				t.Errorf("%s: there is no check %s", f.Domain, id)
			}
		}
	}
	for _, c := range mail.Checks {
		if c.Area == "round trip" { // its own tests
			continue
		}
		if found[c.ID] == (without[c.ID] != "") {
			t.Errorf("%s (%s): no fault is planted for it, or one is and none should be", c.ID, c.Title)
		}
	}
}
