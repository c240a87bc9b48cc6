package mail

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

var certificateChecks = []Check{
	{"C1", "certificate", "the chain is complete and trusted", High, "RFC 5280, 6.1; RFC 8446, 4.4.2", "what the server sends leads to a trusted root, with nothing fetched from elsewhere", (*judge).chain},
	{"C2", "certificate", "the certificate is for the name", High, "RFC 9525, 6.3; RFC 7817, 3; RFC 8461, 4.2", "a dNSName covers the name by which clients come", (*judge).certificateName},
	{"C3", "certificate", "the certificate is valid now, and for a while", High, "RFC 5280, 4.1.2.5", "today lies within its dates, with at least 30 days or a third of its life left, whichever is less", (*judge).dates},
	{"C4", "certificate", "the certificate is valid later too", Medium, "RFC 5280, 4.1.2.5", "it is valid at a later day too (14 days on, unless said otherwise)", (*judge).datesLater},
	{"C5", "certificate", "the key is long enough", High, "RFC 9325, 4.5", "RSA with 2048 bits or more, ECDSA on P-256 to P-521, Ed25519", (*judge).certificateKeys},
	{"C6", "certificate", "signatures are sound", High, "RFC 9325, 4.1; RFC 8446, 4.4.2.2", "no certificate that is sent, except a root, is signed with SHA-1 or MD5", (*judge).signatures},
	{"C7", "certificate", "who has signed it", Info, "RFC 5280, 3.2", "self-signed and private authorities are told apart from what is expired or misnamed", (*judge).signedBy},
	{"C8", "certificate", "RSA and ECDSA certificates are both good", High, "RFC 8446, 4.4.2.2", "a server with two kinds of key shows a good certificate for each", (*judge).bothKeys},
	{"C9", "certificate", "all ports of a host show one certificate", Low, "good practice", "the ports of a host do not differ in how long their certificates are valid", (*judge).oneCertificate},
	{"C10", "certificate", "the certificate is one of a server", Medium, "RFC 5280, 4.2.1.9 and 4.2.1.12", "it is for server authentication, is no authority's, and is not valid for more than 825 days", (*judge).purpose},
	{"C12", "certificate", "CAA records say who may issue", Low, "RFC 8659, 3 and 4", "the closest CAA set has an issue tag and no errors", (*judge).caa},
	{"C13", "certificate", "CAA permits the issuer in use", Medium, "RFC 8659, 4.2", "the issuer of the certificate in use may issue the next one", (*judge).caaIssuer},
}

func (j *judge) leaf(t *TLS) (*x509.Certificate, bool) {
	if t == nil || t.Failure != nil {
		return nil, false
	}
	chain, ok := j.f.Chain(t.Chain[:min(len(t.Chain), 1)])
	if !ok {
		return nil, false
	}
	return chain[0], true
}

// covers is the first name that the certificate is for (RFC 9525: its dNSName and, for
// addresses, iPAddress entries; never the common name), "" for none.
func covers(c *x509.Certificate, names []string) string {
	for _, n := range names {
		if n != "" && c.VerifyHostname(n) == nil {
			return n
		}
	}
	return ""
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// clientNames are the names by which clients come (RFC 6186, 6: the target or the domain
// that the SRV record stands at; for exchangers the host alone).
func (j *judge) clientNames(s *Service) []string {
	names := append([]string{s.Host}, s.Names...)
	if !isMX(s) && j.f.Question.Domain != "" && hasPrefix(s.Asked, "srv ") {
		names = append(names, j.f.Question.Domain)
	}
	return names
}

func hasPrefix(list []string, prefix string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, prefix) })
}

// stakes are what a bad certificate means at a service.
type stakes struct {
	severity Severity
	state    State
	why      string
	ignored  bool // DANE-EE: nobody looks at name, chain and dates
}

func (j *judge) stakesOf(s *Service) stakes {
	d := j.daneOf(s)
	if chain, ok := j.f.Chain(chainOf(s)); ok && d.counts() {
		if r, _ := verifyDANE(d.records, chain, d.names, j.at); r != nil && r.Usage == usageDANEEE && isMX(s) {
			return stakes{Info, NA, "a TLSA record 3 x x names this key: senders that know DANE look at nothing else (RFC 7672, 3.1.1)", true}
		}
	}
	switch {
	case !isMX(s):
		return stakes{Critical, Fail, "mail clients stop here", false}
	case j.enforced(s.Host):
		return stakes{High, Fail, "MTA-STS in mode enforce: senders refuse to deliver", false}
	}
	return stakes{Info, Warn, "an exchanger without MTA-STS enforce: senders encrypt anyway, and do not verify", false}
}

func chainOf(s *Service) []string {
	if s.TLS == nil {
		return nil
	}
	return s.TLS.Chain
}

// certified are the services with a certificate.
func (j *judge) certified(do func(s *Service, chain []*x509.Certificate)) {
	for _, s := range j.f.Services {
		if !s.secured() {
			continue
		}
		if chain, ok := j.f.Chain(s.TLS.Chain); ok {
			do(s, chain)
		} else {
			j.unknown(s.Where(), "look at it with another program: openssl s_client", "a certificate that cannot be parsed")
		}
	}
}

// bad adds a finding by what is at stake.
func (j *judge) bad(s *Service, format string, a ...any) *Finding {
	k := j.stakesOf(s)
	f := j.find(k.state, s.Where(), format, a...).sev(k.severity)
	f.Text += " (" + k.why + ")"
	return f
}

// verify leads a chain to the trusted roots, whatever names and dates say.
func (j *judge) verify(chain []*x509.Certificate) error {
	var key string
	for _, c := range chain {
		key += certificateKey(c.Raw)
	}
	err, known := j.trusted[key]
	if !known {
		err = j.verifyOnce(chain)
		j.trusted[key] = err
	}
	return err
}

func (j *judge) verifyOnce(chain []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	at := j.at
	if leaf := chain[0]; at.After(leaf.NotAfter) || at.Before(leaf.NotBefore) { // C3 tells
		at = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: j.o.Roots, Intermediates: between, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func (j *judge) chain() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		err := j.verify(chain)
		var unknownAuthority x509.UnknownAuthorityError
		switch {
		case err == nil:
			j.pass(s.Where(), "%s up to a trusted root", counted(len(chain), "certificate")).with(describe(chain)...)
		case weakSignature(chain) != "": // C6 tells
		case selfSigned(chain[0]):
			f := j.bad(s, "self-signed").with(describe(chain)...).fix("have an authority sign it")
			if isMX(s) && !isAddress(s.Host) {
				f.fix("have an authority sign it, or, in a signed zone, publish its key").record("%s", paste(fmt.Sprintf("_%d._tcp.%s", s.Port, s.Host), chain[0]))
			}
		case errors.As(err, &unknownAuthority) && !selfSigned(chain[len(chain)-1]) && len(chain) == 1:
			j.bad(s, "incomplete: the certificate alone is sent, without the intermediate of %s", issuerName(chain[0])).with(describe(chain)...).fix("%s", j.mend(s, "chain"))
		case errors.As(err, &unknownAuthority):
			j.bad(s, "not trusted: it leads to %s", issuerName(chain[len(chain)-1])).with(describe(chain)...).fix("have a public authority sign it, or give --ca the private one's root")
		default:
			j.bad(s, "the chain does not verify: %v", err).with(describe(chain)...).fix("%s", j.mend(s, "chain"))
		}
	})
}

func issuerName(c *x509.Certificate) string {
	return cmp.Or(c.Issuer.CommonName, strings.Join(c.Issuer.Organization, " "), c.Issuer.String())
}

func describe(chain []*x509.Certificate) []string {
	var lines []string
	for i, c := range chain {
		lines = append(lines, fmt.Sprintf("%d: %s, of %s, %s to %s", i, cmp.Or(c.Subject.String(), strings.Join(c.DNSNames, ", ")), issuerName(c), c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly)))
	}
	return lines
}

func (j *judge) certificateName() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		names := j.clientNames(s)
		switch n := covers(chain[0], names); {
		case n != "":
			j.pass(s.Where(), "for %s", n).with("names: " + strings.Join(chain[0].DNSNames, ", "))
		case isAddress(s.Host) && (!isMX(s) || s.AskedAs("service")):
			j.na(s.Where(), "asked by its address: no name to compare").with("names: " + strings.Join(chain[0].DNSNames, ", "))
		default:
			j.bad(s, "not for %s", strings.Join(names, ", ")).with("names: "+strings.Join(chain[0].DNSNames, ", "), "common name, which does not count: "+chain[0].Subject.CommonName).
				fix("have a certificate issued that names %s", names[0])
		}
	})
}

// left judges how long a certificate has to live: a certificate for six days is not late
// when a yearly one would be, and one for a year or ten has time when a third of its life
// is left. Those of 90 days are renewed with 30 days left, where nothing is wrong.
func left(c *x509.Certificate, at time.Time) (remaining time.Duration, state State) {
	life, remaining := c.NotAfter.Sub(c.NotBefore), c.NotAfter.Sub(at)
	const day = 24 * time.Hour
	urgent, soon := min(7*day, life/10), min(30*day, life/3)
	switch {
	case remaining < urgent:
		return remaining, Fail
	case remaining < soon:
		return remaining, Warn
	}
	return remaining, Pass
}

func (j *judge) dates() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		leaf := chain[0]
		dates := fmt.Sprintf("%s to %s", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))
		remaining, state := left(leaf, j.at)
		switch {
		case j.at.After(leaf.NotAfter):
			j.bad(s, "expired %s ago", days(-remaining)).with(dates).fix("%s", j.mend(s, "reload"))
		case j.at.Before(leaf.NotBefore):
			j.bad(s, "not valid before %s", leaf.NotBefore.Format(time.RFC3339)).with(dates).fix("look at the clock of the authority, and of this machine")
		case state == Pass || j.stakesOf(s).ignored:
			j.pass(s.Where(), "%s left", days(remaining)).with(dates)
		default:
			f := j.bad(s, "only %s left", days(remaining)).with(dates).fix("%s; see why it was not renewed by itself", j.mend(s, "reload"))
			if f.State == Fail && state == Warn {
				f.State, f.Severity = Warn, Medium
			} else if f.State == Fail {
				f.Severity = High
			}
		}
	})
}

func days(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return d.Round(time.Minute).String()
}

func (j *judge) datesLater() {
	if j.o.Later < 0 {
		return
	}
	later := j.at.Add(j.o.Later)
	type due struct {
		s    *Service
		leaf *x509.Certificate
	}
	var first *due
	newest := map[string]*x509.Certificate{}
	j.certified(func(s *Service, chain []*x509.Certificate) {
		leaf := chain[0]
		if n := newest[s.Host]; n == nil || leaf.NotAfter.After(n.NotAfter) {
			newest[s.Host] = leaf
		}
		if first == nil || leaf.NotAfter.Before(first.leaf.NotAfter) {
			first = &due{s, leaf}
		}
	})
	j.certified(func(s *Service, chain []*x509.Certificate) {
		leaf := chain[0]
		switch {
		case j.at.After(leaf.NotAfter): // C3 tells
		case !later.After(leaf.NotAfter):
			j.pass(s.Where(), "valid on %s too", later.Format(time.DateOnly))
		default:
			f := j.bad(s, "breaks in %s, on %s", days(leaf.NotAfter.Sub(j.at)), leaf.NotAfter.Format(time.DateOnly)).fix("%s", j.mend(s, "reload"))
			if n := newest[s.Host]; n.NotAfter.Sub(leaf.NotAfter) > 24*time.Hour {
				f.Text = fmt.Sprintf("breaks in %s; another port of this host shows one that is valid until %s: this service was not reloaded", days(leaf.NotAfter.Sub(j.at)), n.NotAfter.Format(time.DateOnly))
			}
			if f.State == Fail {
				f.State, f.Severity = Warn, Medium
			}
		}
	})
	if first != nil && first.leaf.NotAfter.After(j.at) {
		j.find(Pass, j.subject(), "what breaks first: %s, in %s", first.s.Where(), days(first.leaf.NotAfter.Sub(j.at)))
	}
}

// keyOf names a key, and says whether it is long enough.
func keyOf(c *x509.Certificate) (name string, ok bool) {
	if c == nil {
		return "", false
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen()), k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name, k.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return "Ed25519", true
	}
	return c.PublicKeyAlgorithm.String(), false
}

func (j *judge) certificateKeys() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		bad := ""
		for _, c := range chain {
			if name, ok := keyOf(c); !ok {
				bad = name + " of " + cmp.Or(c.Subject.CommonName, c.Subject.String())
			}
		}
		name, _ := keyOf(chain[0])
		if bad != "" {
			j.fail(s.Where(), "too short: %s", bad).fix("make a new key: ECDSA P-256, or RSA with 2048 bits")
		} else {
			j.pass(s.Where(), "%s", name)
		}
	})
}

// weakSignature names the first certificate that is signed with SHA-1 or MD5, "" for none.
// A root's own signature is looked at by nobody.
func weakSignature(chain []*x509.Certificate) string {
	weak := []x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}
	for i, c := range chain {
		root := i > 0 && bytes.Equal(c.RawIssuer, c.RawSubject)
		if slices.Contains(weak, c.SignatureAlgorithm) && !root {
			return fmt.Sprintf("%s on %s", c.SignatureAlgorithm, cmp.Or(c.Subject.CommonName, c.Subject.String()))
		}
	}
	return ""
}

func (j *judge) signatures() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		if weak := weakSignature(chain); weak != "" {
			j.bad(s, "%s: nobody trusts that any more", weak).with(describe(chain)...).fix("have the certificate issued anew: every authority signs with SHA-256 or better")
		} else {
			j.pass(s.Where(), "%s", chain[0].SignatureAlgorithm)
		}
	})
}

// longestLife is what Apple's systems take, of private authorities too (Apple,
// "Requirements for trusted certificates in iOS 13 and macOS 10.15").
const longestLife = 825 * 24 * time.Hour

func (j *judge) purpose() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		leaf := chain[0]
		named := len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0
		life := leaf.NotAfter.Sub(leaf.NotBefore)
		switch {
		case named && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
			j.bad(s, "its extended key usage does not name server authentication").with(describe(chain)...).fix("have a certificate issued for servers (extendedKeyUsage = serverAuth)")
		case selfSigned(leaf) || j.stakesOf(s).ignored:
			j.na(s.Where(), "self-signed, or vouched for by a TLSA record: nobody looks")
		case leaf.IsCA:
			j.warn(s.Where(), "it is an authority's own certificate (CA:TRUE)").sev(Low).with(describe(chain)...).fix("have a certificate issued for the server, and keep the authority's key off it")
		case life > longestLife && !isMX(s):
			j.warn(s.Where(), "valid for %s: Apple's clients refuse more than 825 days", days(life)).sev(Low).with(describe(chain)...).fix("have it issued for a year at most, and renewed by a program")
		default:
			j.pass(s.Where(), "for servers, for %s", days(life))
		}
	})
}

func (j *judge) signedBy() {
	j.certified(func(s *Service, chain []*x509.Certificate) {
		switch {
		case selfSigned(chain[0]):
			j.pass(s.Where(), "self-signed")
		case j.verify(chain) == nil:
			j.pass(s.Where(), "by %s, whom we trust", issuerName(chain[0]))
		default:
			j.pass(s.Where(), "by %s, whom we do not know", issuerName(chain[0]))
		}
	})
}

func (j *judge) bothKeys() {
	for _, s := range j.f.Services {
		if s.OtherKey == nil || !s.secured() {
			continue
		}
		leaf, ok := j.leaf(s.OtherKey)
		main, _ := j.leaf(s.TLS)
		switch {
		case s.OtherKey.Failure != nil && !s.OtherKey.refused():
			j.unknown(s.Where(), "repeat later: it may limit how often we may connect", "whether there is an %s certificate too was not heard: %s", s.OtherWas, s.OtherKey.Failure)
		case s.OtherKey.Failure != nil || len(s.OtherKey.Chain) == 0:
			j.na(s.Where(), "one kind of key: there is no %s certificate", s.OtherWas)
		case !ok:
			j.unknown(s.Where(), "look at it with another program: openssl s_client", "the %s certificate cannot be parsed", s.OtherWas)
		case main != nil && main.Equal(leaf):
			j.na(s.Where(), "one certificate for all")
		default:
			chain, whole := j.f.Chain(s.OtherKey.Chain)
			if !whole {
				j.unknown(s.Where(), "gather again", "the chain of the %s certificate is not whole in the facts", s.OtherWas)
				continue
			}
			var wrong []string
			if err := j.verify(chain); err != nil {
				wrong = append(wrong, "it does not lead to a trusted root")
			}
			if covers(leaf, j.clientNames(s)) == "" && !isAddress(s.Host) {
				wrong = append(wrong, "it is not for "+s.Host)
			}
			if _, ok := keyOf(leaf); !ok {
				wrong = append(wrong, "its key is too short")
			}
			if weak := weakSignature(chain); weak != "" {
				wrong = append(wrong, weak)
			}
			remaining, state := left(leaf, j.at)
			switch {
			case remaining < 0:
				wrong = append(wrong, "it expired "+days(-remaining)+" ago")
			case state != Pass && len(wrong) == 0 && !j.stakesOf(s).ignored:
				j.warn(s.Where(), "the %s certificate has only %s left", s.OtherWas, days(remaining)).sev(Medium).with(describe(chain)...).fix("%s", j.mend(s, "reload"))
				continue
			}
			if len(wrong) == 0 {
				j.pass(s.Where(), "the %s certificate is good too", s.OtherWas)
			} else {
				j.bad(s, "the %s certificate: %s", s.OtherWas, strings.Join(wrong, ", ")).with(describe(chain)...).fix("renew both certificates together")
			}
		}
	}
}

func (j *judge) oneCertificate() {
	hosts, by := hostsOf(j.f.Services)
	for _, h := range hosts {
		var lines []string
		ends := map[string]bool{}
		var least, most time.Time
		for _, s := range by[h] {
			leaf, ok := j.leaf(s.TLS)
			if !ok || s.AskedAs("service") && isAddress(h) {
				continue
			}
			key := certificateKey(leaf.Raw)
			if !ends[key] {
				lines = append(lines, fmt.Sprintf("%d: until %s, serial %x", s.Port, leaf.NotAfter.Format(time.DateOnly), leaf.SerialNumber))
			}
			ends[key] = true
			if least.IsZero() || leaf.NotAfter.Before(least) {
				least = leaf.NotAfter
			}
			if leaf.NotAfter.After(most) {
				most = leaf.NotAfter
			}
		}
		switch {
		case len(ends) == 0:
		case most.Sub(least) > 24*time.Hour:
			j.warn(h, "the ports show certificates that end %s apart: one service was not reloaded", days(most.Sub(least))).with(lines...).fix("have every service load the new certificate")
		default:
			j.pass(h, "%s in all", counted(len(ends), "certificate"))
		}
	}
}
