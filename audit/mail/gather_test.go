package mail

import (
	"bytes"
	"strings"
	"testing"
)

// A domain where all is right is asked everything, judged without a complaint, and judged
// alike from saved facts.
func TestGoodDomain(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		w := newWorld(t)
		w.gatherer.Injection = true
		w.question.Domain = "Good.test."
		facts, options := w.gather(t), w.options
		findings := Judge(facts, options)
		for _, f := range findings {
			if f.State != Pass && f.State != NA {
				t.Errorf("%s %s %s: %s %q", f.State, f.Check, f.Where, f.Text, f.Evidence)
			}
		}
		passed := map[string]bool{}
		for _, f := range findings {
			passed[f.Check] = passed[f.Check] || f.State == Pass
		}
		for _, c := range Checks {
			switch c.ID {
			case "T1", "X6", "D2", "D23": // not scanned, no greylisting, no null MX, no autodiscover
				continue
			}
			if !passed[c.ID] && c.Area != tripArea {
				t.Errorf("%s (%s) passed nowhere", c.ID, c.Title)
			}
		}
		if n := w.net.dials["192.0.2.25:25"]; n != 4 { // ordinary, without a name, the other key, the injection probe
			t.Errorf("%d connections to port 25 of one address", n)
		}
		var saved bytes.Buffer
		if err := facts.Write(&saved); err != nil {
			t.Fatal(err)
		}
		again, err := ReadFacts("facts.json", &saved)
		if err != nil {
			t.Fatal(err)
		}
		second := Judge(again, options)
		if len(second) != len(findings) {
			t.Fatalf("%d findings from saved facts, %d before", len(second), len(findings))
		}
		for i := range second {
			if second[i].Check != findings[i].Check || second[i].State != findings[i].State || second[i].Where != findings[i].Where || second[i].Text != findings[i].Text {
				t.Errorf("from saved facts: %+v, before: %+v", second[i], findings[i])
			}
		}
		var table strings.Builder
		if err := WriteTable(&table, facts, findings, Style{}); err != nil {
			t.Fatal(err)
		}
		if *update {
			t.Log(table.String())
		}
	})
}
