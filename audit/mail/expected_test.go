package mail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"herald/audit"
)

// sectionOf reads a file of expectations whose domains are good.test's.
func sectionOf(t *testing.T, expect string) (*audit.File, *Domains) {
	t.Helper()
	text := "version: 1\ndomains:\n  - name: good.test\n    dkim: [s1]\n    expect: {" + expect + "}\n"
	f, err := audit.Parse("herald.yaml", strings.NewReader(text), map[string]audit.Section{"domains": Section})
	if err != nil {
		t.Fatal(err)
	}
	return f, f.Checks[0].(*Domains)
}

// What is expected of a domain beyond the checks, held against one where all is right.
func TestExpectedOfDomain(t *testing.T) {
	for _, test := range []struct{ expect, want string }{
		{"mx: mx1.good.test", "pass domain-mx"},
		{"mx: [MX1.good.test., mx2.good.test]", "fail domain-mx"},
		{"mx: {contains: [mx1.good.test], lacks: [mx2.good.test]}", "pass domain-mx, pass domain-mx"},
		{"mx: {contains: [mx2.good.test]}", "fail domain-mx"},
		{"spf: {result_for: {192.0.2.25: pass, 203.0.113.7: [softfail, fail]}}", "pass domain-spf-result, pass domain-spf-result"},
		{"spf: {result_for: {203.0.113.7: pass}}", "fail domain-spf-result"},
		{`spf: {lookups: "<=2", all: fail}`, "pass domain-spf-lookups, pass domain-spf-all"},
		{`spf: {lookups: "<1", all: [softfail, neutral]}`, "fail domain-spf-lookups, fail domain-spf-all"},
		{"dkim: {s1: ed25519}", "pass domain-dkim"},
		{"dkim: {s1: {key: rsa-2048}, s9: absent}", "fail domain-dkim, pass domain-dkim"},
		{"dmarc: reject", "pass domain-dmarc"},
		{"dmarc: {effective_policy: [none, quarantine], rua: present}", "fail domain-dmarc, pass domain-dmarc-reports"},
		{"dmarc: {rua: absent}", "fail domain-dmarc-reports"},
		{"mta_sts: enforce", "pass domain-mta-sts"},
		{"mta_sts: {mode: absent}", "fail domain-mta-sts"},
		{"dane: valid", "pass domain-dane"},
		{"dane: absent", "fail domain-dane"},
		{"dane: any", ""},
		{`srv: {_imaps: "mx1.good.test:993", _autodiscover: none}`, "pass domain-srv, pass domain-srv"},
		{`srv: {_imaps: "mx1.good.test:994", _pop3s: none}`, "fail domain-srv, fail domain-srv"},
		{"tls: {profile: ncsc-2025}", ""},
	} {
		t.Run(test.expect, func(t *testing.T) {
			t.Parallel()
			atNoon(t, func(t *testing.T) {
				_, d := sectionOf(t, test.expect)
				w := newWorld(t)
				w.replace(t, v6, "")
				w.question = d.list[0].question()
				facts := readFacts(t, savedFacts(t, w.gather(t)))
				words := func(list []audit.Finding) string {
					var out []string
					for _, f := range list {
						out = append(out, string(f.State)+" "+f.ID)
					}
					return strings.Join(out, ", ")
				}
				if got := words(d.list[0].compare(facts, w.options)); got != test.want {
					t.Errorf("%s; want %s", got, test.want)
				}
				// Where the DNS has not answered, nothing is said to be otherwise.
				facts.Answers = nil
				for _, f := range d.list[0].compare(facts, w.options) {
					if f.State != audit.Unknown {
						t.Errorf("without answers: %s %s: %s", f.State, f.ID, f.Seen)
					}
				}
			})
		})
	}
}

// A profile that is expected of a domain is what T3 judges by, and has the versions and
// suites scanned.
func TestExpectedProfile(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		file, d := sectionOf(t, "tls: {profile: mozilla-modern}")
		w := newWorld(t)
		w.replace(t, v6, "")
		w.srvless()
		for p := range w.servers {
			if p != 25 {
				delete(w.servers, p)
			}
		}
		w.gatherer.TLSScan = d.list[0].profile != ""
		w.question = d.list[0].question()
		saved, err := json.Marshal([]*Facts{w.gather(t)})
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		for _, f := range d.Judge(file, &audit.Facts{Made: noon, Sections: map[string]json.RawMessage{"domains": saved}}) {
			if f.ID == "T3" {
				seen = append(seen, fmt.Sprintf("%s %s", f.State, f.Seen))
			}
		}
		if len(seen) != 1 || !strings.HasPrefix(seen[0], "warn mozilla-modern does not allow TLS 1.2") {
			t.Errorf("%q", seen)
		}
	})
}

// The example that the manual shows is read, and asks for what it expects.
func TestDomainsExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/examples/domains.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := audit.Parse("domains.yaml", bytes.NewReader(text), map[string]audit.Section{"domains": Section})
	if err != nil {
		t.Fatal(err)
	}
	q := f.Checks[0].(*Domains).list[0].question()
	if q.Domain != "example.test" || !slices.Equal(q.Selectors, []string{"s2026"}) || !slices.Equal(q.SPFFor, []string{"172.16.238.11", "203.0.113.7"}) ||
		!slices.Equal(q.Ask, []string{"s2026._domainkey.example.test TXT", "s2024._domainkey.example.test TXT"}) || q.check() != nil {
		t.Errorf("%+v", q)
	}
}
