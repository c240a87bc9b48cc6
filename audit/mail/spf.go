package mail

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"blitiri.com.ar/go/spf"
	"github.com/miekg/dns"

	"herald/resolve"
)

// spfTree is an SPF record with everything that it includes, and what that costs (RFC
// 7208, 4.6.4).
type spfTree struct {
	record    string
	records   []string // all that begin like one
	lookups   int
	voids     int
	all       string // what the domain's own record says at its end: "-", "~", "?", "+"; "" for nothing
	last      string // the same, behind redirects
	redirect  bool
	macros    bool
	errors    []string
	warnings  []string
	unknown   []string // lookups that failed
	lines     []string // the tree, indented
	visited   map[string]bool
	mostTerms int
}

// Limits of RFC 7208, 4.6.4.
const (
	spfLookups = 10
	spfVoids   = 2
	spfMX      = 10
)

func (j *judge) spfOf(domain string) *spfTree {
	t := &spfTree{visited: map[string]bool{}}
	t.walk(j, domain, 0, true, "")
	return t
}

// isSPF says whether a text begins as version 1 (RFC 7208, 4.5).
func isSPF(text string) bool {
	version, _, _ := strings.Cut(text, " ")
	return strings.EqualFold(version, "v=spf1")
}

func (t *spfTree) note(depth int, format string, a ...any) {
	const most = 200
	if len(t.lines) < most {
		t.lines = append(t.lines, strings.Repeat("  ", depth)+fmt.Sprintf(format, a...))
	}
}

// walk reads a domain's record; final says that its end is the end of the whole, by which
// term led here.
func (t *spfTree) walk(j *judge, domain string, depth int, final bool, by string) {
	a := j.lookup(domain, dns.TypeTXT)
	if !a.Known() {
		t.unknown = append(t.unknown, bare(a.Name)+" TXT: "+string(a.Status))
		return
	}
	var records []string
	for _, text := range a.Texts() {
		if isSPF(text) {
			records = append(records, text)
		}
	}
	if depth > 0 && a.Absent() {
		t.voids++
	}
	switch {
	case len(records) == 0:
		if depth > 0 {
			section := map[bool]string{true: "5.2", false: "6.1"}[strings.Contains(by, "include")]
			t.errors = append(t.errors, by+" leads to a name without an SPF record (RFC 7208, "+section+": permerror)")
		}
		return
	case len(records) > 1:
		if depth > 0 {
			t.errors = append(t.errors, by+" leads to "+strconv.Itoa(len(records))+" SPF records (RFC 7208, 4.5: permerror)")
		}
	}
	if depth == 0 {
		t.record, t.records = records[0], records
	}
	if t.visited[domain] {
		t.errors = append(t.errors, by+" leads back to where it began")
		return
	}
	t.visited[domain] = true
	defer delete(t.visited, domain)
	t.terms(j, domain, records[0], depth, final)
}

func (t *spfTree) terms(j *judge, domain, record string, depth int, final bool) {
	if problem := spfProblem(record); problem != "" {
		t.errors = append(t.errors, domain+": "+problem)
	}
	redirect, sawAll := "", false
	for _, term := range strings.Fields(record)[1:] {
		if t.mostTerms++; t.mostTerms > 300 || depth > 12 {
			t.errors = append(t.errors, "more terms than anybody follows")
			return
		}
		if sawAll && !strings.Contains(term, "=") {
			t.warnings = append(t.warnings, term+" stands behind all and is never reached")
			continue
		}
		qualifier, rest := "+", term
		if strings.ContainsRune("+-~?", rune(term[0])) {
			qualifier, rest = term[:1], term[1:]
		}
		if name, value, ok := strings.Cut(term, "="); ok && isName(name) {
			switch strings.ToLower(name) {
			case "redirect":
				redirect = value
			case "exp":
			}
			continue
		}
		name, argument := rest, ""
		if i := strings.IndexAny(rest, ":/"); i >= 0 {
			name, argument = rest[:i], rest[i:]
		}
		switch name = strings.ToLower(name); name {
		case "all":
			sawAll = true
			if depth == 0 {
				t.all = qualifier
			}
			if final {
				t.last = qualifier
			}
			t.note(depth, "%s", term)
		case "ip4", "ip6":
			t.note(depth, "%s", term)
		case "include", "a", "mx", "ptr", "exists":
			t.lookups++
			t.mechanism(j, domain, name, argument, term, depth)
		default:
			t.note(depth, "%s  (not known)", term)
		}
	}
	if redirect != "" && sawAll {
		t.warnings = append(t.warnings, "redirect="+redirect+" stands beside all and is not heeded (RFC 7208, 6.1)")
	}
	if redirect != "" && !sawAll {
		t.lookups++
		if depth == 0 {
			t.redirect = true
		}
		t.note(depth, "redirect=%s  (1 lookup)", redirect)
		if !t.macro(redirect) {
			t.walk(j, strings.ToLower(strings.TrimSuffix(redirect, ".")), depth+1, final, "redirect="+redirect)
		}
	}
}

func isName(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

func (t *spfTree) macro(domain string) bool {
	if strings.Contains(domain, "%") {
		t.macros = true
		return true
	}
	return false
}

func (t *spfTree) mechanism(j *judge, domain, name, argument, term string, depth int) {
	target, _, _ := strings.Cut(strings.TrimPrefix(argument, ":"), "/")
	if target == "" {
		if name == "include" || name == "exists" {
			return // an error of syntax
		}
		target = domain
	}
	target = strings.ToLower(strings.TrimSuffix(target, "."))
	before := t.lookups
	line := len(t.lines)
	t.note(depth, "%s", term)
	switch {
	case t.macro(target): // counted, and not followed: it depends on the message
	case name == "include":
		t.walk(j, target, depth+1, false, term)
	case name == "ptr":
		t.warnings = append(t.warnings, "ptr is slow and should not be used (RFC 7208, 5.5)")
	case name == "exists":
		t.void(j.lookup(target, dns.TypeA))
	case name == "a":
		_, a, aaaa := resolve.Addresses(j.ctx, j.dns, target)
		t.voidBoth(a, aaaa)
	case name == "mx":
		a := j.lookup(target, dns.TypeMX)
		t.void(a)
		if n := len(resolve.Of[*dns.MX](a)); n > spfMX {
			t.errors = append(t.errors, fmt.Sprintf("%s: %d exchangers, more than %d (RFC 7208, 4.6.4: permerror)", term, n, spfMX))
		}
		for _, rr := range resolve.Of[*dns.MX](a) {
			resolve.Addresses(j.ctx, j.dns, rr.Mx)
		}
	}
	if line < len(t.lines) {
		t.lines[line] += fmt.Sprintf("  (%d of the lookups)", 1+t.lookups-before)
	}
}

func (t *spfTree) void(a resolve.Answer) {
	if a.Absent() {
		t.voids++
	} else if !a.Known() {
		t.unknown = append(t.unknown, bare(a.Name)+" "+a.Type+": "+string(a.Status))
	}
}

// voidBoth counts a look for addresses once: the evaluator asks for one family alone.
func (t *spfTree) voidBoth(a, aaaa resolve.Answer) {
	if a.Absent() && aaaa.Absent() {
		t.voids++
	} else if !a.Known() {
		t.void(a)
	}
}

// spfVerdict evaluates the policy for one sender, as a receiver would.
func (j *judge) spfVerdict(addr netip.Addr, helo, sender string) (result string, trace []string, err error) {
	r, err := spf.CheckHostWithSender(net.IP(addr.AsSlice()), helo, sender, spf.WithContext(j.ctx), spf.WithResolver(spfResolver{j, addr.Is4()}),
		spf.WithTraceFunc(func(f string, a ...any) {
			if len(trace) < 60 {
				trace = append(trace, clip(fmt.Sprintf(f, a...), 300))
			}
		}))
	return string(r), trace, err
}

// nobodys are addresses that nobody has: one of those reserved for the future (RFC 1112, 4),
// and the 6to4 address of that (RFC 3056, 2).
var nobodys = []netip.Addr{netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("2002:f000:1::1")}

// spfForAll is an address that nobody has, and may send nevertheless: so may everybody.
func (j *judge) spfForAll() (nobody netip.Addr, trace []string, forAll bool) {
	for _, a := range nobodys {
		if result, trace, _ := j.spfVerdict(a, j.domain(), "postmaster@"+j.domain()); result == "pass" {
			return a, trace, true
		}
	}
	return netip.Addr{}, nil, false
}

// spfResolver lets the evaluator ask our answers.
type spfResolver struct {
	j    *judge
	four bool // the sender's family, which decides
}

func (r spfResolver) err(a resolve.Answer) error {
	if a.Status == resolve.Found {
		return nil
	}
	return &net.DNSError{Err: string(a.Status), Name: a.Name, IsNotFound: a.Absent(), IsTemporary: !a.Known()}
}

// LookupTXT puts a term that is wrong to the front: the evaluator goes from term to term,
// and would match one before it, where RFC 7208, 4.6 has the whole record fail.
func (r spfResolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	a := r.j.lookup(name, dns.TypeTXT)
	texts := a.Texts()
	for i, text := range texts {
		if isSPF(text) && spfProblem(text) != "" {
			texts[i] = "v=spf1 a:" + strings.TrimPrefix(text, "v=spf1")
		}
	}
	return texts, r.err(a)
}

func (r spfResolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	a := r.j.lookup(name, dns.TypeMX)
	var list []*net.MX
	for _, rr := range resolve.Of[*dns.MX](a) {
		if rr.Mx != "." { // RFC 7505: nobody is there
			list = append(list, &net.MX{Host: rr.Mx, Pref: rr.Preference})
		}
	}
	return list, r.err(a)
}

func (r spfResolver) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	addrs, a, aaaa := resolve.Addresses(r.j.ctx, r.j.dns, host)
	var list []net.IPAddr
	for _, addr := range addrs {
		list = append(list, net.IPAddr{IP: addr.AsSlice()})
	}
	if decides := map[bool]resolve.Answer{true: a, false: aaaa}[r.four]; !decides.Known() {
		return nil, r.err(decides)
	}
	if len(list) > 0 {
		return list, nil
	}
	if !a.Known() {
		return nil, r.err(a)
	}
	return nil, r.err(aaaa)
}

func (r spfResolver) LookupAddr(_ context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	answer, names := r.j.pointers(a)
	return names, r.err(answer)
}
