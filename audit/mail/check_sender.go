package mail

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"herald/resolve"
)

const senderArea = "sender authentication"

var senderChecks = []Check{
	{"D8", senderArea, "one SPF record", High, "RFC 7208, 3.2 and 4.5", "exactly one TXT record begins with v=spf1 and a space", (*judge).spfOne},
	{"D9", senderArea, "SPF says what to refuse", High, "RFC 7208, 4.6, 5.1 and 6.1", "the record has no errors and ends in ~all, -all or a redirect", (*judge).spfSyntax},
	{"D10", senderArea, "SPF stays within its budget", High, "RFC 7208, 4.6.4", "at most 10 lookups and 2 void ones over the whole tree", (*judge).spfBudget},
	{"D11", senderArea, "SPF lets the domain's own servers send", High, "RFC 7208, 4", "every address that mail goes out from gets pass", (*judge).spfSenders},
	{"D13", senderArea, "DKIM keys", High, "RFC 6376, 3.6.1; RFC 8301, 3.2; RFC 8463, 4", "each selector has one record with a key that is long enough", (*judge).dkim},
	{"D16", senderArea, "a DMARC record", High, "RFC 9989, 4.7, 4.10 and 4.10.1", "the tree walk finds exactly one valid record", (*judge).dmarcRecords},
	{"D17", senderArea, "DMARC has an effect, and reports", Medium, "RFC 9989, 4.7 and 4.10.1; RFC 9990, 4", "the effective policy is quarantine or reject, and reports go where they are accepted", (*judge).dmarcEffect},
}

func (j *judge) spfOne() {
	if j.domain() == "" {
		return
	}
	a := j.lookup(j.domain(), dns.TypeTXT)
	if !a.Known() {
		j.unresolved(j.domain(), a)
		return
	}
	t := j.spfOf(j.domain())
	var near []string
	for _, text := range a.Texts() {
		if low := strings.ToLower(strings.TrimSpace(text)); !isSPF(text) && (strings.HasPrefix(low, "v=spf1") || strings.HasPrefix(low, "v=spf") || strings.HasPrefix(low, "spf2.0") || strings.HasPrefix(low, "\"v=spf1")) {
			near = append(near, text)
		}
	}
	switch {
	case len(t.records) > 1:
		j.fail(j.domain(), "%d records: receivers take that for an error", len(t.records)).with(t.records...).fix("join them into one")
	case len(t.records) == 0 && len(near) > 0:
		j.fail(j.domain(), "a record that does not begin with v=spf1 and a space").with(near...).fix("begin it so, without a space or a quote before; until then there is none")
	case len(t.records) == 0 && j.hidden(j.domain(), a):
	case len(t.records) == 0 && j.takesNoMail():
		j.fail(j.domain(), "none").fix("say that nobody sends for the domain, or who does").record("%s. IN TXT \"v=spf1 -all\"", j.domain())
	case len(t.records) == 0:
		j.fail(j.domain(), "none").fix("say who sends for the domain").record("%s. IN TXT \"v=spf1 mx -all\"", j.domain())
	case len(near) > 0:
		j.warn(j.domain(), "one, and others that resemble it").with(append(near, t.record)...).sev(Low).fix("remove the others")
	default:
		j.pass(j.domain(), "%s", t.record)
	}
}

func (j *judge) spfSyntax() {
	t := j.spfTree()
	if t == nil {
		return
	}
	nobody, trace, forAll := j.spfForAll()
	ofRedirect := map[bool]string{true: ", by a redirect", false: ""}[t.redirect]
	switch {
	case len(t.errors) > 0:
		j.fail(j.domain(), "%s", strings.Join(t.errors, "; ")).with(t.lines...).fix("receivers take that for a permanent error; mend the record")
	case t.last == "+":
		j.fail(j.domain(), "+all%s lets everybody send", ofRedirect).sev(Critical).with(t.lines...).fix("end it in -all or ~all")
	case forAll:
		j.fail(j.domain(), "lets everybody send: %s, which nobody has, gets pass", nobody).sev(Critical).with(t.lines...).with(trace...).fix("take out the term that matches all addresses")
	case t.last == "?":
		j.warn(j.domain(), "?all%s says nothing about others", ofRedirect).sev(Medium).with(t.lines...).fix("end it in -all or ~all")
	case t.last == "" && t.redirect && !t.macros && len(t.unknown) == 0:
		j.warn(j.domain(), "the redirect leads to a record that ends in no all: that is ?all").sev(Medium).with(t.lines...).fix("end that record in -all or ~all")
	case t.last == "" && !t.redirect:
		j.warn(j.domain(), "neither all nor a redirect: that is ?all").sev(Medium).with(t.record).fix("end it in -all or ~all").record("%s. IN TXT %q", j.domain(), t.record+" -all")
	case len(t.warnings) > 0:
		j.warn(j.domain(), "%s", strings.Join(t.warnings, "; ")).sev(Low).with(t.lines...).fix("take that term out of the record")
	default:
		j.pass(j.domain(), "ends in %s", map[bool]string{true: "a redirect", false: t.all + "all"}[t.redirect]).with(t.lines...)
	}
}

// spfTree is the domain's tree, nil where there is no record.
func (j *judge) spfTree() *spfTree {
	if j.domain() == "" {
		return nil
	}
	if t := j.spfOf(j.domain()); t.record != "" && len(t.records) == 1 {
		return t
	}
	return nil
}

func (j *judge) spfBudget() {
	t := j.spfTree()
	if t == nil {
		return
	}
	count := fmt.Sprintf("%d of %d lookups, %d of %d void", t.lookups, spfLookups, t.voids, spfVoids)
	if t.macros {
		count += "; macros are counted once and not followed"
	}
	switch {
	case t.lookups > spfLookups || t.voids > spfVoids:
		j.fail(j.domain(), "over the budget: %s; receivers take that for a permanent error", count).with(t.lines...).fix("replace includes by the addresses that they stand for, or remove those that nobody needs")
	case len(t.unknown) > 0:
		j.unknown(j.domain(), "ask again", "not all could be counted; so far %s", count).with(t.unknown...)
	case t.lookups > spfLookups-2:
		j.warn(j.domain(), "near the budget: %s", count).sev(Low).with(t.lines...).fix("whoever is included may add a lookup at any time")
	default:
		j.pass(j.domain(), "%s", count).with(t.lines...)
	}
}

// senders are the addresses that mail of the domain goes out from, as far as is known:
// those that the user gave, and those that take submissions.
func (j *judge) senders() (list []netip.Addr, why map[netip.Addr]string) {
	why = map[netip.Addr]string{}
	add := func(a netip.Addr, reason string) {
		if why[a] == "" {
			why[a] = reason
			list = append(list, a)
		}
	}
	for _, text := range j.f.Question.Senders {
		if a, err := netip.ParseAddr(text); err == nil {
			add(a, "given")
		}
	}
	for _, s := range j.services("smtp", 465, 587) {
		if s.welcome() {
			add(s.Addr, fmt.Sprintf("%s takes submissions on %d", s.Host, s.Port))
		}
	}
	return list, why
}

func (j *judge) spfSenders() {
	for _, text := range j.f.Question.SPFFor { // what is expected of them is compared elsewhere
		if a, err := netip.ParseAddr(text); err == nil && j.domain() != "" {
			j.spfVerdict(a, j.domain(), "postmaster@"+j.domain())
		}
	}
	if j.spfTree() == nil {
		return
	}
	list, why := j.senders()
	for _, a := range list {
		result, trace, err := j.spfVerdict(a, j.domain(), "postmaster@"+j.domain())
		where := a.String() + " (" + why[a] + ")"
		if result == "permerror" && why[a] != "given" && len(j.spfTree().errors) > 0 {
			continue // D9 tells
		}
		switch result {
		case "pass":
			j.pass(where, "pass")
		case "temperror":
			j.unknown(where, "ask again", "temperror").with(trace...)
		default:
			f := j.fail(where, "%s", result).with(trace...).fix("add the address to the record, if mail goes out from there").
				record("%s. IN TXT %q", j.domain(), addTerm(j.spfTree().record, addressTerm(a)))
			if err != nil {
				f.with(err.Error())
			}
			if why[a] != "given" {
				f.State, f.Severity = Warn, Medium
				f.Text += "; that mail goes out from there is a guess"
			}
		}
	}
}

// addressTerm is the mechanism for one address.
func addressTerm(a netip.Addr) string {
	if a.Is4() {
		return "ip4:" + a.String()
	}
	return "ip6:" + a.String()
}

// addTerm puts a term behind the version.
func addTerm(record, term string) string {
	version, rest, _ := strings.Cut(record, " ")
	return strings.TrimSpace(version + " " + term + " " + rest)
}

func (j *judge) dkim() {
	if j.domain() == "" {
		return
	}
	selectors := j.selectors()
	if len(selectors) == 0 {
		a := j.lookup("_domainkey."+j.domain(), dns.TypeTXT)
		switch {
		case a.Status == resolve.NoName:
			j.na(j.domain(), "no selector was given, and the DNS knows nothing below _domainkey; some servers say that wrongly").fix("name the selectors: --dkim SELECTOR")
		default:
			j.na(j.domain(), "no selector was given: keys cannot be listed").fix("name the selectors, which stand in s= of a message's DKIM-Signature: --dkim SELECTOR")
		}
		return
	}
	for _, selector := range selectors {
		name := selector + "._domainkey." + j.domain()
		a := j.lookup(name, dns.TypeTXT)
		if !a.Known() {
			j.unresolved(name, a)
			continue
		}
		if j.hidden(name, a) {
			continue
		}
		j.dkimKey(name, a.Texts())
	}
}

// selectors are those of the domain's DKIM keys that were given, and those that signed the
// messages of a round trip.
func (j *judge) selectors() []string {
	list := slices.Clone(j.f.Question.Selectors)
	if j.f.RoundTrip == nil {
		return list
	}
	for _, b := range j.f.RoundTrip.Boxes {
		for _, a := range b.Arrivals {
			for _, s := range a.Signatures {
				if strings.EqualFold(s.Domain, j.domain()) && s.Selector != "" && !slices.Contains(list, s.Selector) {
					list = append(list, s.Selector)
				}
			}
		}
	}
	return list
}

func (j *judge) dkimKey(name string, texts []string) {
	switch {
	case len(texts) == 0:
		j.fail(name, "no record").fix("publish the key's record: OpenDKIM writes it to SELECTOR.txt, rspamadm dkim_keygen prints it")
		return
	case len(texts) > 1:
		j.fail(name, "%d records: which one is heeded is undefined", len(texts)).with(texts...).fix("keep one")
		return
	}
	switch k := parseDKIM(texts[0]); {
	case k.revoked:
		j.fail(name, "p= is empty: the key was revoked").with(texts[0]).fix("remove the selector from the signer, or publish its key")
	case k.problem != "":
		j.fail(name, "%s", k.problem).with(texts[0]).fix("publish the record that the signer's tool wrote; look for a quote, a space or a backslash that came in by pasting")
	case k.kind == "rsa" && k.bits < 1024:
		j.fail(name, "RSA %d: receivers refuse that", k.bits).fix("make a key of 2048 bits")
	case k.kind == "rsa" && k.bits < 2048:
		j.warn(name, "RSA %d", k.bits).sev(Medium).fix("make a key of 2048 bits")
	case k.testing:
		j.warn(name, "t=y: the domain is testing; receivers may treat it as unsigned").sev(Low).with(texts[0]).fix("remove t=y")
	default:
		j.pass(name, "%s %d", k.kind, k.bits)
	}
}

func (j *judge) dmarcRecords() {
	if j.domain() == "" {
		return
	}
	w := j.walkDMARC(j.domain())
	r, own := w.record()
	apex := false
	for _, text := range j.lookup(j.domain(), dns.TypeTXT).Texts() {
		if _, is := parseDMARC("", text); is {
			apex = true
		}
	}
	var malformed []string
	for _, text := range j.lookup("_dmarc."+j.domain(), dns.TypeTXT).Texts() {
		if _, is := parseDMARC("", text); !is {
			malformed = append(malformed, text)
		}
	}
	switch {
	case len(w.many) > 0:
		for _, at := range slices.Sorted(maps.Keys(w.many)) {
			n := w.many[at]
			j.fail(at, "%d DMARC records: none of them counts", n).with(j.lookup("_dmarc."+at, dns.TypeTXT).Texts()...).fix("keep one")
		}
	case slices.Contains(w.failed, "_dmarc."+j.domain()):
		j.unresolved(j.domain(), j.lookup("_dmarc."+j.domain(), dns.TypeTXT))
	case r == nil && slices.ContainsFunc(malformed, resembles("dmarc")):
		j.fail(j.domain(), "a record that is none: v=DMARC1 must come first, in these letters, and a semicolon after it").with(malformed...).fix("write it right: until then there is none").record("_dmarc.%s. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@%s\"", j.domain(), j.domain())
	case r == nil && len(w.failed) > 0:
		j.unknown(j.domain(), "ask again", "could not be looked up").with(w.failed...)
	case r == nil && apex:
		j.fail(j.domain(), "a record in the wrong place: it must stand at _dmarc.%s", j.domain()).fix("move it")
	case r == nil && j.hidden(j.domain(), j.lookup("_dmarc."+j.domain(), dns.TypeTXT)):
	case r == nil && j.takesNoMail():
		j.fail(j.domain(), "none, here or above (%d questions)", w.queries).fix("publish one; where nobody sends for the domain, it can refuse all").record("_dmarc.%s. IN TXT \"v=DMARC1; p=reject\"", j.domain())
	case r == nil:
		j.fail(j.domain(), "none, here or above (%d questions)", w.queries).with(malformed...).fix("publish one, to begin with for the reports alone").record("_dmarc.%s. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@%s\"", j.domain(), j.domain())
	case len(r.problems) > 0:
		f := j.fail(r.at, "%s", strings.Join(r.problems, "; ")).with(r.text).fix("write it right")
		if len(r.wrong) > 0 {
			f.Text += map[bool]string{true: "; receivers take the record for p=none", false: "; receivers take no notice of the record"}[r.reports()]
		}
	case r.tags["p"] == "" && !r.reports():
		j.fail(r.at, "neither p nor rua: receivers take no notice of the record").with(r.text).fix("say p=none, or better").record("_dmarc.%s. IN TXT %q", r.at, withTag(r.text, "p", "none"))
	case r.tags["p"] == "":
		j.warn(r.at, "no p: taken as none").sev(Medium).with(r.text).fix("say p=none, or better").record("_dmarc.%s. IN TXT %q", r.at, withTag(r.text, "p", "none"))
	default:
		f := j.pass(r.at, "%s", r.text)
		if !own {
			f.Text = "found at " + r.at + ", the organisational domain: " + r.text
		}
		for _, tag := range r.order {
			if slices.Contains(dmarcRemoved, tag) {
				f.with(tag + " has no meaning any more (RFC 9989)")
			}
		}
	}
}

func (j *judge) dmarcEffect() {
	if j.domain() == "" {
		return
	}
	w := j.walkDMARC(j.domain())
	r, own := w.record()
	if r == nil || slices.Contains(w.failed, "_dmarc."+j.domain()) { // D16 tells
		return
	}
	exists := j.lookup(j.domain(), dns.TypeMX).Status != resolve.NoName
	stated := r.policy(own, exists)
	effective := stated
	if r.is("t", "y") {
		effective = tested(stated)
	}
	text := "the effective policy is " + effective
	if effective == "" {
		text = "there is no policy: receivers take no notice of a record without a valid p, sp and np that names no place for reports"
	}
	if effective != stated {
		text += ", one step below " + stated + ", since t=y says that it is only tried"
	}
	old, _, before := j.dmarcBefore(j.domain())
	var differs []string
	switch {
	case old == nil && before == "":
		differs = append(differs, "by RFC 7489 there is no policy: receivers of before 2026 see none")
	case before != effective:
		differs = append(differs, fmt.Sprintf("by RFC 7489 it is %s, of the record at %s", before, old.at))
	}
	if pct, ok := r.tags["pct"]; ok && pct != "100" {
		differs = append(differs, "by RFC 7489 pct="+pct+" limits it; RFC 9989 has removed pct")
	}
	if effective == "none" || effective == "" {
		f := j.warn(j.domain(), "%s: nothing is refused", text).with(r.text).with(differs...).fix("when the reports show that your own mail passes: p=quarantine, then p=reject")
		switch tag := r.decisive(own, exists); {
		case stated == "quarantine" || stated == "reject":
			f.fix("when the reports show that your own mail passes: take t=y away").record("_dmarc.%s. IN TXT %q", r.at, withTag(r.text, "t", ""))
		case tag == "p":
			f.record("_dmarc.%s. IN TXT %q", r.at, withTag(r.text, "p", "quarantine"))
		default:
			f.fix("when the reports show that your own mail passes: %s=quarantine, then %s=reject, or a record of its own at _dmarc.%s", tag, tag, j.domain()).record("_dmarc.%s. IN TXT %q", r.at, withTag(r.text, tag, "quarantine"))
		}
	} else if pct, ok := r.tags["pct"]; ok && pct != "100" {
		j.warn(j.domain(), "%s; receivers that still follow RFC 7489 heed it for %s %% of the mail", text, pct).sev(Low).with(r.text).with(differs...).
			fix("take pct away; to try a policy, say t=y").record("_dmarc.%s. IN TXT %q", r.at, withTag(r.text, "pct", ""))
	} else {
		j.pass(j.domain(), "%s", text).with(r.text).with(differs...)
	}
	j.dmarcReports(r)
}

// withTag is the record with another value of a tag, or without it where that is "".
func withTag(text, tag, value string) string {
	var parts []string
	done, add := value == "", !hasTag(text, tag)
	for _, part := range strings.Split(strings.TrimRight(text, "; "), ";") {
		name, _, ok := strings.Cut(part, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if ok && name == tag {
			if done {
				continue
			}
			part, done = " "+tag+"="+value, true
		}
		parts = append(parts, part)
		if ok && name == "v" && add && !done {
			parts, done = append(parts, " "+tag+"="+value), true
		}
	}
	return strings.Join(parts, ";")
}

func hasTag(text, tag string) bool {
	return slices.ContainsFunc(strings.Split(text, ";"), func(part string) bool {
		name, _, ok := strings.Cut(part, "=")
		return ok && strings.TrimSpace(strings.ToLower(name)) == tag
	})
}

// resembles says whether a text was meant for a record of that kind, by the letters behind
// v=; others come from a wildcard, or stand there by mistake.
func resembles(kind string) func(string) bool {
	return func(text string) bool {
		head := strings.ToLower(strings.Join(strings.Fields(text), ""))
		return strings.Contains(head[:min(len(head), 24)], "v="+kind) || strings.Contains(head, ";v="+kind)
	}
}

// takesNoMail says that the domain publishes a null MX.
func (j *judge) takesNoMail() bool {
	_, list := j.mxRecords()
	return isNull(list)
}

func (j *judge) dmarcReports(r *dmarcRecord) {
	if r.tags["rua"] == "" {
		j.warn(r.at, "no rua: nobody hears how the domain is used").sev(Low).with(r.text).fix("name a mailbox").record("_dmarc.%s. IN TXT %q", r.at, strings.TrimRight(r.text, "; ")+"; rua=mailto:dmarc@"+r.at)
		return
	}
	for _, tag := range []string{"rua", "ruf"} {
		hosts, bad := reportDomains(r.tags[tag])
		for _, uri := range bad {
			j.fail(r.at, "%s=%s is no mailto URI", tag, uri).sev(Medium).with(r.text).fix("write mailto:NAME@DOMAIN")
		}
		for _, host := range hosts {
			if host == r.at || strings.HasSuffix(host, "."+r.at) || j.walkDMARC(host).orgDomain == j.walkDMARC(r.at).orgDomain {
				j.pass(r.at, "%s goes to %s", tag, host)
				continue
			}
			name := r.at + "._report._dmarc." + host // RFC 9990, 4
			a := j.lookup(name, dns.TypeTXT)
			accepts := slices.ContainsFunc(a.Texts(), func(t string) bool { _, ok := parseDMARC("", t); return ok })
			switch {
			case accepts:
				j.pass(r.at, "%s goes to %s, who accepts that", tag, host)
			case !a.Known():
				j.unresolved(r.at, a)
			default:
				j.fail(r.at, "%s goes to %s, who does not accept reports about %s: none will be sent", tag, host, r.at).sev(Medium).fix("have %s publish that it accepts them", host).record("%s. IN TXT \"v=DMARC1\"", name)
			}
		}
	}
}
