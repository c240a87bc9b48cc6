package mail

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"herald/audit"
	"herald/resolve"
)

// compared holds what is expected beyond the checks against the facts.
type compared struct {
	*judge
	e    *domainExpected
	list []audit.Finding
}

func (e *domainExpected) compare(f *Facts, o Options) []audit.Finding {
	f = settled(f)
	c := &compared{judge: judgeOf(context.Background(), f, resolve.NewRecorded(f.Answers), o), e: e}
	c.exchangersExpected()
	c.spfExpected()
	c.keysExpected()
	c.dmarcExpected()
	c.stsExpected()
	c.daneExpected()
	c.srvExpected()
	return c.list
}

// add compares what is expected with what is seen.
func (c *compared) add(id, where, expected, seen string, holds bool) *audit.Finding {
	state := audit.Pass
	if !holds {
		state = audit.Fail
	}
	c.list = append(c.list, audit.Finding{State: state, ID: id, Severity: kindOf(id), Service: c.e.name, Where: where, Expected: expected, Seen: seen})
	return &c.list[len(c.list)-1]
}

// unknown says that what is expected could not be looked at.
func (c *compared) unknown(id, where, expected, why string) {
	f := c.add(id, where, expected, why, false)
	f.State, f.Fix = audit.Unknown, "ask again; if it stays, look at the zone's name servers"
}

func kindOf(id string) string {
	kinds := (&Domains{}).Kinds()
	return kinds[slices.IndexFunc(kinds, func(k audit.Kind) bool { return k.ID == id })].Severity
}

func failed(a resolve.Answer) string {
	return fmt.Sprintf("%s %s: %s", a.Type, bare(a.Name), a.Status)
}

func (c *compared) exchangersExpected() {
	l := c.e.mx
	if len(l.exactly)+len(l.contains)+len(l.lacks) == 0 {
		return
	}
	a, records := c.mxRecords()
	var have []string
	for _, rr := range records {
		have = append(have, bare(dns.CanonicalName(rr.Mx)))
	}
	have = lowered(have)
	seen := cmp.Or(strings.Join(have, ", "), "none")
	for _, want := range []struct {
		words []string
		text  string
		holds func(string) bool
	}{
		{l.exactly, "", nil},
		{l.contains, "contains ", func(s string) bool { return slices.Contains(have, s) }},
		{l.lacks, "lacks ", func(s string) bool { return !slices.Contains(have, s) }},
	} {
		words := lowered(want.words)
		switch expected := want.text + strings.Join(words, ", "); {
		case len(words) == 0:
		case !a.Known():
			c.unknown("domain-mx", c.e.name, expected, failed(a))
		case want.holds == nil:
			c.add("domain-mx", c.e.name, expected, seen, slices.Equal(have, words))
		default:
			c.add("domain-mx", c.e.name, expected, seen, !slices.ContainsFunc(words, func(s string) bool { return !want.holds(s) }))
		}
	}
}

func lowered(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, asciiName(s))
	}
	slices.Sort(out)
	return out
}

func (c *compared) spfExpected() {
	e := c.e.spf
	t := c.spfOf(c.e.name)
	unknown := strings.Join(t.unknown, "; ")
	if e.lookups.Operator != "" {
		seen := fmt.Sprintf("%d of %d lookups", t.lookups, spfLookups)
		switch {
		case unknown != "":
			c.unknown("domain-spf-lookups", c.e.name, e.lookups.Text, unknown)
		case t.record == "":
			c.add("domain-spf-lookups", c.e.name, e.lookups.Text, "no SPF record", false)
		default:
			c.add("domain-spf-lookups", c.e.name, e.lookups.Text, seen, e.lookups.Holds(int64(t.lookups)))
		}
	}
	if len(e.all) > 0 {
		seen := map[string]string{"+": "pass", "-": "fail", "~": "softfail", "?": "neutral", "": "neutral"}[t.last]
		expected := strings.Join(e.all, " or ")
		switch {
		case unknown != "" && t.last == "":
			c.unknown("domain-spf-all", c.e.name, expected, unknown)
		case t.record == "":
			c.add("domain-spf-all", c.e.name, expected, "no SPF record", false)
		default:
			c.add("domain-spf-all", c.e.name, expected, seen, slices.Contains(e.all, seen)).Evidence = t.record
		}
	}
	for _, r := range e.results {
		result, trace, _ := c.spfVerdict(r.addr, c.e.name, "postmaster@"+c.e.name)
		expected := strings.Join(r.want, " or ")
		if result == "temperror" {
			c.unknown("domain-spf-result", r.addr.String(), expected, cmp.Or(unknown, result))
			continue
		}
		f := c.add("domain-spf-result", r.addr.String(), expected, result, slices.Contains(r.want, result))
		f.Evidence = strings.Join(trace, "\n")
		if f.State == audit.Fail && slices.Contains(r.want, "pass") && t.record != "" {
			f.Fix = fmt.Sprintf("%s. IN TXT %q", c.e.name, addTerm(t.record, addressTerm(r.addr)))
		}
	}
}

func (c *compared) keysExpected() {
	for _, k := range c.e.keys {
		where := k.selector + "._domainkey." + c.e.name
		a := c.lookup(where, dns.TypeTXT)
		if !a.Known() {
			c.unknown("domain-dkim", where, k.want, failed(a))
			continue
		}
		seen, ok := "absent", k.want == "absent"
		switch texts := a.Texts(); {
		case len(texts) > 1:
			seen, ok = fmt.Sprintf("%d records", len(texts)), false
		case len(texts) == 1:
			key := parseDKIM(texts[0])
			seen = key.name()
			ok = key.is(k.want)
		}
		c.add("domain-dkim", where, k.want, seen, ok).Evidence = strings.Join(a.Texts(), "\n")
	}
}

func (c *compared) dmarcExpected() {
	if len(c.e.dmarc) == 0 && c.e.reports == "" {
		return
	}
	w := c.walkDMARC(c.e.name)
	r, own := w.record()
	effective, reports := "no policy", "absent"
	if r != nil {
		p := r.policy(own, true)
		if r.is("t", "y") {
			p = tested(p)
		}
		effective = cmp.Or(p, effective)
		if r.reports() {
			reports = "present"
		}
	}
	why := ""
	if slices.Contains(w.failed, "_dmarc."+c.e.name) || r == nil && len(w.failed) > 0 {
		why = "could not be looked up: " + strings.Join(w.failed, ", ")
	}
	for _, x := range []struct {
		id, seen string
		want     []string
	}{{"domain-dmarc", effective, c.e.dmarc}, {"domain-dmarc-reports", reports, strings.Fields(c.e.reports)}} {
		switch expected := strings.Join(x.want, " or "); {
		case len(x.want) == 0:
		case why != "":
			c.unknown(x.id, c.e.name, expected, why)
		default:
			f := c.add(x.id, c.e.name, expected, x.seen, slices.Contains(x.want, x.seen))
			if r != nil {
				f.Evidence = r.text
			}
		}
	}
}

func (c *compared) stsExpected() {
	if c.e.mtaSTS == "" {
		return
	}
	list, _, _, known := c.stsRecords()
	d := c.document("mta-sts")
	seen := "absent"
	if p := c.policy(); p != nil {
		seen = p.mode
	}
	where := "_mta-sts." + c.e.name
	switch {
	case !known:
		c.unknown("domain-mta-sts", where, c.e.mtaSTS, failed(c.lookup(where, dns.TypeTXT)))
	case len(list) > 0 && (d == nil || d.Failure != nil && d.Failure.unheard()):
		c.unknown("domain-mta-sts", where, c.e.mtaSTS, "announced; the policy was not fetched")
	default:
		c.add("domain-mta-sts", where, c.e.mtaSTS, seen, seen == c.e.mtaSTS)
	}
}

// daneExpected: valid is that records count and fit at every exchanger that shows a
// certificate; absent that there are none.
func (c *compared) daneExpected() {
	if c.e.dane != "valid" && c.e.dane != "absent" {
		return
	}
	for _, s := range c.exchangers() {
		d := c.daneOf(s)
		chain, ok := c.f.Chain(chainOf(s))
		switch {
		case d.answer.Absent():
			c.add("domain-dane", s.Where(), c.e.dane, "absent", c.e.dane == "absent")
		case !d.answer.Known():
			c.unknown("domain-dane", s.Where(), c.e.dane, failed(d.answer))
		case c.e.dane == "absent":
			c.add("domain-dane", s.Where(), c.e.dane, strings.Join(d.answer.Records, "; "), false)
		case d.unsure:
			c.unknown("domain-dane", s.Where(), c.e.dane, d.insecureBase)
		case !d.counts():
			c.add("domain-dane", s.Where(), c.e.dane, cmp.Or(d.insecureBase, "the records are not signed, or not usable"), false)
		case !ok || !s.offered():
			if s.unseen() || s.offered() {
				c.unknown("domain-dane", s.Where(), c.e.dane, "no certificate was seen: "+s.why())
			} else {
				c.add("domain-dane", s.Where(), c.e.dane, "no TLS", false)
			}
		default:
			r, why := verifyDANE(d.records, chain, d.names, c.at)
			c.add("domain-dane", s.Where(), c.e.dane, cmp.Or(why, "valid"), r != nil)
		}
	}
}

func (c *compared) srvExpected() {
	for _, x := range c.e.srv {
		where := x.name + "._tcp." + c.e.name
		a := c.lookup(where, dns.TypeSRV)
		expected := cmp.Or(strings.Join(x.places, ", "), "none")
		if !a.Known() {
			c.unknown("domain-srv", where, expected, failed(a))
			continue
		}
		var have []string
		for _, rr := range resolve.Of[*dns.SRV](a) {
			if rr.Target != "." { // RFC 2782: the service is not there
				have = append(have, net.JoinHostPort(bare(dns.CanonicalName(rr.Target)), strconv.Itoa(int(rr.Port))))
			}
		}
		slices.Sort(have)
		f := c.add("domain-srv", where, expected, cmp.Or(strings.Join(have, ", "), "none"), slices.Equal(have, x.places))
		f.Evidence = strings.Join(a.Records, "\n")
		if f.State == audit.Fail && len(x.places) == 1 {
			host, port, _ := net.SplitHostPort(x.places[0])
			f.Fix = fmt.Sprintf("%s. IN SRV 0 1 %s %s.", where, port, host)
		} else if f.State == audit.Fail && len(x.places) == 0 {
			f.Fix = fmt.Sprintf("remove the record, or: %s. IN SRV 0 0 0 .", where)
		}
	}
}
