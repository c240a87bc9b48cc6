package oracle

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	moxdns "github.com/mjl-/mox/dns"
	"github.com/mjl-/mox/mtasts"

	"herald/audit/mail"
)

func stsText(r *rand.Rand) string {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	end := pick("\n", "\n", "\r\n")
	lines := []string{
		pick("version: STSv1", "version: STSv1", "version: STSv1", "version:STSv1", "version: STSv1", "version: STSv2", ""),
		pick("mode: enforce", "mode: testing", "mode: enforce", "mode: none", "mode: strict", ""),
	}
	for range 1 + r.IntN(2) {
		lines = append(lines, "mx: "+pick("mx.sts.test", "mx.sts.test", "MX.sts.test", "*.sts.test", "*.test", "sts.test", "*.mx.sts.test", "mx.other.test", "*.other.test"))
	}
	lines = append(lines, pick("max_age: 604800", "max_age: 604800", "max_age: 604800", "max_age: 86400", "max_age: 99999999", "max_age: -1", "max_age: soon", ""))
	if r.IntN(6) == 0 {
		lines = append(lines, pick("extension: yes", "nonsense", "mode: enforce"))
	}
	var kept []string
	for _, line := range lines {
		if line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, end) + end
}

// A policy is good, and covers the exchanger, where mox says so.
func TestMTASTS(t *testing.T) {
	const zone = "$ORIGIN sts.test.\n@ SOA ns hostmaster 1 2 3 4 5\n@ MX 10 mx\nmx A 192.0.2.1\nmta-sts A 192.0.2.2\n_mta-sts TXT \"v=STSv1; id=1\"\n"
	good := newAuthority(t)
	chain := good.leaf(t, "mx.sts.test")
	seen := map[string]int{}
	for seed := range uint64(500) {
		text := stsText(rand.New(rand.NewPCG(seed, 3)))
		findings := judge(t, zone, mail.Question{Domain: "sts.test"}, good.roots, func(f *mail.Facts) {
			show(t, f, chain)
			f.Documents = append(f.Documents, mail.Document{Role: "mta-sts", URL: "https://mta-sts.sts.test/.well-known/mta-sts.txt", Status: 200, Type: "text/plain", Body: text})
		})
		ours := "good"
		for _, f := range of(findings, "D18") {
			if f.State == mail.Fail || f.State == mail.Warn && strings.HasPrefix(f.Text, "no pattern covers") { // that is a warning in mode testing
				ours = "bad"
			}
		}
		policy, err := mtasts.ParsePolicy(text)
		theirs := "good"
		if err != nil || policy.Mode != mtasts.ModeNone && !policy.Matches(moxdns.Domain{ASCII: "mx.sts.test"}) {
			theirs = "bad"
		}
		seen[theirs]++
		if ours == "bad" && theirs == "good" && strings.Contains(text, "max_age: 99999999") {
			continue // more than RFC 8461, 3.2 allows; mox does not look
		}
		if ours != theirs {
			t.Errorf("seed %d: herald says %s %s, mox %s (%v)\n%q", seed, ours, fmt.Sprint(of(findings, "D18")), theirs, err, text)
		}
	}
	t.Log(seen)
	if seen["good"] < 50 || seen["bad"] < 50 {
		t.Errorf("mox calls %d good and %d bad: the policies try too little", seen["good"], seen["bad"])
	}
}
