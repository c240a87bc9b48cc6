package mail

import (
	"slices"
	"strings"

	"herald/fingerprint"
)

// services are those of a protocol on one of the ports; no ports is any.
func (j *judge) services(protocol string, ports ...uint16) []*Service {
	var list []*Service
	for _, s := range j.f.Services {
		if (protocol == "" || s.Protocol == protocol) && (len(ports) == 0 || slices.Contains(ports, s.custom())) {
			list = append(list, s)
		}
	}
	return list
}

// isMX says whether the service is one where mail is delivered.
func isMX(s *Service) bool { return s.Protocol == "smtp" && (s.custom() == 25 || s.AskedAs("mx")) }

// exchangers are the services where mail is delivered.
func (j *judge) exchangers() []*Service {
	var list []*Service
	for _, s := range j.f.Services {
		if isMX(s) {
			list = append(list, s)
		}
	}
	return list
}

// declared says whether the domain promises the service.
func declared(s *Service) bool {
	return s.AskedAs("srv") || slices.ContainsFunc(s.Asked, func(a string) bool {
		return strings.HasPrefix(a, "srv ") || strings.HasPrefix(a, "autoconfig ")
	}) || s.AskedAs("service")
}

type product struct{ name, version string }

// product is what runs there, by what it said.
func (j *judge) product(s *Service) product {
	if p, ok := j.products[s]; ok {
		return p
	}
	claims := j.o.Signatures.Match(evidenceOf(s))
	name, _ := fingerprint.Best(claims, "product")
	version, _ := fingerprint.Best(claims, "version")
	p := product{name.Value, version.Value}
	j.products[s] = p
	return p
}

// evidenceOf is what the service said, under the keys that signatures read.
func evidenceOf(s *Service) []fingerprint.Evidence {
	var all []fingerprint.Evidence
	for _, step := range s.Steps {
		text := strings.TrimRight(step.Reply, "\r\n")
		key := map[string]string{"greeting": "greeting", "ehlo": "ehlo", "capability": "capability", "capa": "capa", "quit": "quit", "logout": "logout"}[step.Name]
		if s.Protocol == "imap" && step.Name == "id" {
			key, text = "id", idList(text)
		}
		if key != "" && text != "" {
			all = append(all, fingerprint.Evidence{Key: s.Protocol + "." + key, Text: []byte(text), TLS: step.TLS})
		}
	}
	if s.Protocol == "sieve" || s.Protocol == "pop3" {
		for _, tls := range []bool{false, true} {
			if v, ok := parameter(s.offers(tls), "IMPLEMENTATION"); ok {
				all = append(all, fingerprint.Evidence{Key: s.Protocol + ".implementation", Text: []byte(v), TLS: tls})
			}
		}
	}
	return all
}

// idList is the list in an untagged ID response (RFC 2971, 3.2).
func idList(reply string) string {
	for line := range strings.Lines(reply) {
		if rest, ok := strings.CutPrefix(line, "* ID "); ok {
			return strings.TrimRight(rest, "\r\n")
		}
	}
	return ""
}
