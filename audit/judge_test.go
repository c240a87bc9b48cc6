package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"herald/probes"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate, signed by an issuer or by itself.
func issue(t *testing.T, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.test"}, DNSNames: []string{"mail.example.test", "*.lists.example.test"},
		NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(0, 0, 20),
	}
	if change != nil {
		change(c)
	}
	if by == nil {
		by = &issued{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

// authority makes of a certificate one that may sign others.
func authority(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.IsCA, c.BasicConstraintsValid, c.DNSNames = pkix.Name{CommonName: name}, true, true, nil
	}
}

// shows is the fact of a server that shows a chain, and is trusted by the roots.
func shows(roots []*issued, chain ...*issued) *Facts {
	r := &report.Record{Format: 1, Target: "127.0.0.1:993", Address: "127.0.0.1", Port: 993, Protocol: "imap", Confirmed: true, Security: wire.TLS, Verdict: scan.AsExpected, TLS: &report.TLSJSON{Version: "TLS 1.2"}}
	f := &Fact{At: "127.0.0.1:993", Record: r, System: "x509: certificate signed by unknown authority"}
	for _, c := range chain {
		f.Chain = append(f.Chain, c.cert.Raw)
		r.TLS.Chain = append(r.TLS.Chain, report.CertJSON{Subject: c.cert.Subject.String(), Issuer: c.cert.Issuer.String(), Names: probes.CertificateNames(c.cert), NotBefore: c.cert.NotBefore, NotAfter: c.cert.NotAfter, Key: probes.KeyName(c.cert)})
	}
	facts := &Facts{Format: 1, Made: noon, Services: []*Fact{f}}
	for _, c := range roots {
		facts.Roots = append(facts.Roots, c.cert.Raw)
	}
	return facts
}

// verdicts are the findings that are not pass or n/a, "id: state".
func verdicts(t *testing.T, expectations string, facts *Facts) []string {
	t.Helper()
	f, err := Parse("a.yaml", strings.NewReader(expectations), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, x := range Judge(f, facts) {
		if x.State != Pass && x.State != NA {
			all = append(all, x.ID+": "+string(x.State))
		}
	}
	slices.Sort(all)
	return all
}

// Who vouches, for whom, how long and with which key are judged each for itself: one
// fault is one finding.
func TestOneFaultOfACertificateIsOneFinding(t *testing.T) {
	root := issue(t, nil, authority("Test Root"))
	between := issue(t, root, authority("Test Intermediate"))
	good := issue(t, between, nil)
	expired := issue(t, between, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) })
	early := issue(t, between, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Hour) })
	soon := issue(t, between, func(c *x509.Certificate) { c.NotAfter = noon.AddDate(0, 0, 3) })
	later := issue(t, between, func(c *x509.Certificate) { c.NotAfter = noon.AddDate(0, 0, 15) })
	other := issue(t, between, func(c *x509.Certificate) { c.DNSNames = []string{"other.example.test"} })
	nameless := issue(t, between, func(c *x509.Certificate) { c.DNSNames = nil })
	self := issue(t, nil, nil)
	roots := []*issued{root}
	const file = `
version: 1
defaults: {also_judge_at: +16d}
trust: {ca_files: [ca.pem]}
services:
  - id: imap
    at: 127.0.0.1:993
    expect: {protocol: imap, tls: {mode: tls, min_version: TLS1.2}, certificate: {trusted: true, names: [mail.example.test, dev.lists.example.test], valid_for: ">=7d", key: [rsa-3072, ecdsa-p256]}}
`
	for name, c := range map[string]struct {
		facts *Facts
		want  []string
	}{
		"good":                  {shows(roots, good, between), nil},
		"good, root sent":       {shows(roots, good, between, root), nil},
		"intermediate missing":  {shows(roots, good), []string{"certificate-trusted: fail"}},
		"self-signed":           {shows(roots, self), []string{"certificate-trusted: fail"}},
		"nobody to vouch":       {shows(nil, good, between), []string{"certificate-trusted: fail"}},
		"expired":               {shows(roots, expired, between), []string{"certificate-dates: fail"}},
		"not yet":               {shows(roots, early, between), []string{"certificate-dates: fail"}},
		"three days left":       {shows(roots, soon, between), []string{"certificate-dates-later: fail", "certificate-dates: fail"}},
		"not in sixteen days":   {shows(roots, later, between), []string{"certificate-dates-later: fail"}},
		"another name":          {shows(roots, other, between), []string{"certificate-names: fail"}},
		"a common name is none": {shows(roots, nameless, between), []string{"certificate-names: fail"}},
	} {
		if got := verdicts(t, file, c.facts); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	withRSA := strings.Replace(file, "[rsa-3072, ecdsa-p256]", "[rsa-3072, ecdsa-p384]", 1)
	if got := verdicts(t, withRSA, shows(roots, good, between)); !slices.Equal(got, []string{"certificate-key: fail"}) {
		t.Errorf("wrong key: %v", got)
	}
	newer := strings.Replace(file, "TLS1.2", "TLS1.3", 1)
	if got := verdicts(t, newer, shows(roots, good, between)); !slices.Equal(got, []string{"tls-version: fail"}) {
		t.Errorf("old TLS: %v", got)
	}
}

func TestNameCovers(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"Mail.Example.test", "mail.example.test.", true},
		{"*.example.test", "mail.example.test", true},
		{"*.example.test", "a.mail.example.test", false},
		{"*.example.test", "example.test", false},
		{"*.example.test", ".example.test", false},
		{"m*.example.test", "mail.example.test", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"2001:db8::1", "2001:DB8:0::1", true},
		{"*.0.2.1", "192.0.2.1", false},
	} {
		if got := nameCovers(c.pattern, c.name); got != c.want {
			t.Errorf("%s covers %s: %v", c.pattern, c.name, got)
		}
	}
}

func TestKeyAllowed(t *testing.T) {
	for _, c := range []struct {
		key, allowed string
		want         bool
	}{
		{"RSA 2048", "rsa-2048", true}, {"RSA 4096", "rsa-2048", true}, {"RSA 1024", "rsa-2048", false},
		{"ECDSA P-256", "ecdsa-p256", true}, {"ECDSA P-384", "ecdsa-p256", false},
		{"Ed25519", "ed25519", true}, {"Ed25519", "rsa-2048", false}, {"", "ed25519", false},
	} {
		if got := keyAllowed(c.key, []string{c.allowed}); got != c.want {
			t.Errorf("%s for %s: %v", c.key, c.allowed, got)
		}
	}
}

func TestLists(t *testing.T) {
	has := []string{"PIPELINING", "SIZE 10240000", "AUTH PLAIN LOGIN"}
	for _, c := range []struct {
		list              List
		missing, unwanted []string
	}{
		{List{Contains: []string{"size", "auth plain"}}, nil, nil},
		{List{Contains: []string{"AUTH PLAIN SCRAM"}}, []string{"AUTH PLAIN SCRAM"}, nil},
		{List{Contains: []string{"SIZ"}}, []string{"SIZ"}, nil},
		{List{Lacks: []string{"PIPELINING", "XCLIENT"}}, nil, []string{"PIPELINING"}},
		{List{ConsistOf: []string{"PIPELINING", "SIZE", "AUTH"}}, nil, nil},
		{List{ConsistOf: []string{"PIPELINING", "SIZE", "DSN"}}, []string{"DSN"}, []string{"AUTH PLAIN LOGIN"}},
	} {
		missing, unwanted := c.list.against(has)
		if !slices.Equal(missing, c.missing) || !slices.Equal(unwanted, c.unwanted) {
			t.Errorf("%v: missing %v, unwanted %v", &c.list, missing, unwanted)
		}
	}
}

// How one can log in is read from capabilities as each protocol has them.
func TestMechanisms(t *testing.T) {
	for _, c := range []struct {
		protocol string
		list     []string
		want     string
	}{
		{"smtp", []string{"SIZE", "AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN"}, "PLAIN LOGIN"},
		{"smtp", []string{"SIZE"}, ""},
		{"imap", []string{"IMAP4rev1", "AUTH=PLAIN"}, "PLAIN LOGIN"},
		{"imap", []string{"IMAP4rev1", "LOGINDISABLED"}, ""},
		{"pop3", []string{"USER", "SASL PLAIN"}, "USER PLAIN"},
		{"pop3", []string{"SASL"}, ""},
		{"nntp", []string{"AUTHINFO USER SASL", "SASL PLAIN"}, "USER PLAIN"},
		{"nntp", []string{"AUTHINFO"}, ""},
		{"sieve", []string{"SASL PLAIN"}, "PLAIN"},
	} {
		if got := strings.Join(mechanisms(c.protocol, c.list), " "); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.protocol, c.list, got, c.want)
		}
	}
	if mechanisms("smtp", nil) != nil {
		t.Error("nothing heard is not the same as nothing offered")
	}
}
