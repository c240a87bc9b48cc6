package oracle

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	moxdns "github.com/mjl-/mox/dns"
	"github.com/mjl-/mox/spf"

	"herald/audit/mail"
)

// spfZone makes a zone around one record, of mechanisms that match, do not match, lead
// elsewhere, lead nowhere or are wrong.
func spfZone(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("$ORIGIN spf.test.\n@ SOA ns hostmaster 1 2 3 4 5\n@ MX 10 mx\n@ A 192.0.2.1\nmx A 192.0.2.2\nmx AAAA 2001:db8::2\nother A 192.0.2.3\nalias CNAME other\n")
	terms := func(depth int) string {
		words := []string{"v=spf1"}
		for range r.IntN(5) {
			qualifier := []string{"", "", "", "+", "-", "~", "?"}[r.IntN(7)]
			pick := []string{
				"ip4:192.0.2.1", "ip4:192.0.2.0/24", "ip4:198.51.100.0/24", "ip4:192.0.2.0/33", "ip4:192.0.2", "ip6:2001:db8::/32", "ip6:2001:db8::2", "ip6:nonsense",
				"a", "a:mx.spf.test", "a:other.spf.test/24", "a:alias.spf.test", "a:gone.spf.test", "a//64", "mx", "mx:spf.test", "mx/24", "mx:gone.spf.test",
				"include:s1.spf.test", "include:s2.spf.test", "include:none.spf.test", "include:spf.test", "exists:%{ir}.list.spf.test", "exists:other.spf.test", "exists:%{d}",
				"include", "ipv4:192.0.2.1", "a:", "unknown:x", "unknown=x", "A:MX.spf.test", "exp=why.spf.test",
			}
			n := len(pick)
			if r.IntN(4) > 0 {
				n = 27 // seldom something that is wrong
			}
			w := pick[r.IntN(n)]
			if strings.Contains(w, "=") {
				qualifier = ""
			}
			words = append(words, qualifier+w)
		}
		switch end := r.IntN(8); {
		case end < 5:
			words = append(words, []string{"-all", "~all", "?all", "+all", "all"}[r.IntN(5)])
		case end == 5 && depth > 0:
			words = append(words, "redirect=s2.spf.test")
		case end == 6:
			words = append(words, "redirect=none.spf.test")
		}
		return strings.Join(words, " ")
	}
	fmt.Fprintf(&b, "@ TXT %q\n", terms(1))
	if r.IntN(20) == 0 {
		fmt.Fprintf(&b, "@ TXT %q\n", terms(1))
	}
	fmt.Fprintf(&b, "s1 TXT %q\n", terms(1))
	fmt.Fprintf(&b, "s2 TXT %q\n", terms(0))
	if r.IntN(3) == 0 {
		b.WriteString("1.2.0.192.list A 127.0.0.2\n")
	}
	return b.String()
}

// SPF results of senders are those of mox.
func TestSPF(t *testing.T) {
	senders := []string{"192.0.2.1", "192.0.2.2", "198.51.100.7", "2001:db8::2"}
	seen := map[string]int{}
	for seed := range uint64(400) {
		zone := spfZone(rand.New(rand.NewPCG(seed, 1)))
		findings := judge(t, zone, mail.Question{Domain: "spf.test", Senders: senders}, nil, nil)
		found := of(findings, "D11")
		r := resolver(t, zone)
		domain := moxdns.Domain{ASCII: "spf.test"}
		for _, sender := range senders {
			received, _, _, _, err := spf.Verify(t.Context(), silent, r, spf.Args{RemoteIP: net.ParseIP(sender), MailFromLocalpart: "postmaster",
				MailFromDomain: domain, HelloDomain: moxdns.IPDomain{Domain: domain}, LocalIP: net.ParseIP("192.0.2.9"), LocalHostname: moxdns.Domain{ASCII: "local.test"}})
			ours := ""
			for _, f := range found {
				if strings.HasPrefix(f.Where, sender+" ") {
					ours = f.Text
				}
			}
			theirs := string(received.Result)
			seen[theirs]++
			if len(r.TXT["spf.test."]) > 1 {
				if d8 := of(findings, "D8"); ours != "" || theirs != "permerror" || len(d8) != 1 || d8[0].State != mail.Fail {
					t.Errorf("seed %d: two records: herald says %q and %v, mox %q", seed, ours, d8, theirs)
				}
				continue // with two records there is nothing to evaluate
			}
			if d10 := of(findings, "D10"); errors.Is(err, spf.ErrTooManyVoidLookups) && len(d10) == 1 && d10[0].State == mail.Pass {
				continue // mox ends at the next lookup after two void ones, RFC 7208, 4.6.4 at the third that is void
			}
			if ours != theirs {
				t.Errorf("seed %d, %s: herald says %q, mox %q (%v)\n%s", seed, sender, ours, theirs, err, zone)
			}
		}
	}
	t.Log(seen)
	for _, result := range []string{"pass", "fail", "softfail", "neutral", "permerror"} {
		if seen[result] < 10 {
			t.Errorf("%d senders of which mox says %s: the zones try too little", seen[result], result)
		}
	}
}
