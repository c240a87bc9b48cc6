package audit

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"

	"herald/scan"
)

// counted is a check of a section of its own: that it was gathered so many times.
type counted struct{ gathered int }

func (*counted) Name() string  { return "domains" }
func (*counted) Kinds() []Kind { return []Kind{{"mx", "high", "a domain's mail servers"}} }

func (c *counted) Gather(context.Context, *File, scan.Options) (json.RawMessage, error) {
	c.gathered++
	return json.Marshal(map[string]int{"found": c.gathered})
}

func (*counted) Judge(f *File, facts *Facts) []Finding {
	var seen struct{ Found int }
	if err := json.Unmarshal(facts.Sections["domains"], &seen); err != nil {
		return []Finding{{State: Unknown, ID: "mx", Service: "example.test", Where: "example.test", Seen: "not gathered"}}
	}
	state := Fail
	if seen.Found == 1 {
		state = Pass
	}
	return []Finding{{State: state, ID: "mx", Service: "example.test", Where: "example.test"}}
}

// A section that others read: its errors have a place, its facts are saved, its findings
// are judged and waived as all others.
func TestSectionOfOthers(t *testing.T) {
	readers := map[string]Section{"domains": func(_ *File, n ast.Node) (Check, error) {
		if _, list := n.(*ast.SequenceNode); !list {
			return nil, At(n, "domains: want a list")
		}
		return &counted{}, nil
	}}
	if _, err := Parse("a.yaml", strings.NewReader("version: 1\ndomains: {a: b}\n"), readers); err == nil || err.Error() != "a.yaml:2:11: domains: want a list" {
		t.Errorf("the section's own error: %v", err)
	}
	const text = "version: 1\ndomains: [{name: example.test}]\n"
	f, err := Parse("a.yaml", strings.NewReader(text), readers)
	if err != nil {
		t.Fatal(err)
	}
	facts, findings, err := Run(t.Context(), f, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(findings) != 1 || findings[0].State != Pass {
		t.Errorf("gathered and judged: %+v", findings)
	}
	var saved strings.Builder
	if err := facts.Write(&saved); err != nil {
		t.Fatal(err)
	}
	again, err := ReadFacts("facts.json", strings.NewReader(saved.String()))
	if err != nil {
		t.Fatal(err)
	}
	if again.Sections["domains"] = json.RawMessage(`{"found": 2}`); Judge(f, again)[0].State != Fail {
		t.Error("judged from saved facts: no fail")
	}
	waived, err := Parse("a.yaml", strings.NewReader(text+"waivers: [{finding: mx, where: example.test, reason: moving, until: 2999-01-01}]\n"), readers)
	if err != nil {
		t.Fatal(err)
	}
	if got := Judge(waived, again); len(got) != 1 || got[0].State != NA || got[0].Waived != "moving" {
		t.Errorf("waived: %+v", got)
	}
	if kinds := waived.Kinds(); !slices.ContainsFunc(kinds, func(k Kind) bool { return k.ID == "mx" }) {
		t.Error("the section's findings are not listed")
	}
}

// Whatever a file of a scan holds, it is an error or a scan.
func FuzzReadScan(f *testing.F) {
	f.Add(`{"format":1,"target":"192.0.2.1:25","address":"192.0.2.1","port":25,"verdict":"expected","evidence":[{"key":"smtp.ehlo","text":"250 a"}]}`)
	f.Add(`{"format":1,"services":[{"at":"a:1","record":{"verdict":"closed"}}]}`)
	f.Add(`<nmaprun><host><address addr="192.0.2.1" addrtype="ipv4"/><ports><port protocol="tcp" portid="25"><state state="open"/></port></ports></host></nmaprun>`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadScan("a", strings.NewReader(text))
		if err == nil && len(Diff(s, s)) > 0 {
			t.Error("a scan differs from itself")
		}
	})
}
