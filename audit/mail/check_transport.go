package mail

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"herald/resolve"
)

const transportArea = "transport policies"

var transportChecks = []Check{
	{"D14", transportArea, "DANE holds at every address", High, "RFC 7672, 2 and 3; RFC 7671, 5", "where TLSA records are published, MX, addresses and TLSA are signed, and each address shows a chain that fits one of them, for each kind of key", (*judge).danes},
	{"D15", transportArea, "DANE survives a change of keys", Low, "RFC 7671, 8.1", "beside the record of the key in use stands one of the next key, or of the authority (3 x x and 3 x x, or 3 x x and 2 x x)", (*judge).daneRollover},
	{"D18", transportArea, "MTA-STS", High, "RFC 8461, 3 and 4", "one record, a policy fetched without redirect over good TLS, whose patterns and exchangers are the same; in mode enforce every exchanger passes", (*judge).mtaSTS},
	{"D19", transportArea, "TLS reports", Low, "RFC 8460, 3", "one record at _smtp._tls with v=TLSRPTv1 and a rua", (*judge).tlsReports},
}

func (j *judge) danes() {
	for _, s := range j.f.Services {
		if isAddress(s.Host) || s.down() && !isMX(s) {
			continue
		}
		d := j.daneOf(s)
		switch {
		case d.answer.Status == resolve.Unasked && len(d.answer.Name) == 0:
		case d.answer.Status == resolve.Bogus && isMX(s) && d.insecureBase == "":
			j.fail(s.Where(), "the TLSA records do not validate (bogus): senders that know DANE do not deliver").sev(Critical).with(d.answer.Reason).fix("mend the zone's signatures")
		case !d.answer.Known() && d.answer.Status != resolve.Unasked && isMX(s) && d.insecureBase == "":
			j.unknown(s.Where(), "ask again; if it stays, look at the zone's name servers", "TLSA %s could not be looked up: %s; while that lasts, senders that know DANE hold mail back (RFC 7672, 2.1.2)", bare(d.answer.Name), d.answer.Status).with(d.answer.Reason)
		case !d.answer.Known():
			j.unresolved(s.Where(), d.answer)
		case d.answer.Absent():
			if isMX(s) {
				j.na(s.Where(), "no TLSA records")
			}
		default:
			j.daneAt(s, d)
		}
	}
}

func (j *judge) daneAt(s *Service, d dane) {
	records := strings.Join(d.answer.Records, "\n")
	chain, ok := j.f.Chain(chainOf(s))
	ok = ok && s.offered()
	r, why := verifyDANE(d.records, chain, d.names, j.at)
	switch {
	case len(d.records) == 0:
		j.fail(s.Where(), "none of the %d TLSA records is usable: usage 2 or 3, selector 0 or 1, matching type 0 to 2", len(d.all)).with(records).fix("publish 3 1 1").sev(High)
		return
	case !ok && s.refusal() != "":
		j.unknown(s.Where(), nextAfter(s), "no certificate was seen: it would not talk to us").with(s.refusal())
		return
	case !ok && s.down():
		j.unknown(s.Where(), "see R1", "no certificate was seen: %s", s.Failure.Kind)
		return
	case !ok && (s.unseen() || s.offered()):
		j.unknown(s.Where(), s.nextOf(), "no certificate was seen: %s", s.why())
		return
	case !ok:
		j.fail(s.Where(), "TLSA records are published, and there is no TLS: senders that know DANE do not deliver").with(records).fix("let STARTTLS work, or remove the records").sev(Critical)
		return
	case r == nil:
		j.fail(s.Where(), "%s: senders that know DANE do not deliver", why).with(records).with(describe(chain)...).fix("publish the record of the key in use, before the key is used").record("%s", paste(d.owner, chain[0]))
	case !d.answer.Authentic || d.insecureBase != "":
		because := cmp.Or(d.insecureBase, "the TLSA records are not signed")
		if d.unsure {
			j.unknown(s.Where(), "ask again", "the record fits; whether it counts is not known: %s", because).with(records)
		} else if !j.f.Trusted && !slices.ContainsFunc(j.f.Answers, func(a resolve.Answer) bool { return a.Authentic }) {
			j.unknown(s.Where(), "ask a validating resolver that you trust: --dns ADDRESS", "the record fits; whether it is signed our resolver does not say").with(records)
		} else if d.insecureMX {
			j.warn(s.Where(), "the record fits; but %s: not every sender heeds it then", because).with(records).fix("sign %s with DNSSEC", j.domain()).sev(Medium)
		} else {
			j.fail(s.Where(), "the record fits, and does not count: %s", because).with(records).fix("sign the zones with DNSSEC, or remove the records").sev(Medium)
		}
	default:
		j.pass(s.Where(), "%d %d %d fits", r.Usage, r.Selector, r.MatchingType).with(records)
	}
	if s.OtherKey == nil || s.OtherKey.Failure != nil || slices.Equal(s.OtherKey.Chain, s.TLS.Chain) {
		return
	}
	if other, ok := j.f.Chain(s.OtherKey.Chain); ok && !other[0].Equal(chain[0]) {
		if r, why := verifyDANE(d.records, other, d.names, j.at); r == nil {
			j.fail(s.Where(), "the %s certificate: %s", s.OtherWas, why).with(records).with(describe(other)...).fix("publish a record for each kind of key").record("%s", paste(d.owner, other[0]))
		} else {
			j.pass(s.Where(), "the %s certificate: %d %d %d fits", s.OtherWas, r.Usage, r.Selector, r.MatchingType)
		}
	}
}

// daneRollover asks for each kind of key whether a record beside that of the key in use
// waits for the next one: else whoever changes the key first and the record afterwards
// keeps all mail away that comes from senders who know DANE.
func (j *judge) daneRollover() {
	for _, s := range j.exchangers() {
		d := j.daneOf(s)
		if !d.counts() {
			continue
		}
		waiting, anchors := 0, 0
		for _, r := range d.records {
			if r.Usage == usageDANETA {
				anchors++
			} else if !j.shownAt(s, r) {
				waiting++
			}
		}
		var alone []string // keys in use whose record has none beside it
		for _, t := range []*TLS{s.TLS, s.OtherKey} {
			leaf, ok := j.leaf(t)
			inUse := ok && slices.ContainsFunc(d.records, func(r *dns.TLSA) bool { return r.Usage == usageDANEEE && matches(r, leaf) })
			if key, _ := keyOf(leaf); inUse && waiting+anchors == 0 && !slices.Contains(alone, key) {
				alone = append(alone, key)
			}
		}
		switch {
		case len(alone) > 0:
			j.warn(s.Where(), "the record of the key in use (%s) stands alone: a new key without its record keeps mail away", strings.Join(alone, ", ")).with(d.answer.Records...).
				fix("make the next key now, and publish its record beside this one two TTLs before the key is used; or renew certificates with the same key (certbot --reuse-key)")
		case anchors > 0:
			j.pass(s.Where(), "rests on the authority too: a new key that it signs needs no new record")
		case waiting > 0:
			j.pass(s.Where(), "%s beside that of the key in use", counted(waiting, "record"))
		}
	}
}

// shownAt says whether the record is of a certificate that the service shows.
func (j *judge) shownAt(s *Service, r *dns.TLSA) bool {
	return slices.ContainsFunc([]*TLS{s.TLS, s.OtherKey, s.NoName}, func(t *TLS) bool {
		leaf, ok := j.leaf(t)
		return ok && matches(r, leaf)
	})
}

func (j *judge) mtaSTS() {
	if j.domain() == "" {
		return
	}
	list, _, problems, known := j.stsRecords()
	d := j.document("mta-sts")
	where := "_mta-sts." + j.domain()
	switch {
	case !known:
		j.unresolved(where, j.lookup(where, dns.TypeTXT))
		return
	case j.hidden(where, j.lookup(where, dns.TypeTXT)):
		return
	case len(list) == 0 && slices.ContainsFunc(j.lookup(where, dns.TypeTXT).Texts(), resembles("sts")):
		j.fail(where, "a record that is none: v=STSv1 must come first, in these letters, and a semicolon after it").with(j.lookup(where, dns.TypeTXT).Texts()...).fix("write it right: until then senders look no further").
			record("%s. IN TXT \"v=STSv1; id=%s\"", where, j.at.Format("20060102150405"))
	case len(list) == 0 && d != nil && d.Status == 200:
		j.warn(where, "a policy is served, and no record announces it: senders do not look").with(d.Body).fix("publish the record").record("%s. IN TXT \"v=STSv1; id=%s\"", where, j.at.Format("20060102150405"))
		return
	case len(list) == 0:
		j.na(j.domain(), "not used")
		return
	case len(list) > 1:
		j.fail(where, "%d records: senders ignore all of them", len(list)).with(list...).fix("keep one")
	case len(problems) > 0:
		j.fail(where, "%s", strings.Join(problems, "; ")).with(list...).record("%s. IN TXT \"v=STSv1; id=%s\"", where, j.at.Format("20060102150405"))
	default:
		j.pass(where, "%s", list[0])
	}
	j.stsDocument(d)
}

func (j *judge) stsDocument(d *Document) {
	url := "https://mta-sts." + j.domain() + "/.well-known/mta-sts.txt"
	switch {
	case d == nil:
		if addrs, v4, v6 := resolve.Addresses(j.ctx, j.dns, "mta-sts."+j.domain()); len(addrs) > 0 {
			j.unknown(url, "gather again, with documents", "the policy was not fetched")
		} else if (v4.Known() || !j.unresolved(url, v4)) && (v6.Known() || !j.unresolved(url, v6)) {
			j.fail(url, "announced, and mta-sts.%s has no address", j.domain()).fix("publish the host, or remove the record")
		}
		return
	case d.Failure != nil:
		f := j.fail(url, "announced, and cannot be fetched: %s", d.Failure).fix("serve the policy, or remove the record")
		if d.Failure.unheard() {
			f.State, f.Fix = Unknown, "ask again; if it stays, see whether the web server answers from outside"
		}
		return
	}
	if chain, ok := j.f.Chain(d.Chain); !ok {
		j.unknown(url, "gather again", "the certificate of the policy host is not in the facts")
	} else {
		host := "mta-sts." + j.domain()
		switch err := j.verify(chain); {
		case covers(chain[0], []string{host}) == "":
			j.fail(url, "the certificate is not for %s: senders ignore the policy", host).with("names: " + strings.Join(chain[0].DNSNames, ", ")).fix("have a certificate issued for that name")
		case err != nil:
			j.fail(url, "the certificate is not trusted: senders ignore the policy").with(describe(chain)...).fix("have a public authority sign it")
		case j.at.After(chain[0].NotAfter) || j.at.Before(chain[0].NotBefore):
			j.fail(url, "the certificate's dates: %s to %s: senders ignore the policy", chain[0].NotBefore.Format("2006-01-02"), chain[0].NotAfter.Format("2006-01-02")).fix("renew it")
		default:
			j.pass(url, "over TLS with a good certificate")
		}
	}
	if d.Status != 200 {
		f := j.fail(url, "answered with %d", d.Status).fix("serve the policy at this very address")
		if d.Location != "" {
			f.Text += ", a redirect to " + d.Location + ": senders do not follow (RFC 8461, 3.3)"
		}
		return
	}
	if kind, _, _ := strings.Cut(d.Type, ";"); !strings.EqualFold(strings.TrimSpace(kind), "text/plain") {
		j.warn(url, "served as %q, want text/plain", d.Type).sev(Low)
	}
	if d.Cut {
		j.fail(url, "longer than %d bytes", resolve.MostBody)
		return
	}
	p := parsePolicy(d.Body)
	if len(p.problems) > 0 {
		j.fail(url, "%s", strings.Join(p.problems, "; ")).with(d.Body).fix("write it as RFC 8461, 3.2 has it")
		return
	}
	j.stsAgainstMX(url, d.Body, p)
}

func (j *judge) stsAgainstMX(url, body string, p stsPolicy) {
	a, mx := j.mxRecords()
	if !a.Known() {
		j.unresolved(url, a)
		return
	}
	var uncovered, hosts []string
	for _, rr := range mx {
		if host := bare(dns.CanonicalName(rr.Mx)); host != "." { // D2 tells
			hosts = append(hosts, host)
		}
	}
	if len(mx) == 0 { // RFC 5321, 5.1: the domain is its own exchanger
		hosts = append(hosts, j.domain())
	}
	for _, host := range hosts {
		if !p.covers(host) && p.mode != "none" {
			uncovered = append(uncovered, host)
		}
	}
	var idle []string
	for _, pattern := range p.mx {
		if !strings.HasPrefix(pattern, "*.") && !slices.Contains(hosts, pattern) {
			idle = append(idle, pattern)
		}
	}
	switch {
	case len(uncovered) > 0:
		f := j.fail(url, "no pattern covers %s: senders do not deliver there", strings.Join(uncovered, ", ")).with(body).fix("add: mx: %s; then change the record's id", uncovered[0])
		if p.mode == "testing" {
			f.State, f.Severity = Warn, Medium
		}
	case len(idle) > 0:
		j.warn(url, "%s is no exchanger of the domain", strings.Join(idle, ", ")).sev(Low).with(body)
	default:
		j.pass(url, "patterns and exchangers agree").with(body)
	}
	switch {
	case p.mode != "enforce":
		j.warn(url, "mode %s: senders deliver whatever they find", p.mode).sev(Low).with(body).fix("when the TLS reports are clean: mode: enforce")
	case p.maxAge <= 86400:
		j.warn(url, "max_age %d s: forgotten within a day", p.maxAge).sev(Low).with(body).fix("max_age: 604800 or more")
	default:
		j.pass(url, "mode enforce, for %s", days(secondsOf(p.maxAge)))
	}
	if p.mode != "enforce" {
		return
	}
	for _, s := range j.exchangers() {
		switch {
		case !p.covers(s.Host):
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "whether it fits the policy is not known: it would not talk to us").with(s.refusal())
		case s.down() || !s.welcome() && !s.secured(): // R1, R12 tell
		case s.interrupted():
			j.unknown(s.Where(), "see S9", "we did not go under TLS, since words came in the clear before it")
		case s.unseen():
			j.unknown(s.Where(), s.nextOf(), "whether TLS works, which mode enforce demands, is not known: %s", s.why()).with(stepText(s.Step("starttls", false)))
		case !s.offered():
			j.fail(s.Where(), "no TLS under mode enforce: senders do not deliver").sev(Critical).fix("%s", j.mend(s, "starttls-smtp"))
		default:
			chain, ok := j.f.Chain(s.TLS.Chain)
			if !ok {
				j.unknown(s.Where(), "gather again", "its certificate is not in the facts")
			} else if j.verify(chain) == nil && covers(chain[0], []string{s.Host}) != "" && j.at.Before(chain[0].NotAfter) && j.at.After(chain[0].NotBefore) {
				j.pass(s.Where(), "passes the policy")
			} else {
				j.fail(s.Where(), "its certificate does not pass under mode enforce: senders do not deliver (C1 to C3 tell why)").with(describe(chain)...).fix("give it a certificate of a public authority for %s", s.Host)
			}
		}
	}
}

func (j *judge) tlsReports() {
	if j.domain() == "" {
		return
	}
	where := "_smtp._tls." + j.domain()
	a := j.lookup(where, dns.TypeTXT)
	if !a.Known() {
		j.unresolved(where, a)
		return
	}
	if j.hidden(where, a) {
		return
	}
	var list []string
	for _, text := range a.Texts() {
		if v, _, _ := strings.Cut(text, ";"); strings.TrimSpace(v) == "v=TLSRPTv1" {
			list = append(list, text)
		}
	}
	example := fmt.Sprintf("%s. IN TXT \"v=TLSRPTv1; rua=mailto:tls-reports@%s\"", where, j.domain())
	switch {
	case len(list) == 0 && slices.ContainsFunc(a.Texts(), resembles("tlsrpt")):
		j.fail(where, "a record that is none: v=TLSRPTv1 must come first, in these letters, and a semicolon after it").with(a.Texts()...).sev(Medium).record("%s", example)
		return
	case len(list) == 0:
		f := j.na(j.domain(), "not used")
		f.record("%s", example)
		if sts, _, _, _ := j.stsRecords(); len(sts) > 0 {
			f.State = Warn
			f.Text = "MTA-STS without reports: nobody hears when it keeps mail away"
		}
		return
	case len(list) > 1:
		j.fail(where, "%d records: none counts", len(list)).with(list...).fix("keep one").sev(Medium)
		return
	}
	rua := ""
	for _, part := range strings.Split(list[0], ";")[1:] {
		if k, v, ok := strings.Cut(part, "="); ok && strings.TrimSpace(k) == "rua" {
			rua = strings.TrimSpace(v)
		}
	}
	if hosts, bad := reportDomains(rua); rua == "" || len(bad) > 0 || len(hosts) == 0 && !strings.HasPrefix(strings.ToLower(rua), "https:") {
		j.fail(where, "rua must be mailto: or https:").with(list[0]).sev(Medium).record("%s", example)
		return
	}
	j.pass(where, "%s", list[0])
}
