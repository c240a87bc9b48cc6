package oracle

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/adns"
	"github.com/mjl-/mox/dane"
	moxdns "github.com/mjl-/mox/dns"

	"herald/audit/mail"
)

// authority is a root with an intermediate.
type authority struct {
	root, middle *x509.Certificate
	key          *ecdsa.PrivateKey
	roots        *x509.CertPool
}

var serial int64

func certificate(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	serial++
	template.SerialNumber = big.NewInt(serial)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(60*24*time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	rootKey, key := newKey(t), newKey(t)
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	a := authority{key: key, roots: x509.NewCertPool()}
	a.root = certificate(t, ca("root"), nil, rootKey, rootKey)
	a.middle = certificate(t, ca("middle"), a.root, key, rootKey)
	a.roots.AddCert(a.root)
	return a
}

// leaf is a chain as servers send it: the leaf for the name, and the intermediate.
func (a authority) leaf(t *testing.T, name string) []*x509.Certificate {
	t.Helper()
	return a.issue(t, &x509.Certificate{DNSNames: []string{name}})
}

func (a authority) issue(t *testing.T, template *x509.Certificate) []*x509.Certificate {
	t.Helper()
	template.Subject = pkix.Name{CommonName: "leaf"}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return []*x509.Certificate{certificate(t, template, a.middle, newKey(t), a.key), a.middle}
}

// show lets every exchanger on port 25 have shown the chain after STARTTLS.
func show(t *testing.T, f *mail.Facts, chain []*x509.Certificate) {
	t.Helper()
	if f.Certificates == nil {
		f.Certificates = map[string][]byte{}
	}
	var keys []string
	for _, c := range chain {
		sum := sha256.Sum256(c.Raw)
		keys = append(keys, hex.EncodeToString(sum[:8]))
		f.Certificates[keys[len(keys)-1]] = c.Raw
	}
	shown := 0
	for _, s := range f.Services {
		if s.Port != 25 {
			continue
		}
		shown++
		s.Failure = nil
		s.Steps = []mail.Step{
			{Name: "greeting", Reply: "220 mx.sts.test ESMTP\r\n"}, {Name: "ehlo", Reply: "250-mx.sts.test\r\n250 STARTTLS\r\n"},
			{Name: "starttls", Reply: "220 go ahead\r\n"}, {Name: "ehlo", Reply: "250 mx.sts.test\r\n", TLS: true},
		}
		s.TLS = &mail.TLS{Version: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256, Chain: keys}
	}
	if shown == 0 {
		t.Fatal("nobody on port 25")
	}
}

// A host is good by DANE where mox says so.
func TestDANE(t *testing.T) {
	own, other := newAuthority(t), newAuthority(t)
	now := time.Now()
	chains := map[string][]*x509.Certificate{
		"sound":       own.leaf(t, "mx.dane.test"),
		"other name":  own.leaf(t, "www.dane.test"),
		"expired":     own.issue(t, &x509.Certificate{DNSNames: []string{"mx.dane.test"}, NotBefore: now.Add(-90 * 24 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}),
		"leaf alone":  own.leaf(t, "mx.dane.test")[:1],
		"with root":   append(own.leaf(t, "mx.dane.test"), own.root),
		"of no trust": other.leaf(t, "mx.dane.test"),
		"mixed":       {own.leaf(t, "mx.dane.test")[0], other.middle},
		"domain name": own.leaf(t, "dane.test"),
	}
	names := []string{"sound", "other name", "expired", "leaf alone", "with root", "of no trust", "mixed", "domain name"}
	seen := map[bool]int{}
	for seed := range uint64(600) {
		r := mathrand.New(mathrand.NewPCG(seed, 4))
		which := names[r.IntN(len(names))]
		chain := chains[which]
		var zone strings.Builder
		zone.WriteString("$ORIGIN dane.test.\n@ SOA ns hostmaster 1 2 3 4 5\n@ DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n@ MX 10 mx\nmx A 192.0.2.1\n")
		var records []adns.TLSA
		for range 1 + r.IntN(3) {
			record := adns.TLSA{Usage: adns.TLSAUsage(2 + r.IntN(2)), Selector: adns.TLSASelector(r.IntN(2)), MatchType: adns.TLSAMatchType(r.IntN(3))}
			of := []*x509.Certificate{chain[0], chain[0], chain[len(chain)-1], own.middle, own.root, other.middle}[r.IntN(6)]
			data := of.Raw
			if record.Selector == 1 {
				data = of.RawSubjectPublicKeyInfo
			}
			switch record.MatchType {
			case 1:
				sum := sha256.Sum256(data)
				data = sum[:]
			case 2:
				sum := sha512.Sum512(data)
				data = sum[:]
			}
			record.CertAssoc = data
			records = append(records, record)
			fmt.Fprintf(&zone, "_25._tcp.mx TLSA %d %d %d %x\n", record.Usage, record.Selector, record.MatchType, data)
		}
		findings := judge(t, zone.String(), mail.Question{Domain: "dane.test"}, own.roots, func(f *mail.Facts) { show(t, f, chain) })
		ours, verdicts := true, 0
		for _, f := range of(findings, "D14") {
			if f.State == mail.Fail {
				ours = false
			}
			if f.State == mail.Fail || f.State == mail.Pass || f.State == mail.Warn {
				verdicts++
			}
		}
		state := tls.ConnectionState{PeerCertificates: chain, ServerName: "mx.dane.test"}
		theirs, _, err := dane.Verify(silent, records, state, moxdns.Domain{ASCII: "mx.dane.test"}, []moxdns.Domain{{ASCII: "dane.test"}}, own.roots)
		seen[theirs]++
		if ours != theirs || verdicts == 0 {
			t.Errorf("seed %d, chain %s: herald says %v %+v, mox %v (%v)\n%.600s", seed, which, ours, of(findings, "D14"), theirs, err, zone.String())
		}
	}
	t.Log(seen)
	if seen[true] < 100 || seen[false] < 100 {
		t.Errorf("mox calls %d good and %d bad: the zones try too little", seen[true], seen[false])
	}
}
