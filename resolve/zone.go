package resolve

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Zone answers out of zone files: what is planned is tested before it is published. Names
// that lie in no zone of the files (below no SOA) are asked of Else, or not at all; files
// without any SOA answer for every name.
//
// What a zone with DNSKEY or RRSIG records at its apex says counts as authentic: it is
// meant to be signed, and there is nobody between the file and us.
type Zone struct {
	Else Records // nil asks nobody

	sets   map[string]map[uint16][]dns.RR // by owner and type
	exists map[string]bool                // owners, and names above them
	apexes []string
	signed map[string]bool // by apex
}

const mostZoneRecords = 1 << 20

// ReadZone reads a file in the format of RFC 1035, 5. Owners without an $ORIGIN are
// relative to the root. $INCLUDE is refused.
func ReadZone(name string, r io.Reader) (*Zone, error) {
	z := &Zone{sets: map[string]map[uint16][]dns.RR{}, exists: map[string]bool{}, signed: map[string]bool{}}
	return z, z.Add(name, r)
}

// Add reads one more file.
func (z *Zone) Add(name string, r io.Reader) error {
	p := dns.NewZoneParser(r, ".", name)
	p.SetDefaultTTL(3600)
	n := 0
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if n++; n > mostZoneRecords {
			return fmt.Errorf("%s: more than %d records", name, mostZoneRecords)
		}
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("zone file %w", err)
	}
	for _, apex := range z.apexes {
		set := z.sets[apex]
		z.signed[apex] = len(set[dns.TypeDNSKEY]) > 0 || len(set[dns.TypeRRSIG]) > 0
	}
	return nil
}

func (z *Zone) add(rr dns.RR) {
	owner := dns.CanonicalName(rr.Header().Name)
	if z.sets[owner] == nil {
		z.sets[owner] = map[uint16][]dns.RR{}
	}
	t := rr.Header().Rrtype
	z.sets[owner][t] = append(z.sets[owner][t], rr)
	if t == dns.TypeSOA && !slices.Contains(z.apexes, owner) {
		z.apexes = append(z.apexes, owner)
	}
	for at := owner; at != "." && !z.exists[at]; at = above(at) {
		z.exists[at] = true
	}
}

// above is the name without its first label.
func above(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}

// apex is the zone that the name lies in, "" for none.
func (z *Zone) apex(name string) string {
	best := ""
	for _, a := range z.apexes {
		if dns.IsSubDomain(a, name) && len(a) > len(best) {
			best = a
		}
	}
	if best == "" && len(z.apexes) == 0 {
		return "."
	}
	return best
}

func (z *Zone) Lookup(ctx context.Context, name string, qtype uint16) Answer {
	n, t := question(name, qtype)
	a := Answer{Name: n, Type: t, Server: "zone file", Status: NoName}
	at, signed := n, true // so far, with each step of the way
	for range 12 {
		apex := z.apex(at)
		if apex == "" {
			return z.outside(ctx, a, at, qtype, signed)
		}
		signed = signed && z.signed[apex]
		a.Authentic, a.Zone = signed, apex
		set, found := z.sets[at]
		if !found && !z.exists[at] {
			set, found = z.wildcard(at, apex)
		}
		switch {
		case len(set[qtype]) > 0:
			a.Status, a.Zone = Found, ""
			a.append(set[qtype], at)
			return a
		case len(set[dns.TypeCNAME]) > 0 && qtype != dns.TypeCNAME:
			alias := set[dns.TypeCNAME][:1]
			a.append(alias, at)
			at = dns.CanonicalName(alias[0].(*dns.CNAME).Target)
			continue
		case found || z.exists[at]:
			a.Status = NoData
		}
		return a
	}
	a.Status, a.Reason = ServFail, "aliases without an end"
	return a
}

// append adds records, under the name that was asked: a wildcard's are made for it (RFC
// 4592, 4.1).
func (a *Answer) append(set []dns.RR, owner string) {
	for _, rr := range set {
		if len(a.Records) < mostRecords {
			rr = dns.Copy(rr)
			rr.Header().Name = owner
			a.Records = append(a.Records, rr.String())
		}
	}
}

// outside asks the other resolver for what the files do not hold.
func (z *Zone) outside(ctx context.Context, a Answer, at string, qtype uint16, signed bool) Answer {
	if z.Else == nil {
		a.Status, a.Reason = Unasked, at+" lies in no zone of the file, and nobody else is asked"
		return a
	}
	rest := z.Else.Lookup(ctx, at, qtype)
	rest.Name, rest.Records = a.Name, append(a.Records, rest.Records...)
	rest.Authentic = rest.Authentic && signed
	return rest
}

// wildcard is the set of the closest encloser's asterisk (RFC 4592, 3.3.1).
func (z *Zone) wildcard(name, apex string) (map[uint16][]dns.RR, bool) {
	for at := above(name); ; at = above(at) {
		if set, ok := z.sets["*."+strings.TrimPrefix(at, ".")]; ok {
			return set, true
		}
		if z.exists[at] || at == apex || at == "." {
			return nil, false
		}
	}
}

// Override gives names their addresses, and asks another for all the rest.
type Override struct {
	Names map[string][]netip.Addr // lower case, no final dot
	Of    Records
}

func (o Override) Lookup(ctx context.Context, name string, qtype uint16) Answer {
	addrs, ok := o.Names[strings.TrimSuffix(dns.CanonicalName(name), ".")]
	if !ok || qtype != dns.TypeA && qtype != dns.TypeAAAA {
		return o.Of.Lookup(ctx, name, qtype)
	}
	n, t := question(name, qtype)
	a := Answer{Name: n, Type: t, Server: "--resolve", Status: NoData}
	for _, addr := range addrs {
		if addr.Is4() == (qtype == dns.TypeA) {
			a.Status = Found
			a.Records = append(a.Records, fmt.Sprintf("%s\t0\tIN\t%s\t%s", n, t, addr))
		}
	}
	return a
}

// Addresses are the addresses of a name, IPv4 first, with the two answers that gave them.
func Addresses(ctx context.Context, r Records, host string) (addrs []netip.Addr, a, aaaa Answer) {
	a, aaaa = r.Lookup(ctx, host, dns.TypeA), r.Lookup(ctx, host, dns.TypeAAAA)
	for _, rr := range Of[*dns.A](a) {
		if addr, ok := netip.AddrFromSlice(rr.A); ok {
			addrs = append(addrs, addr.Unmap())
		}
	}
	for _, rr := range Of[*dns.AAAA](aaaa) {
		if addr, ok := netip.AddrFromSlice(rr.AAAA); ok {
			addrs = append(addrs, addr)
		}
	}
	return tidy(addrs), a, aaaa
}
