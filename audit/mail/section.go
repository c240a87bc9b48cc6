package mail

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/miekg/dns"

	"herald/audit"
	"herald/resolve"
	"herald/scan"
)

// Domains is the section "domains" of an expectations file: domains that every check is
// made of, and what is expected of them beyond.
type Domains struct {
	list []domainExpected
}

type domainExpected struct {
	name      string
	dkim      []string
	senders   []string
	mx        []string // exactly these
	dmarc     []string // one of these effective policies
	mtaSTS    string   // mode, or "absent"
	dane      string   // valid, absent, any
	lookups   audit.Bound
	line, col int
}

// Section reads "domains" (audit.Section).
func Section(_ *audit.File, n ast.Node) (audit.Check, error) {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 {
		return nil, audit.At(n, "want a list of domains, each with its name")
	}
	d := &Domains{}
	for _, item := range list.Values {
		var one domainExpected
		err := keys(item, map[string]func(ast.Node) error{
			"name":    word(&one.name),
			"dkim":    words(&one.dkim),
			"senders": addresses(&one.senders),
			"expect": func(n ast.Node) error {
				return keys(n, map[string]func(ast.Node) error{
					"mx": words(&one.mx), "dmarc": oneOf(&one.dmarc, "none", "quarantine", "reject"),
					"mta_sts": only(&one.mtaSTS, "enforce", "testing", "none", "absent"), "dane": only(&one.dane, "valid", "absent", "any"),
					"spf_lookups": bound(&one.lookups),
				})
			},
		})
		if err != nil {
			return nil, err
		}
		if err := (Question{Domain: one.name}).check(); err != nil {
			return nil, audit.At(item, "name: %q is no domain", one.name)
		}
		one.name = asciiName(one.name)
		if slices.ContainsFunc(d.list, func(o domainExpected) bool { return o.name == one.name }) {
			return nil, audit.At(item, "%s stands in the list already", one.name)
		}
		if t := item.GetToken(); t != nil && t.Position != nil {
			one.line, one.col = t.Position.Line, t.Position.Column
		}
		d.list = append(d.list, one)
	}
	return d, nil
}

// keys calls the function of each key; unknown and repeated ones are errors.
func keys(n ast.Node, known map[string]func(ast.Node) error) error {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return audit.At(n, "want a map, \"key: value\"")
	}
	seen := map[string]bool{}
	for _, v := range values {
		name := v.Key.GetToken().Value
		set, ok := known[name]
		switch {
		case !ok && strings.HasPrefix(name, "x-"):
			continue
		case !ok:
			var allowed []string
			for k := range known {
				allowed = append(allowed, k)
			}
			slices.Sort(allowed)
			return audit.At(v.Key, "unknown key %q; allowed: %s", name, strings.Join(allowed, ", "))
		case seen[name]:
			return audit.At(v.Key, "%s stands there already", name)
		}
		seen[name] = true
		if err := set(v.Value); err != nil {
			return err
		}
	}
	return nil
}

func scalar(n ast.Node) (string, error) {
	switch v := n.(type) {
	case *ast.StringNode:
		if strings.TrimSpace(v.Value) != "" {
			return v.Value, nil
		}
	case *ast.IntegerNode, *ast.FloatNode:
		return v.GetToken().Value, nil
	}
	return "", audit.At(n, "want a word")
}

func word(into *string) func(ast.Node) error {
	return func(n ast.Node) (err error) {
		*into, err = scalar(n)
		return err
	}
}

func words(into *[]string) func(ast.Node) error {
	return func(n ast.Node) error {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			s, err := scalar(n)
			*into = []string{s}
			return err
		}
		if len(list.Values) == 0 {
			return audit.At(n, "an empty list asserts nothing; leave it out")
		}
		for _, v := range list.Values {
			s, err := scalar(v)
			if err != nil {
				return err
			}
			*into = append(*into, s)
		}
		return nil
	}
}

func oneOf(into *[]string, allowed ...string) func(ast.Node) error {
	return func(n ast.Node) error {
		if err := words(into)(n); err != nil {
			return err
		}
		for _, s := range *into {
			if !slices.Contains(allowed, s) {
				return audit.At(n, "%q is none of the words that are allowed: %s", s, strings.Join(allowed, ", "))
			}
		}
		return nil
	}
}

func only(into *string, allowed ...string) func(ast.Node) error {
	return func(n ast.Node) error {
		var list []string
		if _, is := n.(*ast.SequenceNode); is {
			return audit.At(n, "want one word: %s", strings.Join(allowed, ", "))
		}
		err := oneOf(&list, allowed...)(n)
		if err == nil {
			*into = list[0]
		}
		return err
	}
}

func addresses(into *[]string) func(ast.Node) error {
	return func(n ast.Node) error {
		if err := words(into)(n); err != nil {
			return err
		}
		for _, s := range *into {
			if _, err := netip.ParseAddr(s); err != nil {
				return audit.At(n, "%q is no address", s)
			}
		}
		return nil
	}
}

// bound reads "<=8".
func bound(into *audit.Bound) func(ast.Node) error {
	return func(n ast.Node) error {
		s, err := scalar(n)
		if err != nil {
			return err
		}
		operator := s[:len(s)-len(strings.TrimLeft(s, "<>="))]
		var v int64
		if _, err := fmt.Sscanf(strings.TrimSpace(s[len(operator):]), "%d", &v); err != nil || !slices.Contains([]string{"<", "<=", ">", ">="}, operator) {
			return audit.At(n, "%q: want <, <=, > or >= and a number, like \"<=8\"", s)
		}
		*into = audit.Bound{Operator: operator, Value: v, Text: s}
		return nil
	}
}

// Name is the section's.
func (*Domains) Name() string { return "domains" }

// Kinds are the checks of mail, and the expectations.
func (*Domains) Kinds() []audit.Kind {
	var list []audit.Kind
	for _, c := range Checks {
		if c.Area != tripArea { // which the section "roundtrip" has
			list = append(list, audit.Kind{ID: c.ID, Severity: severityOf(c.Severity), About: c.Title + ": " + c.Rule})
		}
	}
	return append(list,
		audit.Kind{ID: "domain-mx", Severity: "high", About: "the domain's exchangers are exactly those that it must have"},
		audit.Kind{ID: "domain-dmarc", Severity: "high", About: "the effective DMARC policy is one of those that are allowed"},
		audit.Kind{ID: "domain-mta-sts", Severity: "high", About: "MTA-STS is in the mode that it must be in"},
		audit.Kind{ID: "domain-dane", Severity: "high", About: "DANE is as it must be"},
		audit.Kind{ID: "domain-spf-lookups", Severity: "medium", About: "SPF costs as many lookups as it may"},
	)
}

// severityOf is a severity in audit's words, of which there are three.
func severityOf(s Severity) string {
	switch s {
	case Critical, High:
		return "high"
	case Medium:
		return "medium"
	}
	return "low"
}

// Audit is the finding as audit has it.
func (f Finding) Audit(service string) audit.Finding {
	fix := f.Fix
	if f.Record != "" {
		fix = strings.TrimSpace(fix + " " + f.Record)
	}
	return audit.Finding{
		State: audit.State(f.State), ID: f.Check, Severity: severityOf(f.Severity), Service: service, Where: cmp.Or(f.Where, service),
		Expected: f.Rule, Seen: f.Text, Evidence: strings.Join(f.Evidence, "\n"), Fix: fix,
	}
}

// Subject is what the facts are about: the domain, the host, or the services.
func Subject(f *Facts) string { return subject(f) }

// Gather asks for every domain, with the file's resolver, hosts and patience.
func (d *Domains) Gather(ctx context.Context, file *audit.File, o scan.Options) (json.RawMessage, error) {
	g, err := gathererOf(file, o)
	if err != nil {
		return nil, err
	}
	var all []*Facts
	for _, one := range d.list {
		facts, err := g.Gather(ctx, Question{Domain: one.name, Selectors: one.dkim, Senders: one.senders})
		if err != nil {
			return nil, err
		}
		all = append(all, facts)
	}
	return json.Marshal(all)
}

// Judge makes every check of every domain, and compares what is expected beyond.
func (d *Domains) Judge(file *audit.File, facts *audit.Facts) []audit.Finding {
	var saved []*Facts
	broken := json.Unmarshal(facts.Sections[d.Name()], &saved)
	var all []audit.Finding
	for _, one := range d.list {
		i := slices.IndexFunc(saved, func(f *Facts) bool { return f != nil && f.Question.Domain == one.name })
		var found []audit.Finding
		if broken != nil || i < 0 || saved[i].Format != Format {
			found = []audit.Finding{{State: audit.Unknown, ID: "D1", Severity: "high", Service: one.name, Where: one.name, Seen: "the facts say nothing about this domain", Fix: "gather again"}}
		} else {
			options := Options{At: facts.Made, Later: file.Defaults.AlsoJudgeAt, Roots: rootsOf(file, facts)}
			for _, f := range Judge(saved[i], options) {
				found = append(found, f.Audit(one.name))
			}
			found = append(found, one.compare(saved[i], options)...)
		}
		for i := range found {
			found[i].File, found[i].Line, found[i].Column = file.Name, one.line, one.col
		}
		all = append(all, found...)
	}
	return all
}

// rootsOf are the file's authorities, nil for the system's alone.
func rootsOf(file *audit.File, facts *audit.Facts) *x509.CertPool {
	if len(facts.Roots) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	if file.Trust.System {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	for _, der := range facts.Roots {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

// compare holds what is expected beyond the checks against the facts.
func (e *domainExpected) compare(f *Facts, o Options) []audit.Finding {
	f = settled(f)
	j := judgeOf(context.Background(), f, resolve.NewRecorded(f.Answers), o)
	var list []audit.Finding
	add := func(id, severity, expected, seen string, holds bool) {
		state := audit.Pass
		if !holds {
			state = audit.Fail
		}
		list = append(list, audit.Finding{State: state, ID: id, Severity: severity, Service: e.name, Where: e.name, Expected: expected, Seen: seen})
	}
	unknown := func(id, severity string, a resolve.Answer) {
		list = append(list, audit.Finding{State: audit.Unknown, ID: id, Severity: severity, Service: e.name, Where: e.name, Seen: a.Type + " " + a.Name + ": " + string(a.Status)})
	}
	if len(e.mx) > 0 {
		a, records := j.mxRecords()
		var have []string
		for _, rr := range records {
			have = append(have, bare(dns.CanonicalName(rr.Mx)))
		}
		if !a.Known() {
			unknown("domain-mx", "high", a)
		} else {
			add("domain-mx", "high", strings.Join(e.mx, ", "), strings.Join(have, ", "), slices.Equal(lowered(have), lowered(e.mx)))
		}
	}
	if len(e.dmarc) > 0 {
		w := j.walkDMARC(e.name)
		r, own := w.record()
		seen := "no policy"
		if r != nil {
			if seen = r.policy(own, true); r.is("t", "y") {
				seen = tested(seen)
			}
			seen = cmp.Or(seen, "no policy")
		}
		if r == nil && len(w.failed) > 0 {
			unknown("domain-dmarc", "high", j.lookup("_dmarc."+e.name, dns.TypeTXT))
		} else {
			add("domain-dmarc", "high", strings.Join(e.dmarc, " or "), seen, slices.Contains(e.dmarc, seen))
		}
	}
	if e.mtaSTS != "" {
		seen := "absent"
		if p := j.policy(); p != nil {
			seen = p.mode
		}
		add("domain-mta-sts", "high", e.mtaSTS, seen, seen == e.mtaSTS)
	}
	if e.dane == "valid" || e.dane == "absent" {
		seen := "absent"
		for _, s := range j.exchangers() {
			d := j.daneOf(s)
			chain, _ := j.f.Chain(chainOf(s))
			if d.answer.Status != resolve.Found {
				if seen == "valid" {
					seen = "at some exchangers alone"
				}
				continue
			}
			if r, _ := verifyDANE(d.records, chain, d.names, j.at); r == nil || !d.counts() {
				seen = "not valid at " + s.Where()
				break
			}
			seen = "valid"
		}
		add("domain-dane", "high", e.dane, seen, seen == e.dane)
	}
	if e.lookups.Operator != "" {
		t := j.spfOf(e.name)
		add("domain-spf-lookups", "medium", e.lookups.Text, fmt.Sprint(t.lookups), e.lookups.Holds(int64(t.lookups)))
	}
	return list
}

func lowered(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, asciiName(s))
	}
	slices.Sort(out)
	return out
}
