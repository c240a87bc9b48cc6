package audit

import (
	"crypto/x509"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"herald/report"
	"herald/wire"
)

// certificate judges the certificate that was shown: who vouches for it, for whom, how
// long and with which key, each for itself, so that one fault is one finding.
func (j *judge) certificate() {
	c := j.service.Expect.Certificate
	later := j.file.Defaults.AlsoJudgeAt
	if c == nil {
		if later > 0 && len(j.chainOf()) > 0 {
			j.datesLater(j.chainOf()[0], later)
		}
		return
	}
	if j.fact.Record.TLS == nil || len(j.fact.Record.TLS.Chain) == 0 {
		id := "certificate-dates"
		switch {
		case c.Trusted != nil:
			id = "certificate-trusted"
		case c.Names != nil:
			id = "certificate-names"
		case c.Key != nil:
			id = "certificate-key"
		}
		state := Unknown
		if j.judgedByMode() && j.fact.spoken() == wire.Plain {
			state = NA
		}
		j.add(state, id, "a certificate", "none was shown").fix("let the server speak TLS")
		return
	}
	chain := j.chainOf()
	if c.Trusted != nil {
		j.trusted(*c.Trusted)
	}
	leaf := chain[0]
	if len(c.Names) > 0 {
		j.names(leaf, c.Names)
	}
	j.dates(leaf, c.ValidFor)
	if later > 0 {
		j.datesLater(leaf, later)
	}
	if len(c.Key) > 0 {
		j.check(keyAllowed(leaf.Key, c.Key), "certificate-key", strings.Join(c.Key, " or "), leaf.Key).fix("have a certificate issued for another key")
	}
}

// chainOf are the certificates as the record describes them.
func (j *judge) chainOf() []report.CertJSON {
	if j.fact.Record.TLS == nil {
		return nil
	}
	return j.fact.Record.TLS.Chain
}

// trusted builds the chain with nothing but what the server sent. Dates and names are
// judged elsewhere.
func (j *judge) trusted(want bool) {
	expected := "vouched for by a trusted authority"
	if !want {
		expected = "not vouched for by a trusted authority"
	}
	chain := j.fact.chain()
	if len(chain) == 0 {
		j.add(Unknown, "certificate-trusted", expected, "the certificates themselves were not kept").
			fix("gather with 'herald audit --facts': the lines of a scan do not hold certificates")
		return
	}
	err := error(errUntrusted("no authority is at hand to judge by"))
	if len(j.facts.Roots) > 0 {
		roots := x509.NewCertPool()
		for _, der := range j.facts.Roots {
			if root, err := x509.ParseCertificate(der); err == nil {
				roots.AddCert(root)
			}
		}
		err = vouched(chain, roots, j.facts.Made)
	}
	if t := j.file.Trust; err != nil && (t.System || len(t.CAFiles) == 0) {
		switch j.fact.System {
		case "":
		case trustedBySystem:
			err = nil
		default:
			err = errUntrusted(j.fact.System)
		}
	}
	seen := "vouched for by " + report.Printable(chain[0].Issuer.String(), 100)
	if err != nil {
		seen = report.Printable(err.Error(), 160)
		if chain[0].Issuer.String() == chain[0].Subject.String() {
			seen = "self-signed"
		}
	}
	j.check((err == nil) == want, "certificate-trusted", expected, seen).
		fix("have it issued by an authority that clients know and send the intermediate certificates too, or give the authority under trust")
}

// errUntrusted is why nobody vouches for a certificate.
type errUntrusted string

func (e errUntrusted) Error() string { return string(e) }

// trustedBySystem is Fact.System of a certificate that the system's authorities vouch for.
const trustedBySystem = "trusted"

// vouched builds the chain from what the server sent to one of the roots.
func vouched(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		CurrentTime: inLife(now, chain[0]),
	})
	return err
}

// inLife is the moment, moved into the certificate's life: dates are judged elsewhere.
func inLife(now time.Time, c *x509.Certificate) time.Time {
	switch {
	case now.Before(c.NotBefore):
		return c.NotBefore
	case now.After(c.NotAfter):
		return c.NotAfter
	}
	return now
}

// names judges by subject alternative names alone (RFC 9525, 2).
func (j *judge) names(leaf report.CertJSON, want []string) {
	var missing []string
	for _, name := range want {
		covered := false
		for _, pattern := range leaf.Names {
			covered = covered || nameCovers(pattern, name)
		}
		if !covered {
			missing = append(missing, name)
		}
	}
	seen := report.Printable(strings.Join(leaf.Names, ", "), 200)
	if seen == "" {
		seen = "no subject alternative name"
	}
	j.check(len(missing) == 0, "certificate-names", strings.Join(want, ", "), seen).fix("have a certificate issued for %s", strings.Join(missing, ", "))
}

// nameCovers matches a name of a certificate: an asterisk is the whole leftmost label (RFC
// 9525, 6.3).
func nameCovers(pattern, name string) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		b, err := netip.ParseAddr(pattern)
		return err == nil && a.Unmap() == b.Unmap()
	}
	pattern, name = strings.TrimSuffix(strings.ToLower(pattern), "."), strings.TrimSuffix(strings.ToLower(name), ".")
	if rest, wild := strings.CutPrefix(pattern, "*."); wild {
		label, after, ok := strings.Cut(name, ".")
		return ok && label != "" && label != "*" && after == rest
	}
	return pattern == name
}

func (j *judge) dates(leaf report.CertJSON, want Bound) {
	now := j.facts.Made
	left := leaf.NotAfter.Sub(now)
	expected := "valid now"
	if want.Text != "" {
		expected = "valid for " + want.Text
	}
	seen := "valid until " + leaf.NotAfter.Format(time.DateOnly) + ", " + days(left)
	ok := want.Holds(int64(left))
	switch {
	case now.Before(leaf.NotBefore):
		ok, seen = false, "valid only from "+leaf.NotBefore.Format(time.DateOnly)
	case left < 0:
		ok, seen = false, "expired on "+leaf.NotAfter.Format(time.DateOnly)
	}
	j.check(ok, "certificate-dates", expected, seen).fix("renew the certificate, and reload the server")
}

func (j *judge) datesLater(leaf report.CertJSON, later time.Duration) {
	then := j.facts.Made.Add(later)
	if !j.facts.Made.Before(leaf.NotAfter) {
		return // expired already: certificate-dates says so
	}
	j.check(!then.Before(leaf.NotBefore) && then.Before(leaf.NotAfter), "certificate-dates-later",
		"valid in "+days(later)+", on "+then.Format(time.DateOnly), "valid until "+leaf.NotAfter.Format(time.DateOnly)).
		fix("renew the certificate before that day")
}

// keyAllowed says whether a key ("RSA 2048", "ECDSA P-256", "Ed25519") is one of those
// that are allowed (rsa-2048: that long, or longer).
func keyAllowed(key string, allowed []string) bool {
	kind, detail, _ := strings.Cut(strings.ToLower(key), " ")
	for _, a := range allowed {
		name, size, _ := strings.Cut(a, "-")
		switch {
		case kind != name:
		case kind == "rsa":
			has, err1 := strconv.Atoi(detail)
			least, err2 := strconv.Atoi(size)
			if err1 == nil && err2 == nil && has >= least {
				return true
			}
		case strings.ReplaceAll(detail, "-", "") == size:
			return true
		}
	}
	return false
}
