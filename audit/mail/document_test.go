package mail

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const (
	checksBegin = "<!-- made from audit/mail's registry: go test ./audit/mail -run Document -update -->\n"
	checksEnd   = "<!-- end -->\n"
)

// docs/mail.md lists every check, as the registry has it.
func TestDocument(t *testing.T) {
	const name = "../../docs/mail.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), checksBegin)
	_, after, ended := strings.Cut(rest, checksEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the checks", name)
	}
	var b strings.Builder
	for _, area := range Areas {
		fmt.Fprintf(&b, "\n### %s\n\n| check | severity | what must be so | standard |\n|---|---|---|---|\n", strings.ToUpper(area[:1])+area[1:])
		for _, c := range Checks {
			if c.Area == area {
				fmt.Fprintf(&b, "| **%s** %s | %s | %s | %s |\n", c.ID, c.Title, c.Severity, c.Rule, c.Ref)
			}
		}
	}
	want := before + checksBegin + b.String() + "\n" + checksEnd + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("%s is not as the registry has it: go test ./audit/mail -run Document -update", name)
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every check has what a reader needs, and an id of its own.
func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks {
		switch {
		case seen[c.ID]:
			t.Errorf("%s: twice", c.ID)
		case !slices.Contains(Areas, c.Area):
			t.Errorf("%s: area %q", c.ID, c.Area)
		case !slices.Contains(Severities, c.Severity):
			t.Errorf("%s: severity %q", c.ID, c.Severity)
		case c.Title == "" || c.Rule == "" || c.Ref == "":
			t.Errorf("%s: without title, rule or reference", c.ID)
		}
		seen[c.ID] = true
	}
}

// README tells how many checks there are.
func TestNumberOfChecks(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d checks", len(Checks)); !strings.Contains(string(text), want) {
		t.Errorf("README.md does not say that there are %s", want)
	}
}
