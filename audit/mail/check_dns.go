package mail

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"herald/resolve"
)

var dnsChecks = []Check{
	{"D1", "dns", "the domain has mail exchangers", Critical, "RFC 5321, 5.1", "one MX record or more", (*judge).mx},
	{"D2", "dns", "a null MX is exact", High, "RFC 7505, 3", "a lone record with preference 0 and the root for its target", (*judge).nullMX},
	{"D3", "dns", "exchangers have addresses", High, "RFC 5321, 5.1; RFC 2181, 10.3", "each target is a name with A or AAAA records, no alias, no address, and not private in public", (*judge).targets},
	{"D6", "dns", "the DNS answers", Medium, "RFC 2308, 7; RFC 8020, 2", "no question about the domain fails; a failure is no missing record", (*judge).answers},
	{"D7", "dns", "DNSSEC", Low, "RFC 4035, 4.3 and 5; RFC 7672, 2.1", "the domain's zone and those of its exchangers are signed, and validate", (*judge).dnssec},
}

// domain is the domain in question, "" where a host or services are.
func (j *judge) domain() string { return j.f.Question.Domain }

// dockerHides says whether the resolver is the one that Docker puts into containers, which
// knows addresses alone for the names of containers.
func dockerHides(a resolve.Answer) bool {
	addr, err := netip.ParseAddrPort(a.Server)
	return err == nil && addr.Addr() == resolve.DockerDNS
}

// hidden adds an unknown where Docker's resolver says that there is nothing; false where
// it does not.
func (j *judge) hidden(where string, a resolve.Answer) bool {
	if !dockerHides(a) || !a.Absent() {
		return false
	}
	j.unknown(where, "name a DNS server that holds the zone: --dns ADDRESS, or --zone FILE", "no %s records; but Docker's own resolver answered, which hides them", a.Type)
	return true
}

func (j *judge) mxRecords() (resolve.Answer, []*dns.MX) {
	a := j.lookup(j.domain(), dns.TypeMX)
	list := resolve.Of[*dns.MX](a)
	slices.SortStableFunc(list, func(a, b *dns.MX) int {
		return cmp.Or(cmp.Compare(a.Preference, b.Preference), strings.Compare(a.Mx, b.Mx))
	})
	return a, list
}

func isNull(list []*dns.MX) bool { return len(list) == 1 && list[0].Mx == "." }

func (j *judge) mx() {
	if j.domain() == "" {
		return
	}
	a, list := j.mxRecords()
	addrs, v4, _ := resolve.Addresses(j.ctx, j.dns, j.domain())
	switch {
	case isNull(list):
		j.na(j.domain(), "a null MX: the domain takes no mail")
	case len(list) > 0:
		j.pass(j.domain(), "%s", counted(len(list), "exchanger")).with(a.Records...)
	case j.unresolved(j.domain(), a):
	case j.hidden(j.domain(), a):
	case len(addrs) > 0:
		j.warn(j.domain(), "no MX record: mail goes to the domain's own address").sev(Medium).fix("publish the exchanger").record("%s. IN MX 10 mail.%s.", j.domain(), j.domain())
	case a.Status == resolve.NoName && v4.Status == resolve.NoName:
		j.fail(j.domain(), "the domain does not exist").fix("see whether the name is right, and the domain paid for")
	default:
		j.fail(j.domain(), "neither MX records nor an address").fix("publish the exchanger, or say that there is none").record("%s. IN MX 0 .", j.domain())
	}
}

func (j *judge) nullMX() {
	if j.domain() == "" {
		return
	}
	_, list := j.mxRecords()
	nulls := 0
	for _, rr := range list {
		if rr.Mx == "." {
			nulls++
		}
	}
	switch {
	case nulls == 0:
	case len(list) > nulls:
		j.fail(j.domain(), "a null MX beside others").with(j.lookup(j.domain(), dns.TypeMX).Records...).fix("keep the one or the others")
	case list[0].Preference != 0:
		j.warn(j.domain(), "a null MX with preference %d", list[0].Preference).sev(Low).record("%s. IN MX 0 .", j.domain())
	default:
		j.pass(j.domain(), "the domain takes no mail, and says so")
	}
}

func (j *judge) targets() {
	if j.domain() == "" {
		return
	}
	_, list := j.mxRecords()
	for _, rr := range list {
		host := bare(dns.CanonicalName(rr.Mx))
		if host == "." {
			continue
		}
		addrs, a, aaaa := resolve.Addresses(j.ctx, j.dns, host)
		aliases := append(a.Aliases(), aaaa.Aliases()...)
		_, err := netip.ParseAddr(host)
		where := fmt.Sprintf("MX %d %s", rr.Preference, host)
		switch {
		case err == nil:
			j.fail(where, "an address stands where a name must").fix("give the host a name").record("%s. IN MX %d mail.%s.", j.domain(), rr.Preference, j.domain())
		case len(aliases) > 0:
			j.fail(where, "an alias (CNAME) of %s", bare(aliases[len(aliases)-1])).with(a.Records...).fix("name the host itself").sev(Medium).record("%s. IN MX %d %s", j.domain(), rr.Preference, aliases[len(aliases)-1])
		case len(addrs) > 0 && j.public() && slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() }):
			j.fail(where, "a private address in public: %s", joined(addrs)).fix("publish the public address")
		case len(addrs) > 0:
			j.pass(where, "%s", joined(addrs))
		case !a.Known() && j.unresolved(where, a):
		case !aaaa.Known() && j.unresolved(where, aaaa):
		default:
			j.fail(where, "has no address").with(string(a.Status)).fix("publish its address, or remove the MX record").record("%s. IN A 192.0.2.1", host)
		}
	}
}

// public says whether some exchanger has a public address: then private ones are a fault.
func (j *judge) public() bool {
	return slices.ContainsFunc(j.exchangers(), func(s *Service) bool {
		return s.Addr.IsGlobalUnicast() && !s.Addr.IsPrivate()
	})
}

func (j *judge) answers() {
	if j.domain() == "" {
		return
	}
	for _, t := range []uint16{dns.TypeSOA, dns.TypeNS, dns.TypeMX, dns.TypeTXT} {
		a := j.lookup(j.domain(), t)
		if a.Known() {
			j.pass(j.domain(), "%s: %s", a.Type, a.Status)
		} else {
			j.unresolved(j.domain(), a)
		}
	}
}

func (j *judge) dnssec() {
	if j.domain() == "" {
		return
	}
	type subject struct {
		name string
		t    uint16
	}
	subjects := []subject{{j.domain(), dns.TypeSOA}}
	_, list := j.mxRecords()
	for _, rr := range list {
		if rr.Mx != "." {
			subjects = append(subjects, subject{bare(dns.CanonicalName(rr.Mx)), dns.TypeA})
		}
	}
	for _, s := range subjects {
		a := j.lookup(s.name, s.t)
		if a.Absent() && s.t == dns.TypeA {
			a = j.lookup(s.name, dns.TypeAAAA)
		}
		ds := j.lookup(zoneOf(a, s.name, s.t), dns.TypeDS)
		switch {
		case a.Status == resolve.Bogus:
			j.fail(s.name, "bogus: signed, and the signatures do not validate; validating resolvers find nothing here").sev(Critical).with(a.Reason).
				fix("see whether the DS record fits a DNSKEY, and whether signatures have expired; until then remove the DS record")
		case !a.Known():
			j.unresolved(s.name, a)
		case a.Authentic:
			j.pass(s.name, "signed, and validates")
		case ds.Status == resolve.Found:
			j.unknown(s.name, "ask a validating resolver that you trust: --dns ADDRESS", "there is a DS record, and our resolver does not say that the answer validates")
		default:
			j.na(s.name, "not signed")
		}
	}
}

// zoneOf is the zone that a name lies in, as far as an answer tells.
func zoneOf(a resolve.Answer, name string, t uint16) string {
	if t == dns.TypeSOA {
		return name
	}
	if a.Zone != "" {
		return a.Zone
	}
	_, rest, _ := strings.Cut(name, ".")
	return cmp.Or(rest, name)
}
