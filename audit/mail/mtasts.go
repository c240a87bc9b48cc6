package mail

import (
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// stsPolicy is a policy of MTA-STS (RFC 8461, 3.2).
type stsPolicy struct {
	mode     string
	mx       []string
	maxAge   int // seconds
	problems []string
}

// mostMaxAge is the highest max_age, in seconds (RFC 8461, 3.2: about a year).
const mostMaxAge = 31557600

func parsePolicy(text string) stsPolicy {
	p := stsPolicy{maxAge: -1}
	bad := func(s string) { p.problems = append(p.problems, s) }
	version, seen := "", map[string]bool{}
	for i, line := range strings.Split(strings.TrimRight(text, "\r\n"), "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		key = strings.TrimSpace(key)
		again := seen[key]
		seen[key] = true
		switch {
		case !ok:
			bad("line " + strconv.Itoa(i+1) + " is no key and value: " + clip(line, 80))
		case again && key != "mx": // RFC 8461, 3.2: the first one counts
		case key == "version":
			version = value
		case key == "mode":
			p.mode = value
		case key == "mx":
			p.mx = append(p.mx, strings.ToLower(strings.TrimSuffix(value, ".")))
		case key == "max_age":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil || n > mostMaxAge {
				bad("max_age " + clip(value, 40) + ": want 0 to " + strconv.Itoa(mostMaxAge))
			} else {
				p.maxAge = int(n)
			}
		}
	}
	if version != "STSv1" {
		bad("version must be STSv1")
	}
	if !slices.Contains([]string{"enforce", "testing", "none"}, p.mode) {
		bad("mode must be enforce, testing or none")
	}
	if p.maxAge < 0 && !hasPrefix(p.problems, "max_age") {
		bad("max_age is missing")
	}
	if len(p.mx) == 0 && p.mode != "none" {
		bad("no mx")
	}
	return p
}

// covers says whether a pattern of the policy is of the host (RFC 8461, 4.1: an asterisk
// stands for one label).
func (p *stsPolicy) covers(host string) bool {
	host = strings.ToLower(host)
	return slices.ContainsFunc(p.mx, func(pattern string) bool {
		if suffix, wild := strings.CutPrefix(pattern, "*."); wild {
			_, rest, _ := strings.Cut(host, ".")
			return rest == suffix
		}
		return pattern == host
	})
}

// stsRecords are the TXT records that announce a policy (RFC 8461, 3.1).
func (j *judge) stsRecords() (list []string, id string, problems []string, known bool) {
	a := j.lookup("_mta-sts."+j.domain(), dns.TypeTXT)
	if !a.Known() {
		return nil, "", nil, false
	}
	for _, text := range a.Texts() {
		if v, _, _ := strings.Cut(text, ";"); strings.TrimSpace(v) == "v=STSv1" {
			list = append(list, text)
		}
	}
	if len(list) == 1 {
		for _, part := range strings.Split(list[0], ";")[1:] {
			if k, v, ok := strings.Cut(part, "="); ok && strings.TrimSpace(k) == "id" {
				id = strings.TrimSpace(v)
			}
		}
		if len(id) < 1 || len(id) > 32 || strings.Trim(strings.ToLower(id), "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			problems = append(problems, "id must be 1 to 32 letters and digits")
		}
	}
	return list, id, problems, true
}

// document is what was fetched in a role, nil for nothing.
func (j *judge) document(role string) *Document {
	for i := range j.f.Documents {
		if j.f.Documents[i].Role == role {
			return &j.f.Documents[i]
		}
	}
	return nil
}

// policy is the domain's policy as a sender would hold it: announced, fetched, and fit. nil
// where senders find none.
func (j *judge) policy() *stsPolicy {
	if j.domain() == "" {
		return nil
	}
	list, _, problems, _ := j.stsRecords()
	d := j.document("mta-sts")
	if len(list) != 1 || len(problems) > 0 || d == nil || d.Status != 200 || d.Cut {
		return nil
	}
	if p := parsePolicy(d.Body); len(p.problems) == 0 {
		return &p
	}
	return nil
}

// enforced says whether senders refuse to deliver to the host without a good certificate.
func (j *judge) enforced(host string) bool {
	p := j.policy()
	return p != nil && p.mode == "enforce" && p.covers(host)
}
