package mail

import (
	"cmp"
	"crypto/x509"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"herald/resolve"
)

// caa judges who may issue certificates; caaIssuer whether who did was allowed to.
func (j *judge) caa() {
	for _, name := range j.certifiedNames() {
		at, answer := j.caaSet(name)
		if !answer.Known() {
			j.unresolved(name, answer)
			continue
		}
		issue, broken := 0, []string{}
		for _, rr := range resolve.Of[*dns.CAA](answer) {
			switch tag := strings.ToLower(rr.Tag); {
			case tag == "issue" || tag == "issuewild":
				if tag == "issue" {
					issue++
				}
			case tag == "iodef" || tag == "issuemail" || tag == "issuevmc" || tag == "contactemail" || tag == "contactphone":
			case rr.Flag&128 != 0:
				broken = append(broken, "critical tag that nobody knows: "+rr.String())
			}
		}
		switch {
		case len(answer.Records) == 0:
			j.na(name, "no CAA records: every authority may issue").record("%s. IN CAA 0 issue \"letsencrypt.org\"", cmp.Or(j.f.Question.Domain, name))
		case len(broken) > 0:
			j.fail(name, "an authority must refuse to issue").with(broken...).fix("remove the record, or write its tag right").sev(Medium)
		case issue == 0:
			j.warn(name, "the records at %s have no issue tag: every authority may issue", at).with(answer.Records...).fix("add an issue record")
		default:
			j.pass(name, "records at %s", at).with(answer.Records...)
		}
	}
}

// caaSet climbs to the closest CAA records (RFC 8659, 3).
func (j *judge) caaSet(name string) (at string, answer resolve.Answer) {
	for at = dns.CanonicalName(name); at != "."; {
		answer = j.lookup(at, dns.TypeCAA)
		if answer.Status == resolve.Found || !answer.Known() {
			return bare(at), answer
		}
		i, end := dns.NextLabel(at, 0)
		if end {
			break
		}
		at = at[i:]
	}
	return "", answer
}

// certifiedNames are the names that certificates are needed for.
func (j *judge) certifiedNames() []string {
	var names []string
	for _, s := range j.f.Services {
		if s.secured() && !isAddress(s.Host) && !slices.Contains(names, s.Host) {
			names = append(names, s.Host)
		}
	}
	return names
}

// issuers are what authorities call themselves in certificates and in CAA records, as
// their certification practice statements say.
var issuers = []struct{ organisation, identifiers string }{
	{"Let's Encrypt", "letsencrypt.org"}, {"Google Trust Services", "pki.goog"}, {"ZeroSSL", "sectigo.com zerossl.com"},
	{"DigiCert", "digicert.com www.digicert.com symantec.com thawte.com geotrust.com rapidssl.com"},
	{"Sectigo", "sectigo.com comodoca.com usertrust.com trust-provider.com"}, {"COMODO", "sectigo.com comodoca.com"},
	{"GlobalSign", "globalsign.com"}, {"Amazon", "amazon.com amazontrust.com awstrust.com amazonaws.com"},
	{"Buypass", "buypass.com buypass.no"}, {"Entrust", "entrust.net affirmtrust.com"}, {"Actalis", "actalis.it"},
	{"SSL Corp", "ssl.com"}, {"SSL.com", "ssl.com"}, {"GoDaddy", "godaddy.com starfieldtech.com"}, {"Starfield", "godaddy.com starfieldtech.com"},
	{"IdenTrust", "identrust.com"}, {"Hellenic Academic", "harica.gr"}, {"HARICA", "harica.gr"}, {"Asseco", "certum.pl"}, {"Unizeto", "certum.pl"},
	{"SwissSign", "swisssign.com"}, {"QuoVadis", "quovadisglobal.com digicert.com"}, {"D-Trust", "d-trust.net"}, {"Deutsche Telekom", "telesec.de"},
	{"GEANT", "sectigo.com harica.gr"}, {"Microsoft", "microsoft.com"}, {"Telia", "telia.com"}, {"TrustAsia", "trustasia.com"},
}

func (j *judge) caaIssuer() {
	seen := map[string]bool{}
	j.certified(func(s *Service, chain []*x509.Certificate) {
		if isAddress(s.Host) || seen[s.Host+certificateKey(chain[0].Raw)] {
			return
		}
		seen[s.Host+certificateKey(chain[0].Raw)] = true
		at, answer := j.caaSet(s.Host)
		var allowed []string
		none := false
		for _, rr := range resolve.Of[*dns.CAA](answer) {
			if strings.EqualFold(rr.Tag, "issue") {
				value, _, _ := strings.Cut(rr.Value, ";")
				if value = strings.ToLower(strings.TrimSpace(value)); value != "" {
					allowed = append(allowed, value)
				} else {
					none = true
				}
			}
		}
		if len(allowed) == 0 && !none || selfSigned(chain[0]) {
			return
		}
		organisation := strings.Join(chain[0].Issuer.Organization, " ")
		ids, known := j.identifiers(organisation, issuerName(chain[0]))
		if slices.ContainsFunc(allowed, func(a string) bool {
			return slices.Contains(ids, a) || strings.Contains(strings.ToLower(organisation+" "+issuerName(chain[0])), a)
		}) {
			j.pass(s.Where(), "%s may issue", cmp.Or(organisation, issuerName(chain[0]))).with(answer.Records...)
			return
		}
		publicOnly := !slices.ContainsFunc(allowed, func(a string) bool {
			return !slices.ContainsFunc(issuers, func(i struct{ organisation, identifiers string }) bool {
				return slices.Contains(strings.Fields(i.identifiers), a)
			})
		})
		if !known && !publicOnly {
			j.unknown(s.Where(), "see in the authority's practice statement how it is called in CAA records", "whether %s is any of %s is not known", cmp.Or(organisation, issuerName(chain[0])), strings.Join(allowed, ", ")).with(answer.Records...)
			return
		}
		f := j.warn(s.Where(), "%s is not among those that may issue at %s: the next renewal will fail", cmp.Or(organisation, issuerName(chain[0])), at).with(answer.Records...).fix("add the issuer in use")
		if len(ids) > 0 {
			f.record("%s. IN CAA 0 issue %q", at, ids[0])
		}
	})
}

// identifiers are how an issuer is called in CAA records.
func (j *judge) identifiers(organisation, name string) (ids []string, known bool) {
	for o, id := range j.o.Issuers {
		if strings.EqualFold(o, organisation) || strings.EqualFold(o, name) {
			ids, known = append(ids, strings.ToLower(id)), true
		}
	}
	for _, i := range issuers {
		if strings.Contains(strings.ToLower(organisation), strings.ToLower(i.organisation)) {
			ids, known = append(ids, strings.Fields(i.identifiers)...), true
		}
	}
	return ids, known
}
