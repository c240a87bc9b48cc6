package mail

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"herald/resolve"
)

// dmarcRecord is a policy record (RFC 9989, 4.7). Tags that are not known are ignored.
type dmarcRecord struct {
	at       string // the domain, without _dmarc
	text     string
	tags     map[string]string
	order    []string
	problems []string
	wrong    []string // of p, sp and np those with a value that is none
}

// removed tags had a meaning in RFC 7489 and have none any more.
var dmarcRemoved = []string{"pct", "rf", "ri"}

// parseDMARC reads a record; ok is false where it is none: v=DMARC1 must come first, in
// this spelling.
func parseDMARC(at, text string) (r dmarcRecord, ok bool) {
	r = dmarcRecord{at: at, text: text, tags: map[string]string{}}
	for i, part := range strings.Split(text, ";") {
		name, value, given := strings.Cut(part, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case i == 0:
			if name != "v" || value != "DMARC1" {
				return r, false
			}
		case strings.TrimSpace(part) == "":
		case !given:
			r.problems = append(r.problems, "no tag: "+strings.TrimSpace(part))
		default:
			if _, twice := r.tags[name]; twice {
				r.problems = append(r.problems, name+" stands there twice")
			}
			r.tags[name] = value
			r.order = append(r.order, name)
		}
	}
	for _, name := range []string{"p", "sp", "np"} {
		if v, ok := r.tags[name]; ok && !slices.Contains([]string{"none", "quarantine", "reject"}, strings.ToLower(v)) {
			r.problems = append(r.problems, name+"="+v+": want none, quarantine or reject")
			r.wrong = append(r.wrong, name)
			delete(r.tags, name)
		}
	}
	for name, words := range map[string]string{"psd": "y n u", "t": "y n", "adkim": "r s", "aspf": "r s"} {
		if v, ok := r.tags[name]; ok && !slices.Contains(strings.Fields(words), strings.ToLower(v)) {
			r.problems = append(r.problems, name+"="+v+": want one of "+words)
			delete(r.tags, name)
		}
	}
	slices.Sort(r.problems)
	return r, true
}

func (r *dmarcRecord) is(tag, value string) bool { return strings.EqualFold(r.tags[tag], value) }

// policy is what the record says to do with mail of the domain that it stands at, of an
// existing domain below, and of one that does not exist (RFC 9989, 4.7: np falls back to
// sp, sp to p). "" is no policy: where p is missing, or one of p, sp and np is none of the
// words, the record counts as p=none if it says where reports go, and else as none at all
// (RFC 9989, 4.10.1).
func (r *dmarcRecord) policy(own, exists bool) string {
	p := strings.ToLower(r.tags["p"])
	switch {
	case p != "" && len(r.wrong) == 0:
	case r.reports():
		return "none"
	default:
		return ""
	}
	if own {
		return p
	}
	sub := p
	if v := strings.ToLower(r.tags["sp"]); v != "" {
		sub = v
	}
	if v := strings.ToLower(r.tags["np"]); v != "" && !exists {
		return v
	}
	return sub
}

// decisive is the tag whose value is the policy, by the same rule.
func (r *dmarcRecord) decisive(own, exists bool) string {
	switch {
	case own:
		return "p"
	case r.tags["np"] != "" && !exists:
		return "np"
	case r.tags["sp"] != "":
		return "sp"
	}
	return "p"
}

// reports says whether the record names one place or more that reports can go to.
func (r *dmarcRecord) reports() bool {
	for uri := range strings.SplitSeq(r.tags["rua"], ",") {
		if _, bad := reportDomains(uri); strings.TrimSpace(uri) != "" && len(bad) == 0 {
			return true
		}
	}
	return false
}

// tested lowers a policy by one step where t=y says that it is only tried (RFC 9989, 4.7).
func tested(policy string) string {
	return map[string]string{"reject": "quarantine", "quarantine": "none", "none": "none"}[policy] // "" stays so
}

// dmarcAt looks one place up. many is how many records stand there: more than one count
// as none.
func (j *judge) dmarcAt(domain string) (r *dmarcRecord, many int, answered bool) {
	a := j.lookup("_dmarc."+domain, dns.TypeTXT)
	// What lies above a zone file is not asked, and taken for not there.
	above := a.Status == resolve.Unasked && domain != j.domain() && dns.IsSubDomain(domain, j.domain())
	if !a.Known() && !above {
		return nil, 0, false
	}
	for _, text := range a.Texts() {
		if found, ok := parseDMARC(domain, text); ok {
			many++
			r = &found
		}
	}
	if many != 1 {
		return nil, many, true
	}
	return r, many, true
}

// dmarcWalk is the result of the tree walk (RFC 9989, 4.10).
type dmarcWalk struct {
	own, organisation, suffix *dmarcRecord // at the domain, at its organisational domain, at the public suffix above
	orgDomain                 string
	many                      map[string]int
	failed                    []string // places that could not be looked up
	queries                   int
}

// walkDMARC goes up from the domain: at most eight questions.
func (j *judge) walkDMARC(domain string) dmarcWalk {
	w := dmarcWalk{orgDomain: domain, many: map[string]int{}}
	var found []*dmarcRecord
	at := domain
	for range 8 {
		w.queries++
		r, many, answered := j.dmarcAt(at)
		if !answered {
			w.failed = append(w.failed, "_dmarc."+at)
		}
		if many > 1 {
			w.many[at] = many
		}
		if r != nil {
			if at == domain {
				w.own = r
			}
			found = append(found, r)
			if _, decides := r.tags["psd"]; decides && !r.is("psd", "u") {
				break
			}
		}
		labels := strings.Split(at, ".")
		if len(labels) == 1 {
			break
		}
		drop := 1
		if at == domain && len(labels) >= 8 {
			drop = len(labels) - 7
		}
		at = strings.Join(labels[drop:], ".")
	}
	for i, r := range found {
		switch {
		case r.is("psd", "n"):
			w.organisation, w.orgDomain = r, r.at
		case r.is("psd", "y") && r.at != domain:
			w.suffix = r
			w.orgDomain = oneBelow(domain, r.at)
			w.organisation = nil
			if i > 0 && found[i-1].at == w.orgDomain {
				w.organisation = found[i-1]
			}
		case r.is("psd", "y"):
			w.organisation, w.orgDomain = r, r.at
		default:
			w.organisation, w.orgDomain = r, r.at // the one with the fewest labels is the last
			continue
		}
		break
	}
	return w
}

// oneBelow is the name one label longer than the suffix, on the way to the domain.
func oneBelow(domain, suffix string) string {
	labels, n := strings.Split(domain, "."), strings.Count(suffix, ".")+1
	return strings.Join(labels[max(0, len(labels)-n-1):], ".")
}

// record is the one whose policy holds, and whether it is the domain's own.
func (w dmarcWalk) record() (r *dmarcRecord, own bool) {
	for _, r := range []*dmarcRecord{w.own, w.organisation, w.suffix} {
		if r != nil {
			return r, r == w.own
		}
	}
	return nil, false
}

// dmarcBefore is what RFC 7489 finds: the domain's record, or else the one at the domain
// below the public suffix.
func (j *judge) dmarcBefore(domain string) (r *dmarcRecord, own bool, policy string) {
	r, _, _ = j.dmarcAt(domain)
	own = r != nil
	if r == nil {
		if org, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil && org != domain {
			r, _, _ = j.dmarcAt(org)
		}
	}
	if r == nil {
		return nil, false, ""
	}
	p := strings.ToLower(r.tags["p"])
	if p == "" || slices.Contains(r.wrong, "sp") {
		if !r.reports() {
			return nil, false, "" // RFC 7489, 6.6.3: no valid p and sp, no policy, unless reports are wanted
		}
		return r, own, "none"
	}
	if sp := strings.ToLower(r.tags["sp"]); !own && sp != "" {
		p = sp
	}
	return r, own, p
}

// reportDomains are the hosts that reports go to, by the URIs of a tag.
func reportDomains(uris string) (hosts, bad []string) {
	for _, uri := range strings.Split(uris, ",") {
		uri = strings.TrimSpace(uri)
		if uri == "" {
			continue
		}
		mailbox, ok := cutFold(uri, "mailto:")
		if i := strings.LastIndexByte(mailbox, '@'); ok && i > 0 && i < len(mailbox)-1 {
			host, _, _ := strings.Cut(mailbox[i+1:], "!") // an RFC 7489 size
			host, _, _ = strings.Cut(host, "?")
			hosts = append(hosts, asciiName(host))
		} else if _, web := cutFold(uri, "https:"); !web {
			bad = append(bad, uri)
		}
	}
	return hosts, bad
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
