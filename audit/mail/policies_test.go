package mail

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"herald/resolve"
)

// judgeZone is a judge of a domain whose DNS is this zone file.
func judgeZone(t *testing.T, domain, zone string) *judge {
	t.Helper()
	z, err := resolve.ReadZone("test.zone", strings.NewReader(zone))
	if err != nil {
		t.Fatal(err)
	}
	return judgeOf(context.Background(), &Facts{Question: Question{Domain: domain}, Began: noon}, z, Options{})
}

// The tree walk of RFC 9989, and what RFC 7489 finds in the same place.
func TestDMARC(t *testing.T) {
	for _, test := range []struct {
		name, domain, zone string
		org, at, policy    string // organisational domain, where the record stands, effective policy
		before             string // by RFC 7489
		queries            int
	}{
		{"own record", "example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"`, "example.com", "example.com", "reject", "reject", 2},
		{"from above", "a.b.example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject; sp=quarantine"`, "example.com", "example.com", "quarantine", "quarantine", 4},
		{"a record in between is the organisation's where none is above", "a.b.example.com", `_dmarc.b.example.com. 60 IN TXT "v=DMARC1; p=reject"`, "b.example.com", "b.example.com", "reject", "", 4},
		{"the fewest labels win", "a.b.example.com", `_dmarc.b.example.com. 60 IN TXT "v=DMARC1; p=none"
_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"`, "example.com", "example.com", "reject", "reject", 4},
		{"psd=n ends the walk", "a.b.example.com", `_dmarc.b.example.com. 60 IN TXT "v=DMARC1; p=quarantine; psd=n"
_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"`, "b.example.com", "b.example.com", "quarantine", "reject", 2},
		{"psd=y makes the domain below the organisation's", "a.b.bank", `_dmarc.bank. 60 IN TXT "v=DMARC1; p=reject; psd=y"`, "b.bank", "bank", "reject", "", 3},
		{"np for a name that does not exist", "no.example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=none; np=reject"`, "example.com", "example.com", "reject", "none", 3},
		{"t=y is one step less", "example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject; t=y"`, "example.com", "example.com", "quarantine", "reject", 2},
		{"no p", "example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; rua=mailto:x@example.com"`, "example.com", "example.com", "none", "none", 2},
		{"no p and no rua", "example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; adkim=s"`, "example.com", "example.com", "", "", 2},
		{"a wrong sp makes the whole record none", "a.example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject; sp=quarantin; rua=mailto:x@example.com"`, "example.com", "example.com", "none", "none", 3},
		{"a wrong sp without rua makes it no record", "a.example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject; sp=quarantin"`, "example.com", "example.com", "", "", 3},
		{"a wrong np, which RFC 7489 does not know", "a.example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject; np=no; rua=https://x.example.com/"`, "example.com", "example.com", "none", "reject", 3},
		{"psd=u is as without", "a.b.example.com", `_dmarc.b.example.com. 60 IN TXT "v=DMARC1; p=none; psd=u"
_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"`, "example.com", "example.com", "reject", "reject", 4},
		{"psd=y where the walk began", "bank", `_dmarc.bank. 60 IN TXT "v=DMARC1; p=reject; psd=y"`, "bank", "bank", "reject", "reject", 1},
		{"two count as none", "example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"
_dmarc.example.com. 60 IN TXT "v=DMARC1; p=none"`, "example.com", "", "", "", 2},
		{"at most eight questions", "a.b.c.d.e.f.g.h.i.j.example.com", `_dmarc.example.com. 60 IN TXT "v=DMARC1; p=reject"`, "example.com", "example.com", "reject", "reject", 8},
		{"v in other letters is no record", "example.com", `_dmarc.example.com. 60 IN TXT "v=dmarc1; p=reject"`, "example.com", "", "", "", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := judgeZone(t, test.domain, test.zone)
			w := j.walkDMARC(test.domain)
			r, own := w.record()
			at, policy := "", ""
			if r != nil {
				at, policy = r.at, r.policy(own, !strings.HasPrefix(test.domain, "no."))
				if r.is("t", "y") {
					policy = tested(policy)
				}
			}
			_, _, before := j.dmarcBefore(test.domain)
			if w.orgDomain != test.org || at != test.at || policy != test.policy || before != test.before || w.queries != test.queries {
				t.Errorf("organisation %q, record at %q, policy %q, before %q, %d queries; want %q %q %q %q %d",
					w.orgDomain, at, policy, before, w.queries, test.org, test.at, test.policy, test.before, test.queries)
			}
		})
	}
}

// Counts and verdicts of the same records: the tree is ours, the verdict the library's.
func TestSPF(t *testing.T) {
	const zone = `
$ORIGIN example.com.
$TTL 60
@ IN A 192.0.2.1
@ IN MX 10 mx
mx IN A 192.0.2.2
one IN TXT "v=spf1 a include:two.example.com -all"
two IN TXT "v=spf1 mx:example.com ip4:198.51.100.0/24 ?all"
redirected IN TXT "v=spf1 redirect=two.example.com"
macro IN TXT "v=spf1 exists:%{i}.spf.example.com -all"
loop IN TXT "v=spf1 include:loop.example.com -all"
behind IN TXT "v=spf1 -all a"
void IN TXT "v=spf1 a:n1.example.com a:n2.example.com a:n3.example.com -all"
six IN TXT "v=spf1 ip4:2001:db8::1 -all"
v2 IN TXT "v=spf10 -all"
`
	for _, test := range []struct {
		domain         string
		lookups, voids int
		all            string
		errors         int
		verdict        string // for 198.51.100.7
	}{
		{"one.example.com", 3, 1, "-", 0, "pass"},
		{"two.example.com", 1, 0, "?", 0, "pass"},
		{"redirected.example.com", 2, 0, "", 0, "pass"},
		{"macro.example.com", 1, 0, "-", 0, "fail"},
		{"loop.example.com", 1, 0, "-", 1, "permerror"},
		{"behind.example.com", 0, 0, "-", 0, "fail"},
		{"void.example.com", 3, 3, "-", 0, "permerror"},
		{"six.example.com", 0, 0, "-", 1, "permerror"}, // RFC 7208, 4.6; the library alone is lenient
		{"v2.example.com", 0, 0, "", 0, "none"},
	} {
		j := judgeZone(t, test.domain, zone)
		s := j.spfOf(test.domain)
		verdict, trace, _ := j.spfVerdict(netip.MustParseAddr("198.51.100.7"), test.domain, "x@"+test.domain)
		if s.lookups != test.lookups || s.voids != test.voids || s.all != test.all || len(s.errors) != test.errors || verdict != test.verdict {
			t.Errorf("%s: %d lookups, %d void, %q, errors %q, %s %q; want %d %d %q %d %s", test.domain, s.lookups, s.voids, s.all, s.errors, verdict, trace, test.lookups, test.voids, test.all, test.errors, test.verdict)
		}
	}
}

func TestPolicy(t *testing.T) {
	p := parsePolicy(goodPolicy)
	if len(p.problems) > 0 || p.mode != "enforce" || p.maxAge != 604800 || !slices.Equal(p.mx, []string{"mx1.good.test"}) {
		t.Errorf("%+v", p)
	}
	wild := parsePolicy("version: STSv1\nmode: testing\nmx: *.Good.test\nmx: mail.good.test\nmax_age: 0\n")
	for host, want := range map[string]bool{"a.good.test": true, "A.GOOD.test": true, "a.b.good.test": false, "good.test": false, "mail.good.test": true, "mail.other.test": false} {
		if wild.covers(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
	for _, bad := range []string{"", "version: STSv2\nmode: none\nmax_age: 1", "version: STSv1\nmode: maybe\nmx: a\nmax_age: 1", "version: STSv1\nmode: enforce\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmx: a\n", "version: STSv1\nmode: enforce\nmx: a\nmax_age: 31557601", "version: STSv1\nmode: enforce\nmx: a\nmax_age: -1", "<html>"} {
		if p := parsePolicy(bad); len(p.problems) == 0 {
			t.Errorf("%q has no problems", bad)
		}
	}
}

// Where TLSA records are looked for when the exchanger's name is an alias: at the end of the
// way first, then at the alias itself (RFC 7671, 7), and at the alias alone where the way
// leaves what is signed (RFC 7672, 2.2.2).
func TestTLSAAtAnAlias(t *testing.T) {
	const signed = "@ DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n"
	const soa = "@ SOA ns hostmaster 1 2 3 4 5\n"
	record := func(owner, digit string) string { return owner + " TLSA 3 1 1 " + strings.Repeat(digit, 64) + "\n" }
	a, b := "$ORIGIN a.test.\n"+soa+signed+"@ MX 10 mail\nmail CNAME mx.b.test.\n", "$ORIGIN b.test.\n"+soa+signed+"mx A 192.0.2.1\n"
	for _, test := range []struct {
		name, zone string
		owner      string
		counts     bool
	}{
		{"at both", a + record("_25._tcp.mail", "a") + b + record("_25._tcp.mx", "b"), "_25._tcp.mx.b.test", true},
		{"at the end alone", a + b + record("_25._tcp.mx", "b"), "_25._tcp.mx.b.test", true},
		{"at the alias alone", a + record("_25._tcp.mail", "a") + b, "_25._tcp.mail.a.test", true},
		{"at neither", a + b, "_25._tcp.mx.b.test", false},
		{"the end is not signed", a + record("_25._tcp.mail", "a") + strings.Replace(b, signed, "", 1) + record("_25._tcp.mx", "b"), "_25._tcp.mail.a.test", true},
		{"the alias is not signed", strings.Replace(a, signed, "", 1) + b + record("_25._tcp.mx", "b"), "_25._tcp.mail.a.test", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := judgeZone(t, "a.test", "$TTL 60\n"+test.zone)
			d := j.daneOf(&Service{Host: "mail.a.test", Port: 25, Protocol: "smtp", Asked: []string{"mx 10"}})
			if d.owner != test.owner || d.counts() != test.counts {
				t.Errorf("%s %v (%s); want %s %v", d.owner, d.counts(), d.insecureBase, test.owner, test.counts)
			}
		})
	}
}
