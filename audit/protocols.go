package audit

import (
	"fmt"
	"strings"
	"sync"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
)

// protocols are those that can be expected: what probes find, what signatures tell, and
// what is registered for ports. Of the last, herald may not know more than the name.
var protocols = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{
		"tls": true, // nothing is said of what is spoken inside
	}
	for _, p := range probes.All() {
		known[p.Info().Name] = true
	}
	for _, p := range scan.Ports() {
		known[p.Service] = true
		for _, e := range p.Expected {
			known[e.Protocol] = true
		}
	}
	for s := range fingerprint.Builtin().All() {
		for _, c := range s.Claims {
			if c.Field == "protocol" && !strings.Contains(c.Text, "$") {
				known[c.Text] = true
			}
		}
	}
	delete(known, "")
	return known
})

func knownProtocol(s string) (string, error) {
	if probes.Named(s) != nil {
		return s, nil
	}
	if plain, ok := strings.CutSuffix(s, "s"); ok && probes.Named(plain) != nil {
		return "", fmt.Errorf("protocol %q: write %s, and tls for TLS from the first byte", s, plain)
	}
	if !protocols()[s] {
		return "", fmt.Errorf("unknown protocol %q; 'herald probes' lists those that can be told, 'herald ports all' what is registered", s)
	}
	for _, p := range scan.Ports() {
		if p.Service == s && len(p.Expected) > 0 {
			return "", fmt.Errorf("protocol %q: so is port %d called; write %s", s, p.Number, p.Expected[0].Protocol)
		}
	}
	return s, nil
}
