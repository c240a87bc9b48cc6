package mail

import (
	"slices"
	"strings"
	"testing"
)

// Every profile names its source, and versions and suites that a scan asks for.
func TestProfiles(t *testing.T) {
	known := map[string]bool{}
	for _, s := range suites {
		known["TLS_"+s.name] = true
	}
	seen := map[string]bool{}
	for i, p := range profiles() {
		if p.Name != ProfileNames()[i] {
			t.Errorf("%q is not in ProfileNames, in its order", p.Name)
		}
		if seen[p.Name] || p.Name == "" || p.About == "" || !strings.Contains(p.Source, " ") || len(p.Versions) == 0 {
			t.Errorf("%q is given twice, or incomplete", p.Name)
		}
		seen[p.Name] = true
		for _, v := range p.Versions {
			if v != "TLS 1.3" && v != "TLS 1.2" {
				t.Errorf("%s: version %q", p.Name, v)
			}
		}
		all := slices.Concat(p.Suites, p.PhaseOut)
		for i, s := range all {
			if !known[s] || slices.Contains(all[:i], s) {
				t.Errorf("%s: %s is given twice, or no scan asks for it", p.Name, s)
			}
		}
	}
	for _, test := range []struct {
		profile        string
		version, suite uint16
		what           string
		forNow         bool
	}{
		{"mozilla-modern", 0x0304, 0x1301, "", false},
		{"mozilla-modern", 0x0303, 0xC02F, "TLS 1.2", false},
		{"mozilla-intermediate", 0x0303, 0xC02F, "", false},
		{"mozilla-intermediate", 0x0303, 0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", false},
		{"mozilla-intermediate", 0x0302, 0xC013, "TLS 1.1", false},
		{"ncsc-2025", 0x0304, 0x1304, "", false},
		{"ncsc-2025", 0x0304, 0x1305, "TLS_AES_128_CCM_8_SHA256", false},
		{"ncsc-2025", 0x0303, 0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 (to be phased out)", true},
		{"ncsc-2025", 0x0303, 0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", false},
	} {
		i := slices.Index(ProfileNames(), test.profile)
		if what, forNow := profiles()[i].beyond(test.version, test.suite); what != test.what || forNow != test.forNow {
			t.Errorf("%s, %x %x: %q %v; want %q %v", test.profile, test.version, test.suite, what, forNow, test.what, test.forNow)
		}
	}
}
