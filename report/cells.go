package report

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
	"herald/scan"
	"herald/wire"
)

// where is the address with its port, and the name by which it was found.
func where(s *scan.Service) string {
	if !s.Endpoint.Addr.IsValid() {
		return Printable(s.Target.String(), 80)
	}
	at := s.Endpoint.Addr.String()
	if s.Endpoint.Name != "" {
		at += " (" + Printable(s.Endpoint.Name, 60) + ")"
	}
	return at
}

func what(s *scan.Service) string {
	protocol := s.Protocol
	if protocol == "" {
		if s.Security == wire.TLS {
			return "tls, unknown inside"
		}
		return "-"
	}
	if s.Security == wire.TLS || s.Security == wire.StartTLS {
		protocol += " " + string(s.Security)
	}
	return Printable(protocol, 30)
}

func product(s *scan.Service) string {
	name := s.Claim("product")
	if name == "" {
		return ""
	}
	if v := s.Claim("version"); v != "" {
		name += " " + v
	}
	return Printable(name, 60)
}

func (t *Table) verdict(s *scan.Service) string {
	switch s.Verdict {
	case scan.AsExpected:
		return t.paint("expected", text.FgGreen)
	case scan.Unexpected:
		if len(s.Expected) == 0 {
			return t.paint("unexpected: unregistered", text.Faint)
		}
		return t.paint("unexpected: promises "+names(s.Expected), text.FgYellow)
	case scan.Unknown:
		return t.paint("unknown", text.FgMagenta)
	}
	return t.paint(string(s.Verdict), text.Faint)
}

func names(expected []scan.Expected) string {
	var all []string
	for _, e := range expected {
		all = append(all, expectedName(e))
	}
	return strings.Join(all, " or ")
}

// remarks are what else a reader wants at once: the system, the announced name, how sure
// it is, what an unknown server said, what failed.
func remarks(s *scan.Service) string {
	var all []string
	add := func(format string, a ...any) { all = append(all, fmt.Sprintf(format, a...)) }
	if s.Declined {
		add("turns us away")
	}
	if s.Protocol != "" && !s.Confirmed && !s.Declined {
		add("not confirmed")
	}
	if s.Doubt != "" {
		add("may be made up: %s", Printable(s.Doubt, 120))
	}
	for _, field := range []string{"distribution", "os", "device", "component"} {
		if v := s.Claim(field); v != "" {
			add("%s", Printable(v, 50))
		}
	}
	for _, c := range s.Claims {
		if c.Field == "product" && c.Behaviour && c.Value == s.Claim("product") {
			add("told by behaviour, %d %% sure", c.Certainty)
			break
		}
	}
	if s.Greeting.Seconds() >= 1 {
		add("greets after %.1f s", s.Greeting.Seconds())
	}
	if s.Claim("product") == "" {
		if e := firstWords(s); e != nil {
			add("%s: %s", Printable(e.Key, 80), Printable(string(e.Text), 70))
		}
	}
	if f := s.Failure; f != nil && s.Verdict != scan.Closed {
		add("%s", f.Brief())
	}
	return strings.Join(all, "; ")
}

// firstWords are what was heard first of the protocol that was found, or else at all; nil for
// nothing but TLS.
func firstWords(s *scan.Service) *fingerprint.Evidence {
	var first *fingerprint.Evidence
	for _, e := range s.Evidence() {
		switch {
		case strings.HasPrefix(e.Key, "tls."):
		case strings.HasPrefix(e.Key, s.Protocol+"."):
			return &e
		case first == nil:
			first = &e
		}
	}
	return first
}
