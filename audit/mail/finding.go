package mail

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// State is how a finding ends. Stable words, part of the output; the same as those of
// package audit.
type State string

// States are all states, the worst first.
var States = []State{Fail, Warn, Unknown, Pass, NA}

// Severity is how much a finding that is no pass matters. Stable words.
type Severity string

// Severities are all severities, the worst first.
var Severities = []Severity{Critical, High, Medium, Low, Info}

// Finding is the verdict of one check at one place.
type Finding struct {
	Check    string   `json:"finding"` // id of the check: "C3"
	State    State    `json:"state"`
	Severity Severity `json:"severity"`
	Area     string   `json:"area"`
	Where    string   `json:"where"` // a domain, a host, or host:port (address)
	Text     string   `json:"seen"`  // the verdict in a sentence
	Rule     string   `json:"expected,omitempty"`
	Ref      string   `json:"ref,omitempty"`      // the standard and its section
	Evidence []string `json:"evidence,omitempty"` // what was heard or published, as it was
	Fix      string   `json:"fix,omitempty"`      // what to do
	Record   string   `json:"record,omitempty"`   // a DNS record, ready to paste
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(slices.Index(Areas, a.Area), slices.Index(Areas, b.Area)),
		cmp.Compare(slices.Index(States, a.State), slices.Index(States, b.State)),
		severityIfBad(a)-severityIfBad(b),
	)
}

func severityIfBad(f Finding) int {
	if f.State == Pass || f.State == NA {
		return 0
	}
	return slices.Index(Severities, f.Severity)
}

// Count counts findings by state.
func Count(findings []Finding) map[State]int {
	n := map[State]int{}
	for _, f := range findings {
		n[f.State]++
	}
	return n
}

// Worst is the worst severity among findings that fail, or failing that warn; "" without.
func Worst(findings []Finding) (State, Severity) {
	for _, state := range States[:3] {
		best := -1
		for _, f := range findings {
			if i := slices.Index(Severities, f.Severity); f.State == state && (best < 0 || i < best) {
				best = i
			}
		}
		if best >= 0 {
			return state, Severities[best]
		}
	}
	return Pass, ""
}

func (f *Finding) sev(s Severity) *Finding { f.Severity = s; return f }

func (f *Finding) fix(format string, a ...any) *Finding {
	f.Fix = format
	if len(a) > 0 {
		f.Fix = fmt.Sprintf(format, a...)
	}
	return f
}

func (f *Finding) record(format string, a ...any) *Finding {
	f.Record = fmt.Sprintf(format, a...)
	return f
}

// with adds evidence; empty words are none.
func (f *Finding) with(evidence ...string) *Finding {
	for _, e := range evidence {
		if e = strings.TrimRight(e, "\r\n"); e != "" {
			f.Evidence = append(f.Evidence, clip(e, 2000))
		}
	}
	return f
}
