package integration

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
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
