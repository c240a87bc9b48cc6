// Package oracle compares verdicts of audit/mail with those of an independent
// implementation, the packages of the mail server mox, on generated zones. It is a module
// of its own, so that nothing of mox gets among the dependencies of herald.
package oracle

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
	moxdns "github.com/mjl-/mox/dns"

	"herald/audit/mail"
	"herald/resolve"
	"herald/wire"
)

var silent = slog.New(slog.DiscardHandler)

// nowhere refuses every connection: the zones name hosts that do not exist.
type nowhere struct{}

func (nowhere) Dial(context.Context, wire.Endpoint) (net.Conn, error) {
	return nil, errors.New("nobody is called here")
}

// judge is what herald says about a domain of a zone file. Edit puts in what servers
// would have said.
func judge(t *testing.T, zone string, q mail.Question, roots *x509.CertPool, edit func(*mail.Facts)) []mail.Finding {
	t.Helper()
	z, err := resolve.ReadZone("generated", strings.NewReader(zone))
	if err != nil {
		t.Fatalf("%v in\n%s", err, zone)
	}
	g := mail.Gatherer{Records: z, Trusted: true, Caller: wire.Caller{Transport: nowhere{}}, Space: -1}
	facts, err := g.Gather(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(facts)
	}
	return mail.Judge(facts, mail.Options{Roots: roots})
}

func of(findings []mail.Finding, check string) (list []mail.Finding) {
	for _, f := range findings {
		if f.Check == check {
			list = append(list, f)
		}
	}
	return list
}

// resolver is the same zone for mox.
func resolver(t *testing.T, zone string) moxdns.MockResolver {
	t.Helper()
	r := moxdns.MockResolver{A: map[string][]string{}, AAAA: map[string][]string{}, TXT: map[string][]string{}, MX: map[string][]*net.MX{}, CNAME: map[string]string{}, AllAuthentic: true}
	p := dns.NewZoneParser(strings.NewReader(zone), ".", "generated")
	p.SetDefaultTTL(60)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := dns.CanonicalName(rr.Header().Name)
		switch rr := rr.(type) {
		case *dns.A:
			r.A[name] = append(r.A[name], rr.A.String())
		case *dns.AAAA:
			r.AAAA[name] = append(r.AAAA[name], rr.AAAA.String())
		case *dns.TXT:
			r.TXT[name] = append(r.TXT[name], resolve.JoinTXT(rr))
		case *dns.MX:
			r.MX[name] = append(r.MX[name], &net.MX{Host: rr.Mx, Pref: rr.Preference})
		case *dns.CNAME:
			r.CNAME[name] = rr.Target
		}
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	return r
}
