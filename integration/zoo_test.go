//go:build integration

package integration

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"herald/fingerprint"
	"herald/report"
	"herald/scan"
)

// gathered keeps the services of a scan by where they were found.
type gathered map[netip.AddrPort]*scan.Service

func (g gathered) Write(_ context.Context, s *scan.Service) error {
	g[s.Endpoint.Addr] = s
	return nil
}
func (g gathered) Close() error { return nil }

// promised are the protocols that herald asks for only where a port or the user promises
// them, because they are rare, or because a stranger's question could do harm; these
// servers neither greet nor answer another protocol's question in words of their own.
var promised = []string{"sip", "ident", "git", "stomp", "modbus", "nrpe", "nsca", "epmd", "tor"}

// scanZoo looks at every published port in one scan. The ports promise nothing: 10025 is
// nobody's port.
func scanZoo(t *testing.T, zoo []Served) gathered {
	t.Helper()
	var words []string
	for _, s := range zoo {
		word := s.Published.String()
		if slices.Contains(promised, s.Protocol) {
			scheme := s.Protocol
			if s.Security == "tls" {
				scheme += "s"
			}
			word = scheme + "://" + word
		}
		words = append(words, word)
	}
	targets := scan.Plan{Seed: 1}.Targets(scan.ReadSpecs("zoo", strings.NewReader(strings.Join(words, "\n"))))
	found := gathered{}
	began := time.Now()
	if err := scan.New(scan.Options{PerHost: 64}).Run(t.Context(), targets, found); err != nil {
		t.Fatal(err)
	}
	connections := 0
	for _, s := range found {
		connections += s.Connections
	}
	t.Logf("%d ports in %.1f s, %d connections", len(found), time.Since(began).Seconds(), connections)
	return found
}

// TestZoo finds every server of the zoo for what it is: protocol, security, product, and
// the version of the package inside the container where the server tells it.
func TestZoo(t *testing.T) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	found := scanZoo(t, zoo)
	// A hundred servers on a small machine may be too busy to answer in time. What was not
	// understood is looked at once more, by itself; what was named is not.
	var again []Served
	for _, s := range zoo {
		if f := found[s.Published]; f != nil && f.Protocol == "" && s.Protocol != "silent" {
			again = append(again, s)
		}
	}
	if len(again) > 0 {
		t.Logf("looked at once more: %v", again)
		maps.Copy(found, scanZoo(t, again))
	}
	for _, want := range zoo {
		t.Run(want.String(), func(t *testing.T) {
			s := found[want.Published]
			if s == nil {
				t.Fatal("not in the output")
			}
			complain := func(format string, a ...any) {
				t.Helper()
				t.Errorf(format, a...)
				var why strings.Builder
				report.Why(&why, report.WhyOptions{Signatures: fingerprint.Builtin()}, s)
				const most = 4 << 10
				t.Log(why.String()[:min(why.Len(), most)])
			}
			if want.Protocol == "silent" {
				if s.Verdict != scan.Silent {
					complain("verdict %s, want silent", s.Verdict)
				}
				return
			}
			if s.Protocol != want.Protocol {
				complain("protocol %q, want %q", s.Protocol, want.Protocol)
				return
			}
			if string(s.Security) != want.Security {
				complain("security %q, want %q", s.Security, want.Security)
			}
			if got := s.Claim("product"); want.Product != "" && got != want.Product {
				complain("product %q, want %q", got, want.Product)
			}
			if want.Package == "" {
				return
			}
			version, err := want.PackageVersion()
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Claim("version"); got != version && upstream(got) != version {
				complain("version %q, package %s has %q", got, want.Package, version)
			}
		})
	}
}
