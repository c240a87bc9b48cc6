package integration

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed mail_faults.yaml
var faultsFile []byte

// Fault is one row of mail_faults.yaml: a domain of the small internet of mail, what is
// wrong with it, and which checks have to find that. How the fault is planted is read by
// images/mail-net/world.py.
type Fault struct {
	Domain    string            `yaml:"domain"`
	Fault     string            `yaml:"fault"`
	Sound     string            `yaml:"sound"` // instead of a fault: what it is that nothing is wrong with
	Finds     []string          `yaml:"finds"` // checks that find it
	Also      map[string]string `yaml:"also"`  // checks that find a consequence, and why
	Injection bool              `yaml:"injection"`
	TLSScan   bool              `yaml:"tls_scan"`

	Drop       []string          `yaml:"drop"`
	Add        []string          `yaml:"add"`
	DNSSEC     string            `yaml:"dnssec"`
	Host       map[string]any    `yaml:"host"`
	Clients    bool              `yaml:"clients"`
	Policy     map[string]any    `yaml:"policy"`
	Autoconfig map[string]string `yaml:"autoconfig"`

	Autodiscover map[string]any `yaml:"autodiscover"`
}

// Faults reads the table. The error names line and column.
func Faults() ([]Fault, error) {
	var all []Fault
	if err := yaml.NewDecoder(bytes.NewReader(faultsFile), yaml.Strict()).Decode(&all); err != nil {
		return nil, fmt.Errorf("mail_faults.yaml: %w", err)
	}
	return all, nil
}

// FaultTable is the table of docs/mail.md, in Markdown.
func FaultTable(all []Fault) string {
	var b strings.Builder
	b.WriteString("| domain | what is wrong | found by | found with it |\n|---|---|---|---|\n")
	for _, f := range all {
		var also []string
		for _, id := range slices.Sorted(maps.Keys(f.Also)) {
			also = append(also, id+" ("+f.Also[id]+")")
		}
		what := f.Fault
		if what == "" {
			what = "nothing: " + f.Sound
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.Domain, what, strings.Join(f.Finds, ", "), strings.Join(also, "; "))
	}
	return b.String()
}
