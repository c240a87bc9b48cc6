package mail

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"herald/audit/login"
)

// Which servers a round trip goes through, and which of them may hear the password.

// Bounds of a round trip.
const (
	mostSubmissions = 4
	mostExchangers  = 3
	mostMailHosts   = 2
)

// servers are those that take submissions, those to fetch from, and those that take mail
// from outside.
func (t *trip) servers() (submit, fetch, outside []*call) {
	if t.want.At != nil {
		for _, at := range t.want.At {
			host := asciiName(at.Host)
			c := &call{s: &Service{Host: host, Port: at.Port, Protocol: at.Protocol, Security: at.Security, Asked: []string{"service"}}, addrs: t.addressesOf(host)}
			switch at.Role {
			case "submit":
				submit = append(submit, c)
			case "fetch":
				fetch = append(fetch, c)
			case "deliver":
				outside = append(outside, c)
			}
		}
		return submit, fetch, outside
	}
	submit = t.among(isSubmission)
	fetch = slices.Concat(onePerHost(t.among(func(s *Service) bool { return s.Protocol == "imap" })), onePerHost(t.among(func(s *Service) bool { return s.Protocol == "pop3" })))
	outside = onePerHost(t.among(func(s *Service) bool { return isMX(s) && !isSubmission(s) }))
	slices.SortStableFunc(outside, func(a, b *call) int { return cmp.Compare(preference(a.s), preference(b.s)) })
	return submit[:min(len(submit), mostSubmissions)], fetch, outside[:min(len(outside), mostExchangers)]
}

// isSubmission says that mail is submitted there: by its port, by a promise, or because a
// port that the user named is taken for one.
func isSubmission(s *Service) bool {
	promised := slices.ContainsFunc(s.Asked, func(a string) bool {
		return strings.HasPrefix(a, "srv _submission") || a == "autoconfig smtp"
	})
	return s.Protocol == "smtp" && (promised || s.custom() == 465 || s.custom() == 587)
}

// among are calls to the services of a kind: those that are promised, or else those of the
// exchanger that is preferred. Ports that are closed are left out where nobody promised
// them. The facts' addresses that answered come first.
func (t *trip) among(of func(*Service) bool) []*call {
	var list []*Service
	for _, s := range t.facts.Services {
		if of(s) {
			list = append(list, s)
		}
	}
	named := func(s *Service) bool { return declared(s) || slices.Contains(s.Asked, "host") || s.AskedAs("mx") }
	if slices.ContainsFunc(list, named) {
		list = slices.DeleteFunc(list, func(s *Service) bool { return !named(s) })
	} else {
		host := t.preferred()
		list = slices.DeleteFunc(list, func(s *Service) bool { return s.Host != host })
	}
	list = slices.DeleteFunc(list, func(s *Service) bool { return s.closed() && !declared(s) && !s.AskedAs("mx") })
	slices.SortStableFunc(list, func(a, b *Service) int { return cmp.Compare(rankDown(a), rankDown(b)) })
	var calls []*call
	for _, s := range list {
		i := slices.IndexFunc(calls, func(c *call) bool { return c.s.Host == s.Host && c.s.Port == s.Port && c.s.Security == s.Security })
		if i >= 0 {
			calls[i].addrs = append(calls[i].addrs, s.Addr)
			continue
		}
		fresh := &Service{Host: s.Host, Addr: s.Addr, Port: s.Port, Protocol: s.Protocol, Security: s.Security, As: s.As, Asked: s.Asked}
		calls = append(calls, &call{s: fresh, addrs: []netip.Addr{s.Addr}, tell: t.untold(s)})
	}
	slices.SortStableFunc(calls, func(a, b *call) int { return cmp.Compare(rankTLS(a.s), rankTLS(b.s)) })
	return calls
}

func rankDown(s *Service) int {
	if s.down() {
		return 1
	}
	return 0
}

func rankTLS(s *Service) int {
	if s.Security == "tls" {
		return 0
	}
	return 1
}

// onePerHost keeps the best call to each host: TLS from the first byte before STARTTLS.
func onePerHost(calls []*call) []*call {
	var kept []*call
	for _, c := range calls {
		if !slices.ContainsFunc(kept, func(k *call) bool { return k.s.Host == c.s.Host }) {
			kept = append(kept, c)
		}
	}
	return kept[:min(len(kept), max(mostMailHosts, mostExchangers))]
}

// preference is that of an exchanger, as the reasons to ask it tell.
func preference(s *Service) int {
	best := 1 << 16
	for _, a := range s.Asked {
		var n int
		if _, err := fmt.Sscanf(a, "mx %d", &n); err == nil {
			best = min(best, n)
		}
	}
	return best
}

// preferred is the host of the exchanger that is preferred.
func (t *trip) preferred() string {
	best, host := 1<<16+1, ""
	for _, s := range t.facts.Services {
		if n := preference(s); s.AskedAs("mx") && n < best {
			best, host = n, s.Host
		}
	}
	return host
}

// untold says why a server may not be told the password: RFC 6186, 6 has a client believe a
// name that came from the DNS only where that is signed, or within the domain.
func (t *trip) untold(s *Service) string {
	q := t.facts.Question
	within := q.Domain != "" && (s.Host == q.Domain || strings.HasSuffix(s.Host, "."+q.Domain))
	if within || q.Domain == "" || slices.ContainsFunc(t.want.Tell, func(h string) bool { return asciiName(h) == s.Host }) {
		return ""
	}
	for _, asked := range s.Asked {
		reason, name, _ := strings.Cut(asked, " ")
		switch {
		case reason == "srv" && t.dns.Lookup(t.ctx, name+"."+q.Domain, dns.TypeSRV).Authentic,
			(reason == "mx" || reason == "host of an exchanger") && t.dns.Lookup(t.ctx, q.Domain, dns.TypeMX).Authentic,
			reason == "autoconfig" && t.configTrusted():
			return ""
		}
	}
	return "only an unsigned answer of the DNS names " + s.Host + ", which is outside of " + q.Domain + ": no password is said"
}

// configTrusted says that a configuration for mail clients came over TLS that vouches for it.
func (t *trip) configTrusted() bool {
	return slices.ContainsFunc(t.facts.Documents, func(d Document) bool {
		u, err := url.Parse(d.URL)
		if err != nil || !strings.HasPrefix(d.Role, "autoconfig") || d.Status != 200 {
			return false
		}
		chain, ok := t.facts.Chain(d.Chain)
		return ok && login.Trusted(chain, t.want.Roots, u.Hostname()) == nil
	})
}
