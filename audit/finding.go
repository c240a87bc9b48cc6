package audit

import (
	"slices"
	"strings"
)

// State is how a finding ends. Stable words, part of the output.
type State string

const (
	Pass    State = "pass"
	Warn    State = "warn"
	Fail    State = "fail"
	Unknown State = "unknown" // could not be determined; never a silent pass
	NA      State = "n/a"     // does not apply, or was waived
)

// Finding is the verdict on one expectation at one place.
type Finding struct {
	State    State  `json:"state"`              // pass, warn, fail, unknown, n/a
	ID       string `json:"finding"`            // which kind, see [Kinds]
	Severity string `json:"severity"`           // high, medium, low
	Service  string `json:"service"`            // id of the service in the file
	Where    string `json:"where"`              // host:port, and the address behind a name
	Expected string `json:"expected,omitempty"` // what must be so
	Seen     string `json:"seen,omitempty"`     // what is so
	Evidence string `json:"evidence,omitempty"` // the server's own words, cut short
	Fix      string `json:"fix,omitempty"`      // how to mend it
	Waived   string `json:"waived,omitempty"`   // the reason, where a waiver covers it
	File     string `json:"file,omitempty"`     // the expectations
	Line     int    `json:"line,omitempty"`     // of the service in it
	Column   int    `json:"column,omitempty"`
}

// Kind is a kind of finding.
type Kind struct {
	ID       string
	Severity string
	About    string // what is judged
}

// Kinds are all kinds of finding. Their ids are stable: waivers name them.
var Kinds = []Kind{
	{"reachable", "high", "the port accepts connections, and what listens says something"},
	{"port", "high", "the port is open, closed or filtered as it must be"},
	{"not-running", "medium", "a published port of a Compose file is closed: the service does not run, and nothing can be said of it"},
	{"silent", "high", "the service says something when it is spoken to"},
	{"protocol", "high", "the protocol is the one that must be spoken there"},
	{"product", "medium", "the server is the product that it must be"},
	{"product-confidence", "low", "the product is known surely enough"},
	{"product-version", "medium", "the product's version is one of those that are allowed"},
	{"tls-mode", "high", "the protocol is spoken in the clear, after an upgrade, or inside TLS, as it must be"},
	{"tls-version", "medium", "the version of TLS that was agreed on is not too old"},
	{"certificate-trusted", "high", "the certificate is vouched for by an authority that is trusted"},
	{"certificate-names", "high", "the certificate is for the names that it must be for"},
	{"certificate-dates", "high", "the certificate is valid now, and long enough"},
	{"certificate-dates-later", "medium", "the certificate is valid at the later time that is asked for"},
	{"certificate-key", "medium", "the certificate's key is of an allowed kind and length"},
	{"capabilities", "medium", "what the server says that it can do"},
	{"size", "low", "the size of message that the server accepts"},
	{"auth-before-tls", "high", "the logins that are offered in the clear"},
	{"auth-after-tls", "medium", "the logins that are offered inside TLS"},
	{"greeting-name", "low", "the name by which the server greets"},
	{"greeting-delay", "medium", "how long the server takes to greet"},
	{"open-proxy", "high", "the proxy refuses to serve strangers"},
	{"cleartext-login", "high", "no published port takes passwords in the clear"},
	{"published-everywhere", "medium", "published ports that are meant for this machine are bound to its loopback address"},
	{"waiver-expired", "high", "a waiver's time is over"},
	{"waiver-unused", "medium", "a waiver covers nothing"},
}

// KindNamed is the kind of that id, false for none.
func KindNamed(id string) (Kind, bool) {
	for _, k := range Kinds {
		if k.ID == id {
			return k, true
		}
	}
	return Kind{}, false
}

// Verdict is what findings come to.
type Verdict struct {
	Count map[State]int
}

// VerdictOf counts findings.
func VerdictOf(findings []Finding) Verdict {
	v := Verdict{map[State]int{}}
	for _, f := range findings {
		v.Count[f.State]++
	}
	return v
}

// Exit is the exit status: 1 for a fail, 3 for an unknown where these count as one.
func (v Verdict) Exit(unknown string) int {
	switch {
	case v.Count[Fail] > 0:
		return 1
	case v.Count[Unknown] > 0 && unknown != "warn" && unknown != "ignore":
		return 3
	}
	return 0
}

var worst = []State{Fail, Unknown, Warn, Pass, NA}

// Sort puts findings into the order of the file, and within a service the worst first.
func sortFindings(findings []Finding, order map[string]int) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		if c := order[a.Service] - order[b.Service]; c != 0 {
			return c
		}
		if c := strings.Compare(a.Where, b.Where); c != 0 {
			return c
		}
		return slices.Index(worst, a.State) - slices.Index(worst, b.State)
	})
}
