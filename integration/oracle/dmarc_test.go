package oracle

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mjl-/mox/dmarc"
	moxdns "github.com/mjl-/mox/dns"

	"herald/audit/mail"
)

func dmarcZone(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	record := func() string {
		text := pick("v=DMARC1", "v=DMARC1", "v=DMARC1", "v=DMARC1", "v=DMARC1", "v=DMARC1", "V=DMARC1", "v=dmarc1", "v=DMARC2", "p=none; v=DMARC1")
		text += pick("; p=none", "; p=quarantine", "; p=reject", "; p=reject", "; p=Reject", "", "; p=rejected")
		text += pick("", "", "; sp=none", "; sp=reject", "; sp=quarantine", "; sp=nothing")
		text += pick("", "", "; rua=mailto:dmarc@dmarc.test", "; rua=mailto:dmarc@dmarc.test", "; pct=50", "; adkim=s; aspf=r", "; unknown=x", "; np=reject", "; psd=n", "; t=y")
		return text + pick("", ";", "; ")
	}
	var b strings.Builder
	b.WriteString("$ORIGIN dmarc.test.\n@ SOA ns hostmaster 1 2 3 4 5\n@ MX 10 mx\nmx A 192.0.2.1\nsub MX 10 mx\ndeep.sub MX 10 mx\n")
	for _, at := range []string{"_dmarc", "_dmarc.sub", "_dmarc.deep.sub"} {
		for range []int{0, 1, 1, 1, 1, 1, 1, 2}[r.IntN(8)] / (1 + map[bool]int{true: 0, false: r.IntN(2)}[at == "_dmarc"]) {
			fmt.Fprintf(&b, "%s TXT %q\n", at, record())
		}
	}
	return b.String()
}

// explained says why herald and mox may differ, "" for no reason.
func explained(theirs string, findings []mail.Finding) string {
	for _, f := range of(findings, "D17") {
		for _, e := range f.Evidence {
			if strings.HasPrefix(e, "by RFC 7489 it is "+theirs+",") || theirs == "no policy" && strings.HasPrefix(e, "by RFC 7489 there is no policy") {
				return "RFC 9989 differs from RFC 7489; herald tells both, and that of RFC 7489 is mox's"
			}
		}
	}
	if flagged(findings) {
		return "the record is faulty, which herald says (D16): mox throws it away whole, herald the faulty tag alone"
	}
	return ""
}

func flagged(findings []mail.Finding) bool {
	return slices.ContainsFunc(of(findings, "D16"), func(f mail.Finding) bool { return f.State != mail.Pass })
}

// The policy for a domain is that of mox, or the difference is that between RFC 9989 and
// RFC 7489.
func TestDMARC(t *testing.T) {
	seen, differences := map[string]int{}, map[string]int{}
	for seed := range uint64(400) {
		zone := dmarcZone(rand.New(rand.NewPCG(seed, 2)))
		r := resolver(t, zone)
		for _, domain := range []string{"dmarc.test", "sub.dmarc.test", "deep.sub.dmarc.test"} {
			findings := judge(t, zone, mail.Question{Domain: domain}, nil, nil)
			ours := "no policy"
			for _, f := range of(findings, "D17") {
				if rest, ok := strings.CutPrefix(f.Text, "the effective policy is "); ok {
					ours = strings.TrimRight(strings.Fields(rest)[0], ",:;")
				}
			}
			_, at, record, _, _, err := dmarc.Lookup(t.Context(), silent, r, moxdns.Domain{ASCII: domain})
			theirs := "no policy"
			if record != nil {
				policy := record.Policy
				if at.ASCII != domain && record.SubdomainPolicy != "" {
					policy = record.SubdomainPolicy
				}
				if theirs = string(policy); policy == "" {
					theirs = "none" // RFC 7489, 6.6.3: without a valid p, with rua
				}
			}
			seen[theirs]++
			if err != nil && !errors.Is(err, dmarc.ErrNoRecord) && !flagged(findings) {
				t.Errorf("seed %d, %s: mox finds a fault (%v), herald none\n%s", seed, domain, err, zone)
			}
			if ours == theirs {
				continue
			}
			if why := explained(theirs, findings); why != "" {
				differences[why]++
				continue
			}
			t.Errorf("seed %d, %s: herald says %q %v, mox %q (%v)\n%s", seed, domain, ours, of(findings, "D16"), theirs, err, zone)
		}
	}
	t.Log(seen, differences)
	for _, policy := range []string{"none", "quarantine", "reject", "no policy"} {
		if seen[policy] < 20 {
			t.Errorf("%d domains of which mox says %s: the zones try too little", seen[policy], policy)
		}
	}
}
