package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/miekg/dns"

	"herald/audit"
	"herald/scan"
)

// Domains is the section "domains" of an expectations file: domains that every check is
// made of, and what is expected of them beyond.
type Domains struct {
	list []domainExpected
}

// domainExpected is one domain; what is not written is not expected.
type domainExpected struct {
	name      string
	dkim      []string // selectors
	senders   []string
	profile   string // of TLS, which asks for a scan
	mx        listExpected
	spf       spfExpected
	keys      []keyExpected
	dmarc     []string // one of these effective policies
	reports   string   // present, absent
	mtaSTS    string   // mode, or "absent"
	dane      string   // valid, absent, any
	srv       []srvExpected
	line, col int
}

// listExpected is what a list must be: exactly so, or have these, or not have those.
type listExpected struct{ exactly, contains, lacks []string }

type spfExpected struct {
	lookups audit.Bound
	all     []string // fail, softfail, neutral, pass
	results []resultExpected
}

type resultExpected struct {
	addr netip.Addr
	want []string // one of these
}

type keyExpected struct{ selector, want string }

type srvExpected struct {
	name   string   // _imaps
	places []string // host:port; none for "none"
}

// Section reads "domains" (audit.Section).
//
//	domains:
//	  - name: example.test
//	    dkim: [s2026]
//	    senders: [192.0.2.25]
//	    expect:
//	      mx: [mail.example.test]
//	      spf: {result_for: {192.0.2.25: pass, 192.0.2.99: [fail, softfail]}, lookups: "<=8", all: [fail, softfail]}
//	      dkim: {s2026: rsa-2048, s2024: revoked}
//	      dmarc: {effective_policy: [quarantine, reject], rua: present}
//	      mta_sts: {mode: enforce}
//	      dane: valid
//	      srv: {_imaps: "mail.example.test:993", _pop3: none}
//	      tls: {profile: ncsc-2025}
func Section(_ *audit.File, n ast.Node) (audit.Check, error) {
	if _, ok := n.(*ast.SequenceNode); !ok {
		return nil, audit.At(n, "want a list of domains, each with its name")
	}
	d := &Domains{}
	err := audit.ReadList(n, func(item ast.Node) error {
		var one domainExpected
		if err := one.read(item); err != nil {
			return err
		}
		if slices.ContainsFunc(d.list, func(o domainExpected) bool { return o.name == one.name }) {
			return audit.At(item, "%s stands in the list already", one.name)
		}
		d.list = append(d.list, one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (e *domainExpected) read(n ast.Node) error {
	e.line, e.col = audit.PositionOf(n)
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"name":    audit.ReadText(&e.name),
		"dkim":    words(&e.dkim),
		"senders": addresses(&e.senders),
		"expect": func(n ast.Node) error {
			return audit.ReadMap(n, map[string]func(ast.Node) error{
				"mx":   e.mx.read,
				"spf":  e.spf.read,
				"dkim": e.readKeys,
				"dmarc": mapOr(words(&e.dmarc, "none", "quarantine", "reject"), map[string]func(ast.Node) error{
					"effective_policy": words(&e.dmarc, "none", "quarantine", "reject"), "rua": audit.ReadWord(&e.reports, "present", "absent"),
				}),
				"mta_sts": mapOr(audit.ReadWord(&e.mtaSTS, stsModes...), map[string]func(ast.Node) error{"mode": audit.ReadWord(&e.mtaSTS, stsModes...)}),
				"dane":    audit.ReadWord(&e.dane, "valid", "absent", "any"),
				"srv":     e.readSRV,
				"tls": func(n ast.Node) error {
					return audit.ReadMap(n, map[string]func(ast.Node) error{"profile": audit.ReadWord(&e.profile, ProfileNames()...)})
				},
			})
		},
	})
	if err != nil {
		return err
	}
	if err := (Question{Domain: e.name}).check(); err != nil {
		return audit.At(n, "name: %q is no domain", e.name)
	}
	e.name = asciiName(e.name)
	return nil
}

var stsModes = []string{"enforce", "testing", "none", "absent"}

// mapOr reads a map of these keys, or the one value that is written in its place.
func mapOr(one func(ast.Node) error, known map[string]func(ast.Node) error) func(ast.Node) error {
	return func(n ast.Node) error {
		if audit.IsMap(n) {
			return audit.ReadMap(n, known)
		}
		return one(n)
	}
}

func words(into *[]string, allowed ...string) func(ast.Node) error {
	return func(n ast.Node) error {
		return audit.ReadOneOrList(n, func(n ast.Node) error {
			var s string
			read := audit.ReadText(&s)
			if len(allowed) > 0 {
				read = audit.ReadWord(&s, allowed...)
			}
			err := read(n)
			*into = append(*into, s)
			return err
		})
	}
}

func addresses(into *[]string) func(ast.Node) error {
	return func(n ast.Node) error {
		return audit.ReadOneOrList(n, func(n ast.Node) error {
			var s string
			if err := audit.ReadText(&s)(n); err != nil {
				return err
			}
			if _, err := netip.ParseAddr(s); err != nil {
				return audit.At(n, "%q is no address", s)
			}
			*into = append(*into, s)
			return nil
		})
	}
}

func (l *listExpected) read(n ast.Node) error {
	return mapOr(words(&l.exactly), map[string]func(ast.Node) error{
		"consist_of": words(&l.exactly), "contains": words(&l.contains), "lacks": words(&l.lacks),
	})(n)
}

func (e *spfExpected) read(n ast.Node) error {
	return audit.ReadMap(n, map[string]func(ast.Node) error{
		"lookups": bound(&e.lookups),
		"all":     words(&e.all, "fail", "softfail", "neutral", "pass"),
		"result_for": func(n ast.Node) error {
			return audit.ReadEntries(n, func(key ast.Node, name string, value ast.Node) error {
				addr, err := netip.ParseAddr(name)
				if err != nil {
					return audit.At(key, "%q is no address", name)
				}
				r := resultExpected{addr: addr.Unmap()}
				err = words(&r.want, "pass", "fail", "softfail", "neutral", "none", "permerror")(value)
				e.results = append(e.results, r)
				return err
			})
		},
	})
}

// keyWords are what a DKIM key can be expected to be.
var keyWords = []string{"present", "absent", "revoked", "ed25519", "rsa-1024", "rsa-2048", "rsa-3072", "rsa-4096"}

func (e *domainExpected) readKeys(n ast.Node) error {
	return audit.ReadEntries(n, func(key ast.Node, selector string, value ast.Node) error {
		k := keyExpected{selector: selector}
		if _, ok := dns.IsDomainName(selector); !ok {
			return audit.At(key, "%q is no selector", selector)
		}
		err := mapOr(audit.ReadWord(&k.want, keyWords...), map[string]func(ast.Node) error{"key": audit.ReadWord(&k.want, keyWords...)})(value)
		e.keys = append(e.keys, k)
		return err
	})
}

func (e *domainExpected) readSRV(n ast.Node) error {
	return audit.ReadEntries(n, func(key ast.Node, name string, value ast.Node) error {
		i := slices.IndexFunc(srvNames, func(s srvName) bool { return strings.TrimSuffix(s.name, "._tcp") == name })
		if i < 0 {
			var known []string
			for _, s := range srvNames {
				known = append(known, strings.TrimSuffix(s.name, "._tcp"))
			}
			return audit.At(key, "unknown key %q; allowed: %s", name, strings.Join(known, ", "))
		}
		r := srvExpected{name: name}
		err := audit.ReadOneOrList(value, func(n ast.Node) error {
			var place string
			if err := audit.ReadText(&place)(n); err != nil {
				return err
			}
			if place == "none" {
				return nil
			}
			host, port, err := net.SplitHostPort(place)
			if number, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || number == 0 || host == "" {
				return audit.At(n, "%q: want HOST:PORT, or none", place)
			}
			r.places = append(r.places, net.JoinHostPort(asciiName(host), port))
			return nil
		})
		slices.Sort(r.places)
		e.srv = append(e.srv, r)
		return err
	})
}

// bound reads "<=8".
func bound(into *audit.Bound) func(ast.Node) error {
	return func(n ast.Node) error {
		var s string
		if err := audit.ReadText(&s)(n); err != nil {
			return err
		}
		operator := s[:len(s)-len(strings.TrimLeft(s, "<>="))]
		v, err := strconv.ParseInt(strings.TrimSpace(s[len(operator):]), 10, 32)
		if err != nil || !slices.Contains([]string{"<", "<=", ">", ">="}, operator) {
			return audit.At(n, "%q: want <, <=, > or >= and a number, like \"<=8\"", s)
		}
		*into = audit.Bound{Operator: operator, Value: v, Text: s}
		return nil
	}
}

// question is what has to be asked of the domain, for the checks and what is expected.
func (e *domainExpected) question() Question {
	q := Question{Domain: e.name, Selectors: slices.Clone(e.dkim), Senders: e.senders}
	for _, r := range e.spf.results {
		q.SPFFor = append(q.SPFFor, r.addr.String())
	}
	for _, k := range e.keys {
		if k.want != "absent" && k.want != "revoked" && !slices.Contains(q.Selectors, k.selector) {
			q.Selectors = append(q.Selectors, k.selector)
		}
		q.Ask = append(q.Ask, k.selector+"._domainkey."+e.name+" TXT")
	}
	return q
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
		audit.Kind{ID: "domain-spf-result", Severity: "high", About: "SPF gives each address the result that it must"},
		audit.Kind{ID: "domain-spf-all", Severity: "medium", About: "SPF ends in one of the words that are allowed"},
		audit.Kind{ID: "domain-dkim", Severity: "high", About: "each DKIM key is as it must be"},
		audit.Kind{ID: "domain-dmarc", Severity: "high", About: "the effective DMARC policy is one of those that are allowed"},
		audit.Kind{ID: "domain-dmarc-reports", Severity: "medium", About: "DMARC names a place for aggregate reports, or none"},
		audit.Kind{ID: "domain-mta-sts", Severity: "high", About: "MTA-STS is in the mode that it must be in"},
		audit.Kind{ID: "domain-dane", Severity: "high", About: "DANE is as it must be"},
		audit.Kind{ID: "domain-srv", Severity: "medium", About: "SRV records name exactly the places that they must"},
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
		g.TLSScan = one.profile != ""
		facts, err := g.Gather(ctx, one.question())
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
			options := Options{At: facts.Made, Later: file.Defaults.AlsoJudgeAt, Roots: file.Pool(facts.Roots), Profile: one.profile}
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
