package mail

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"herald/resolve"
)

// Certificate usages of TLSA records (RFC 6698, 2.1.1).
const (
	usagePKIXTA = 0
	usagePKIXEE = 1
	usageDANETA = 2
	usageDANEEE = 3
)

// usable says whether SMTP and its kin heed the record (RFC 7672, 3.1: usages 0 and 1 are
// not for SMTP; RFC 6698, 2.1: known selectors and matching types).
func usable(r *dns.TLSA) bool {
	if r.Usage != usageDANETA && r.Usage != usageDANEEE || r.Selector > 1 || r.MatchingType > 2 {
		return false
	}
	want := map[uint8]int{1: 64, 2: 128}[r.MatchingType]
	_, err := hex.DecodeString(r.Certificate)
	return err == nil && (want == 0 && len(r.Certificate) > 0 || len(r.Certificate) == want)
}

// matches says whether the record is of the certificate (RFC 6698, 2.1.2 and 2.1.3).
func matches(r *dns.TLSA, c *x509.Certificate) bool {
	data := c.Raw
	if r.Selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch r.MatchingType {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	want, err := hex.DecodeString(r.Certificate)
	return err == nil && bytes.Equal(want, data)
}

// verifyDANE says by which record the chain is good, nil for none, and why not (RFC 7671,
// 5.1 and 5.2; RFC 7672, 3.1 and 3.2): an end entity's record is compared with the leaf,
// and neither its names nor its dates matter; a trust anchor's is looked for in the chain,
// which must then lead to it, with a good date and one of the names.
func verifyDANE(records []*dns.TLSA, chain []*x509.Certificate, names []string, at time.Time) (*dns.TLSA, string) {
	why := "no record is of this certificate"
	if len(chain) == 0 {
		return nil, "no certificate was shown"
	}
	for _, r := range records {
		if usable(r) && r.Usage == usageDANEEE && matches(r, chain[0]) {
			return r, ""
		}
	}
	for _, r := range records {
		if !usable(r) || r.Usage != usageDANETA {
			continue
		}
		anchor := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return matches(r, c) })
		sent := chain
		if whole := wholeAnchor(r); anchor < 0 && whole != nil { // the record itself brings it (RFC 7671, 5.2)
			sent, anchor = append(slices.Clone(chain), whole), len(chain)
		}
		if anchor < 0 {
			why = "the trust anchor of a record is not in the chain that is sent"
			continue
		}
		if covers(chain[0], names) == "" {
			why = "the trust anchor fits, the names of the certificate do not"
			continue
		}
		if err := leadsTo(sent, anchor, at); err != nil {
			why = "the trust anchor is there, the chain does not lead to it: " + err.Error()
			continue
		}
		return r, ""
	}
	return nil, why
}

// wholeAnchor is the certificate of a record that holds it whole (2 0 0), nil for others.
func wholeAnchor(r *dns.TLSA) *x509.Certificate {
	if r.Selector != 0 || r.MatchingType != 0 {
		return nil
	}
	der, err := hex.DecodeString(r.Certificate)
	if err != nil {
		return nil
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return c
}

// leadsTo verifies a chain with one of its own certificates as the root.
func leadsTo(chain []*x509.Certificate, anchor int, at time.Time) error {
	if anchor == 0 { // its own anchor; the date counts nevertheless (RFC 7671, 5.2)
		if at.Before(chain[0].NotBefore) || at.After(chain[0].NotAfter) {
			return x509.CertificateInvalidError{Cert: chain[0], Reason: x509.Expired}
		}
		return nil
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[anchor])
	for _, c := range chain[1:anchor] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// dane is what the DNS says about one port of a host.
type dane struct {
	answer       resolve.Answer
	records      []*dns.TLSA // usable ones
	all          []*dns.TLSA
	owner        string
	names        []string // that a trust anchor's leaf may have
	insecureBase string   // why the records do not count: the MX or the addresses are not secure
	insecureMX   bool     // only the MX are not: that is the domain's, and the host's records are good
	unsure       bool     // that could not be looked up
}

// daneOf looks the TLSA records of a port up, and whether they count: RFC 7672, 2.2 wants
// the MX records, the addresses and the TLSA records all secure.
func (j *judge) daneOf(s *Service) dane {
	if isAddress(s.Host) || s.Host == "" {
		return dane{answer: resolve.Answer{Status: resolve.Unasked}}
	}
	bases, secure := j.tlsaBases(s.Host)
	d := dane{names: bases}
	for i, base := range bases {
		owner := fmt.Sprintf("_%d._tcp.%s", s.Port, base)
		answer := j.lookup(owner, dns.TypeTLSA)
		// Records that are not signed are as none (RFC 7672, 2.2); those of the first name
		// are kept to tell of them.
		if i == 0 || answer.Status == resolve.Found && (answer.Authentic || d.answer.Status != resolve.Found) || !answer.Known() {
			d.owner, d.answer = owner, answer
		}
		if answer.Status == resolve.Found && answer.Authentic || !answer.Known() {
			break
		}
	}
	d.all = resolve.Of[*dns.TLSA](d.answer)
	for _, r := range d.all {
		if usable(r) {
			d.records = append(d.records, r)
		}
	}
	switch mx := j.lookup(j.f.Question.Domain, dns.TypeMX); {
	case !secure:
		d.insecureBase = "the addresses of " + s.Host + " are not signed"
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if a := j.lookup(s.Host, t); !a.Known() {
				d.insecureBase, d.unsure = "the addresses of "+s.Host+" could not be looked up: "+string(a.Status), true
			}
		}
	case isMX(s) && j.f.Question.Domain != "" && !mx.Known():
		d.insecureBase, d.unsure = "the MX records of "+j.f.Question.Domain+" could not be looked up: "+string(mx.Status), true
	case isMX(s) && j.f.Question.Domain != "" && mx.Status == resolve.Found && !mx.Authentic:
		d.insecureBase, d.insecureMX = "the MX records of "+j.f.Question.Domain+" are not signed", d.answer.Authentic
	}
	if isMX(s) && j.f.Question.Domain != "" {
		d.names = append(d.names, j.f.Question.Domain)
	}
	return d
}

// tlsaBases are the names below which TLSA records are looked for, the first one first, and
// whether the way there is secure: where the name is an alias and each step of the way is
// signed, the name at its end and then the alias itself (RFC 7671, 7; RFC 7672, 2.2.3);
// where a later step is not signed, the alias alone, if it is (RFC 7672, 2.2.2).
func (j *judge) tlsaBases(host string) (bases []string, secure bool) {
	a, aaaa := j.lookup(host, dns.TypeA), j.lookup(host, dns.TypeAAAA)
	secure = a.Status == resolve.Found || aaaa.Status == resolve.Found
	for _, answer := range []resolve.Answer{a, aaaa} {
		secure = secure && (answer.Authentic || answer.Status != resolve.Found)
	}
	aliases := a.Aliases()
	if len(aliases) == 0 {
		aliases = aaaa.Aliases()
	}
	switch {
	case len(aliases) == 0:
		return []string{host}, secure
	case secure:
		return []string{bare(aliases[len(aliases)-1]), host}, true
	}
	return []string{host}, j.lookup(host, dns.TypeCNAME).Authentic
}

// counts says whether senders heed the records.
func (d dane) counts() bool {
	return d.answer.Status == resolve.Found && d.answer.Authentic && d.insecureBase == "" && len(d.records) > 0
}

// paste is the record for a certificate, as RFC 7671, 5.1 advises: 3 1 1.
func paste(owner string, leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("%s. IN TLSA 3 1 1 %x", owner, sum)
}
