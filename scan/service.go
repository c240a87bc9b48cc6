package scan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
)

// Verdict compares what is expected on a port with what was seen. Stable strings, part of
// the output.
type Verdict string

const (
	AsExpected Verdict = "expected"   // the protocol that the port, or the user's hint, promises
	Unexpected Verdict = "unexpected" // another protocol; also where nothing is promised
	Unknown    Verdict = "unknown"    // something talks, and was not understood
	Silent     Verdict = "silent"     // accepts connections and says nothing to any question
	Closed     Verdict = "closed"     // refuses connections
	Filtered   Verdict = "filtered"   // no answer to a connection attempt, or a router's refusal
	Unresolved Verdict = "unresolved" // the name gave no address
	Untried    Verdict = "untried"    // excluded, or this machine's fault: nothing is said about the endpoint
)

// Service is an endpoint with all that was learnt about it. It holds what every earlier
// stage found, so that nothing has to be asked back.
type Service struct {
	Target    Target
	Endpoint  wire.Endpoint // invalid address where the name did not resolve
	Expected  []Expected    // what the user's hint or the port promises; empty for nothing
	Verdict   Verdict
	Protocol  string        // name of the probe's protocol; "" for unknown
	Confirmed bool          // the protocol's grammar held through an exchange
	Declined  bool          // it spoke the protocol only to turn us away
	Security  wire.Security // how the protocol is spoken there; "" where nothing was heard
	Claims    []fingerprint.Claim
	Doubt     string                // why what it says may be made up, as honeypots do; "" for nothing
	Seen      []*probes.Observation // one a connection that stood, in their order
	Failure   *wire.Failure         // what prevented a better answer; nil for nothing
	Steps     []Step                // why each step was taken; nil without Options.Explain
	Siblings  int                   // endpoints of the same target, this one included; 0 outside a run

	Connections int // attempts that were made
	Received    int // bytes, TLS removed
	Sent        int // bytes, TLS removed
	Started     time.Time
	Duration    time.Duration
	Greeting    time.Duration // from the connection to the server's first byte, where it greeted; 0 where it did not
}

// Step is one decision of the walk, for people who ask why.
type Step struct {
	Connection int    // which connection, from 1; 0 before any
	What       string // "listened 150ms: silence", "http speaks first"
	Why        string
}

// Claim is the surest claim of a field, "" for none.
func (s *Service) Claim(field string) string {
	c, _ := fingerprint.Best(s.Claims, field)
	return c.Value
}

// Evidence is everything that was heard, in order.
func (s *Service) Evidence() []fingerprint.Evidence {
	if len(s.Seen) == 1 {
		return s.Seen[0].Evidence
	}
	var all []fingerprint.Evidence
	for _, o := range s.Seen {
		all = append(all, o.Evidence...)
	}
	return all
}

// TLS is the last handshake that stood, nil without one.
func (s *Service) TLS() *wire.TLSState {
	for i := len(s.Seen) - 1; i >= 0; i-- {
		if s.Seen[i].TLS != nil {
			return s.Seen[i].TLS
		}
	}
	return nil
}

// Transcript is the record of all connections, with what was concluded.
func (s *Service) Transcript() *wire.Transcript {
	t := &wire.Transcript{Notes: []string{"herald scan " + s.Target.String()}}
	// In the order in which they were opened, as a replay opens them; one that was left
	// listening is seen last.
	opened := slices.Clone(s.Seen)
	slices.SortStableFunc(opened, func(a, b *probes.Observation) int { return a.Connection - b.Connection })
	for _, o := range opened {
		t.Exchanges = append(t.Exchanges, o.Exchange())
	}
	if s.Protocol != "" {
		word := "recognised"
		switch {
		case s.Confirmed:
			word = "confirmed"
		case s.Declined:
			word = "declined"
		}
		t.Conclusions = append(t.Conclusions, word+" "+s.Protocol)
	}
	for _, field := range []string{"product", "version"} {
		if v := s.Claim(field); v != "" {
			t.Conclusions = append(t.Conclusions, field+" "+wire.Escape([]byte(v)))
		}
	}
	return t
}

// Stub is a signature ready to be completed, for a service that no signature names; ""
// where the product is known or nothing was heard.
func (s *Service) Stub() string { return Stub(s.Claims, s.Evidence()) }

// Stub is a signature ready to be completed, made of what was heard; "" where the claims
// name a product or nothing was heard.
func Stub(claims []fingerprint.Claim, heard []fingerprint.Evidence) string {
	if _, named := fingerprint.Best(claims, "product"); named {
		return ""
	}
	for _, e := range heard {
		if strings.HasPrefix(e.Key, "tls.") {
			continue
		}
		text := e.Text[:min(len(e.Text), 512)]
		return fmt.Sprintf(`- id: %s-NAME
  on: %s
  match: '^TODO$'
  product: TODO
  certainty: 95
  source: TODO
  examples:
    - text: "%s"
      gives: {}
`, strings.ReplaceAll(strings.SplitN(e.Key, ".", 2)[0], "_", "-"), wire.Escape([]byte(e.Key)), strings.ReplaceAll(wire.Escape(text), `"`, `\"`))
	}
	return ""
}
