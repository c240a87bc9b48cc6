package mail

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"herald/audit"
	"herald/resolve"
)

// Judge makes every check of every round trip, and compares what is expected beyond.
func (t *Trips) Judge(file *audit.File, facts *audit.Facts) []audit.Finding {
	var saved []savedTrip
	broken := json.Unmarshal(facts.Sections[t.Name()], &saved)
	var all []audit.Finding
	for _, one := range t.list {
		i := slices.IndexFunc(saved, func(s savedTrip) bool { return s.ID == one.id && s.Facts != nil && s.Facts.RoundTrip != nil })
		var found []audit.Finding
		if broken != nil || i < 0 || saved[i].Facts.Format != Format {
			found = []audit.Finding{{State: audit.Unknown, ID: "E1", Severity: "high", Service: one.id, Where: one.id, Seen: "the facts say nothing about this round trip", Fix: "gather again"}}
		} else {
			f := saved[i].Facts
			j := judgeOf(context.Background(), f, resolve.NewRecorded(f.Answers), Options{At: facts.Made})
			for _, c := range roundTripChecks {
				j.run(c)
			}
			for _, x := range j.findings {
				found = append(found, x.Audit(one.id))
			}
			found = append(found, one.compare(j)...)
		}
		for i := range found {
			found[i].File, found[i].Line, found[i].Column = file.Name, one.line, one.col
		}
		all = append(all, found...)
	}
	return all
}

// compare holds what is expected beyond the checks against the facts.
func (one *tripExpected) compare(j *judge) (list []audit.Finding) {
	add := func(state audit.State, id, severity, where, expected, seen string) {
		list = append(list, audit.Finding{State: state, ID: id, Severity: severity, Service: one.id, Where: where, Expected: expected, Seen: seen})
	}
	verdict := func(holds bool) audit.State {
		if holds {
			return audit.Pass
		}
		return audit.Fail
	}
	r := j.trip()
	for _, p := range r.Probes {
		if p.Outside {
			continue
		}
		where, arrivals := "sent by "+p.Service.Where(), r.delivered(p)
		if one.delay.Operator != "" {
			switch {
			case len(arrivals) > 0:
				took := after(p, soonest(arrivals))
				add(verdict(one.delay.Holds(int64(took))), "roundtrip-delay", "medium", where, one.delay.Text, took.Round(time.Millisecond).String())
			default:
				add(audit.Unknown, "roundtrip-delay", "medium", where, one.delay.Text, "it did not come")
			}
		}
		if len(arrivals) == 0 {
			continue
		}
		if one.dkim == "pass" {
			good, lines := j.aligned(r, arrivals[0])
			seen := strings.Join(lines, "; ")
			if seen == "" {
				seen = "no signature"
			}
			add(verdict(good), "roundtrip-dkim", "high", where, "a signature of the author's domain that holds", seen)
		}
		if one.hidesAuthor {
			told, text := tellsAuthor(p, arrivals[0])
			seen := "not told"
			if told {
				seen = text
			}
			add(verdict(!told), "roundtrip-client-ip", "medium", where, "no Received field has the author's address", seen)
		}
	}
	return list
}
