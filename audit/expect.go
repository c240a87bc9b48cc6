package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/goccy/go-yaml/ast"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// Section reads a section of an expectations file that this package leaves to others
// ("domains", "logins", "roundtrip"). Defaults, hosts and services are read when it is called. Its
// errors have a place by [At].
type Section func(f *File, section ast.Node) (Check, error)

// Check is what a [Section] asks for. Gathering does all the I/O, judging none.
type Check interface {
	Name() string  // of its section
	Kinds() []Kind // of its findings
	// Gather gives what Judge needs, as JSON; it is saved with the facts, by its name.
	Gather(ctx context.Context, f *File, o scan.Options) (json.RawMessage, error)
	// Judge judges what was gathered; the services' facts are there, too.
	Judge(f *File, facts *Facts) []Finding
}

// At is an error at the place of a node.
func At(n ast.Node, format string, a ...any) error { return at(n, format, a...) }

// sections are those that are reserved.
var sections = []string{"domains", "logins", "roundtrip"}

// Parse reads an expectations file. What is wrong with it is an error that begins with
// name, line and column.
func Parse(name string, r io.Reader, readers map[string]Section) (*File, error) {
	data, err := io.ReadAll(io.LimitReader(r, mostFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	root, err := parseDocument(name, data)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, &fileError{name, fmt.Errorf("empty; an expectations file begins with \"version: 1\"")}
	}
	f, err := parseFile(name, root, readers)
	if err != nil {
		return nil, &fileError{name, err}
	}
	return f, nil
}

func parseFile(name string, root ast.Node, readers map[string]Section) (*File, error) {
	r := newReader(root)
	f := &File{Name: name, Hosts: map[string]Host{}, Defaults: Defaults{Unknown: "fail"}}
	var version string
	var services, waivers ast.Node
	known := properties{
		"version":  r.word(&version, "1"),
		"defaults": func(n ast.Node) error { return r.defaults(n, &f.Defaults) },
		"dns":      func(n ast.Node) error { return r.dns(n, &f.DNS) },
		"trust":    func(n ast.Node) error { return r.trust(n, &f.Trust, filepath.Dir(name)) },
		"hosts":    func(n ast.Node) error { return r.hosts(n, f.Hosts) },
		"services": func(n ast.Node) error { services = n; return nil },
		"waivers":  func(n ast.Node) error { waivers = n; return nil },
	}
	others := map[string]ast.Node{}
	for _, section := range sections {
		known[section] = func(n ast.Node) error {
			if readers[section] == nil {
				return fmt.Errorf("not supported yet by this version")
			}
			others[section] = n
			return nil
		}
	}
	if err := r.mapping(root, known); err != nil {
		return nil, err
	}
	switch {
	case version == "":
		return nil, at(root, "without \"version: 1\"")
	case services == nil && len(others) == 0:
		return nil, at(root, "without \"services\": nothing is expected")
	}
	if services != nil {
		if err := r.services(services, f); err != nil {
			return nil, err
		}
	}
	for _, section := range slices.Sorted(maps.Keys(others)) {
		check, err := readers[section](f, others[section])
		if err != nil {
			return nil, err
		}
		f.Checks = append(f.Checks, check)
	}
	if waivers != nil {
		if err := r.waivers(waivers, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (r *reader) defaults(n ast.Node, d *Defaults) error {
	return r.mapping(n, properties{
		"timeout":       parsed(r, &d.Timeout, ParseDuration),
		"eventually":    parsed(r, &d.Eventually, ParseDuration),
		"also_judge_at": parsed(r, &d.AlsoJudgeAt, parseLater),
		"unknown":       r.word(&d.Unknown, "fail", "warn", "ignore"),
		"families": r.each(func(n ast.Node) error {
			var family string
			if err := r.word(&family, "ip4", "ip6")(n); err != nil {
				return err
			}
			d.Families = append(d.Families, family)
			return nil
		}),
	})
}

func (r *reader) dns(n ast.Node, d *DNS) error {
	var trust *bool
	err := r.mapping(n, properties{
		"server": parsed(r, &d.Server, func(s string) (netip.AddrPort, error) {
			if a, err := netip.ParseAddr(s); err == nil {
				return netip.AddrPortFrom(a, 53), nil
			}
			a, err := netip.ParseAddrPort(s)
			if err != nil {
				return a, fmt.Errorf("%q: want an address, with or without a port: 127.0.0.1:1053", s)
			}
			return a, nil
		}),
		"trust_ad": r.boolean(&trust),
	})
	d.TrustAD = trust != nil && *trust
	return err
}

func (r *reader) trust(n ast.Node, t *Trust, dir string) error {
	var system *bool
	err := r.mapping(n, properties{"ca_files": r.texts(&t.CAFiles), "system": r.boolean(&system)})
	t.System = system != nil && *system
	for i, name := range t.CAFiles {
		if !filepath.IsAbs(name) {
			t.CAFiles[i] = filepath.Join(dir, name)
		}
	}
	return err
}

func (r *reader) hosts(n ast.Node, hosts map[string]Host) error {
	return r.entries(n, func(key ast.Node, name string, v ast.Node) error {
		var h Host
		address := func(s string) (netip.Addr, error) {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return a, fmt.Errorf("%q is not an IP address", s)
			}
			return a.Unmap(), nil
		}
		add := func(n ast.Node) error {
			var a netip.Addr
			err := parsed(r, &a, address)(n)
			h.Addresses = append(h.Addresses, a)
			return err
		}
		if s, plain := r.plain(v).(*ast.StringNode); plain { // mail: 172.16.238.11
			a, err := address(s.Value)
			if err != nil {
				return at(v, "%w; or {name: …, addresses: […]}", err)
			}
			hosts[name] = Host{Addresses: []netip.Addr{a}}
			return nil
		}
		if err := r.mapping(v, properties{"name": r.text(&h.Name), "addresses": r.each(add)}); err != nil {
			return within(key, name, err)
		}
		hosts[name] = h
		return nil
	})
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)

func (r *reader) services(n ast.Node, f *File) error {
	lines := map[string]int{}
	return r.each(func(n ast.Node) error {
		s := &Service{}
		s.Line, s.Col = position(r.plain(n))
		var expect ast.Node
		var idAt ast.Node
		place := func(n ast.Node) error {
			text, err := r.scalar(n)
			if err != nil {
				return err
			}
			places, err := placesOf(text, f.Hosts)
			if err != nil {
				return at(n, "%w", err)
			}
			s.At = append(s.At, places...)
			return nil
		}
		err := r.mapping(n, properties{
			"id": func(n ast.Node) error { idAt = n; return r.text(&s.ID)(n) },
			"at": func(n ast.Node) error {
				if _, list := r.plain(n).(*ast.SequenceNode); list {
					return r.each(place)(n)
				}
				return place(n)
			},
			"expect": func(n ast.Node) error { expect = n; return nil },
		})
		switch {
		case err != nil:
			return err
		case s.ID == "":
			return at(n, "a service without id")
		case !idForm.MatchString(s.ID):
			return at(idAt, "id %q: want letters, digits, dots, hyphens, underscores, slashes", s.ID)
		case lines[s.ID] > 0:
			return at(idAt, "id %q is used in line %d already", s.ID, lines[s.ID])
		case len(s.At) == 0:
			return at(n, "%s: without \"at\", the places that it is about", s.ID)
		case expect == nil:
			return at(n, "%s: without \"expect\": nothing is asserted", s.ID)
		}
		lines[s.ID], _ = position(idAt)
		if err := r.expect(expect, &s.Expect); err != nil {
			return err
		}
		f.Services = append(f.Services, s)
		return nil
	})(n)
}

// placesOf are the places that a text like "mail:25,587" names.
func placesOf(text string, hosts map[string]Host) ([]Place, error) {
	spec, err := scan.ParseSpec(text)
	switch {
	case err != nil:
		return nil, err
	case spec.Protocol != "" || spec.Security != "":
		return nil, fmt.Errorf("%q: a place is HOST:PORT; the protocol is said under expect", text)
	case len(spec.Ports) == 0:
		return nil, fmt.Errorf("%q: without a port; write HOST:PORT", text)
	case spec.Hosts() > 4096:
		return nil, fmt.Errorf("%q: more than 4096 addresses; name the ones that matter", text)
	}
	var places []Place
	for t := range spec.Targets(nil) {
		p := Place{Text: text, Host: t.Host, Port: t.Port}
		if len(spec.Ports) > 1 || spec.Hosts() > 1 {
			p.Text = p.Key()
		}
		if h, ok := hosts[spec.Name]; ok && spec.Name != "" {
			p.Host = h.ask(spec.Name)
		}
		places = append(places, p)
	}
	return places, nil
}

// ask is the name or address by which a host is asked. A host that was given nothing but
// one address is asked by that: no name is sent to it.
func (h Host) ask(short string) string {
	switch {
	case h.Name != "":
		return strings.ToLower(strings.TrimSuffix(h.Name, "."))
	case len(h.Addresses) == 1:
		return h.Addresses[0].String()
	}
	return short
}

// expect reads what is expected: a map, or one line of the grammar.
func (r *reader) expect(n ast.Node, e *Expect) error {
	if s, oneLine := r.plain(n).(*ast.StringNode); oneLine {
		parsed, err := ParseExpect(s.Value)
		if err != nil {
			return at(n, "%w", err)
		}
		*e = parsed
		return nil
	}
	var smtpAt ast.Node
	capabilities := func(key string, protocols ...string) property {
		return func(n ast.Node) error {
			return r.mapping(n, properties{key: func(n ast.Node) error { return r.ofProtocol(n, e, protocols, r.list(&e.Capabilities)) }})
		}
	}
	err := r.mapping(n, properties{
		"port":     r.word(&e.Port, "open", "closed", "filtered", "silent"),
		"protocol": parsed(r, &e.Protocol, knownProtocol),
		"product":  func(n ast.Node) error { return r.product(n, e) },
		"tls":      func(n ast.Node) error { return r.tls(n, e) },
		"certificate": func(n ast.Node) error {
			e.Certificate = &Certificate{}
			return r.certificate(n, e.Certificate)
		},
		"capabilities": r.list(&e.Capabilities),
		"smtp": func(n ast.Node) error {
			smtpAt = n
			return r.mapping(n, properties{
				"extensions":    func(n ast.Node) error { return r.ofProtocol(n, e, []string{"smtp", "lmtp"}, r.list(&e.Capabilities)) },
				"greeting_name": r.text(&e.GreetingName),
				"size":          parsed(r, &e.Size, SizeBound),
			})
		},
		"imap":           capabilities("capabilities", "imap"),
		"pop3":           capabilities("capabilities", "pop3"),
		"nntp":           capabilities("capabilities", "nntp"),
		"ftp":            capabilities("features", "ftp"),
		"sieve":          capabilities("capabilities", "sieve"),
		"auth":           func(n ast.Node) error { return r.auth(n, &e.Auth) },
		"greeting_name":  r.text(&e.GreetingName),
		"greeting_delay": parsed(r, &e.GreetingDelay, DurationBound),
		"open_proxy":     r.boolean(&e.OpenProxy),
	})
	if err != nil {
		return err
	}
	if smtpAt != nil && e.Protocol != "smtp" && e.Protocol != "lmtp" {
		return at(smtpAt, "smtp: belongs to protocol smtp or lmtp")
	}
	if err := e.consistent(); err != nil {
		return at(n, "%w", err)
	}
	return nil
}

// ofProtocol reads what only some protocols have; "protocol" may stand after it.
func (r *reader) ofProtocol(n ast.Node, e *Expect, protocols []string, read property) error {
	if e.Capabilities != nil {
		return at(n, "capabilities are given twice")
	}
	if e.Protocol == "" && len(protocols) == 1 {
		e.Protocol = protocols[0]
	}
	if !slices.Contains(protocols, e.Protocol) {
		return at(n, "belongs to protocol %s, which must stand before it", strings.Join(protocols, " or "))
	}
	return read(n)
}

// consistent refuses what can not be true together.
func (e *Expect) consistent() error {
	if e.Port == "closed" || e.Port == "filtered" || e.Port == "silent" {
		bare := Expect{Port: e.Port}
		if fmt.Sprintf("%+v", *e) != fmt.Sprintf("%+v", bare) {
			return fmt.Errorf("a port that is %s has no other properties", e.Port)
		}
		return nil
	}
	if e.Mode == wire.Plain && (e.Certificate != nil || e.MinTLS != "") {
		return fmt.Errorf("without TLS there is no certificate and no TLS version")
	}
	return nil
}

// protocols are those that can be expected: what probes find, what signatures tell, and
// what is registered for ports. Of the last, herald may not know more than the name.
var protocols = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{
		"tls": true, // nothing is said of what is spoken inside
		"nbd": true, // registered by IANA for a port that promises nothing here
	}
	for _, p := range probes.All() {
		known[p.Info().Name] = true
	}
	for _, p := range scan.Ports() {
		known[p.Service] = true
		for _, e := range p.Expected {
			known[e.Protocol] = true
		}
	}
	for s := range fingerprint.Builtin().All() {
		for _, c := range s.Claims {
			if c.Field == "protocol" && !strings.Contains(c.Text, "$") {
				known[c.Text] = true
			}
		}
	}
	delete(known, "")
	return known
})

func knownProtocol(s string) (string, error) {
	if probes.Named(s) != nil {
		return s, nil
	}
	if plain, ok := strings.CutSuffix(s, "s"); ok && probes.Named(plain) != nil {
		return "", fmt.Errorf("protocol %q: write %s, and tls for TLS from the first byte", s, plain)
	}
	if !protocols()[s] {
		return "", fmt.Errorf("unknown protocol %q; 'herald probes' lists those that can be told, 'herald ports all' what is registered", s)
	}
	for _, p := range scan.Ports() {
		if p.Service == s && len(p.Expected) > 0 {
			return "", fmt.Errorf("protocol %q: so is port %d called; write %s", s, p.Number, p.Expected[0].Protocol)
		}
	}
	return s, nil
}

func parseConstraint(s string) (*fingerprint.Constraint, error) {
	c, err := fingerprint.ParseConstraint(s)
	return &c, err
}

func (r *reader) product(n ast.Node, e *Expect) error {
	if _, plain := r.plain(n).(*ast.StringNode); plain {
		return r.text(&e.Product)(n)
	}
	err := r.mapping(n, properties{
		"name":       r.text(&e.Product),
		"version":    parsed(r, &e.Version, parseConstraint),
		"confidence": parsed(r, &e.Confidence, parseConfidence),
	})
	if err == nil && e.Product == "" {
		err = at(n, "product: without name")
	}
	return err
}

// parseConfidence reads ">=0.8" or ">=80%" as percent.
func parseConfidence(s string) (int, error) {
	wrong := fmt.Errorf("%q: want a lower bound, like \">=0.8\" or \">=80%%\"", s)
	rest, ok := strings.CutPrefix(s, ">=")
	if !ok {
		return 0, wrong
	}
	if percent, ok := strings.CutSuffix(strings.TrimSpace(rest), "%"); ok {
		if n, err := strconv.Atoi(percent); err == nil && n > 0 && n <= 100 {
			return n, nil
		}
		return 0, wrong
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
	if err != nil || !(v > 0 && v <= 1) {
		return 0, wrong
	}
	return int(v*100 + 0.5), nil
}

// TLSVersions are the names of the versions, lowest first.
var TLSVersions = []string{"TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"}

func (r *reader) tls(n ast.Node, e *Expect) error {
	modes := []string{string(wire.Plain), string(wire.StartTLS), string(wire.TLS)}
	mode := func(into *wire.Security) property {
		return func(n ast.Node) error { return r.word((*string)(into), modes...)(n) }
	}
	if _, plain := r.plain(n).(*ast.StringNode); plain { // tls: starttls
		return mode(&e.Mode)(n)
	}
	return r.mapping(n, properties{
		"min_version": r.word(&e.MinTLS, TLSVersions...),
		"mode": func(n ast.Node) error {
			if _, plain := r.plain(n).(*ast.StringNode); plain {
				return mode(&e.Mode)(n)
			}
			e.Modes = map[uint16]wire.Security{}
			return r.entries(n, func(key ast.Node, name string, v ast.Node) error {
				port, err := strconv.ParseUint(name, 10, 16)
				if err != nil || port == 0 {
					return at(key, "%q is not a port; write mode: {465: tls, 587: starttls}", name)
				}
				var m wire.Security
				err = mode(&m)(v)
				e.Modes[uint16(port)] = m
				return err
			})
		},
	})
}

var keyForm = regexp.MustCompile(`^(rsa-[1-9][0-9]{2,4}|ecdsa-p(256|384|521)|ed25519)$`)

func parseKey(s string) (string, error) {
	if !keyForm.MatchString(s) {
		return "", fmt.Errorf("key %q: want ed25519, ecdsa-p256, ecdsa-p384, ecdsa-p521, or rsa- and the fewest bits: rsa-2048", s)
	}
	return s, nil
}

func (r *reader) certificate(n ast.Node, c *Certificate) error {
	var keys []string
	return r.mapping(n, properties{
		"trusted":   r.boolean(&c.Trusted),
		"names":     r.texts(&c.Names),
		"valid_for": parsed(r, &c.ValidFor, DurationBound),
		"key": func(n ast.Node) error {
			if err := r.texts(&keys)(n); err != nil {
				return err
			}
			for _, k := range keys {
				if _, err := parseKey(k); err != nil {
					return at(n, "%w", err)
				}
			}
			c.Key = keys
			return nil
		},
	})
}

func (r *reader) list(into **List) property {
	return func(n ast.Node) error {
		if _, list := r.plain(n).(*ast.SequenceNode); list {
			return at(n, "say what the list means: contains, lacks or consist_of")
		}
		l := &List{}
		*into = l
		return r.mapping(n, properties{
			"contains":   r.words(&l.Contains),
			"lacks":      r.words(&l.Lacks),
			"consist_of": r.words(&l.ConsistOf),
		})
	}
}

// words reads what must be a list of words.
func (r *reader) words(into *[]string) property {
	return func(n ast.Node) error {
		if _, list := r.plain(n).(*ast.SequenceNode); !list {
			return at(n, "want a list")
		}
		return r.texts(into)(n)
	}
}

func (r *reader) auth(n ast.Node, a *Auth) error {
	return r.mapping(n, properties{"before_tls": r.mechanisms(&a.BeforeTLS), "after_tls": r.mechanisms(&a.AfterTLS)})
}

func (r *reader) mechanisms(into **Mechanisms) property {
	return func(n ast.Node) error {
		m := &Mechanisms{}
		*into = m
		if _, plain := r.plain(n).(*ast.StringNode); plain {
			var word string
			err := r.word(&word, "none", "any")(n)
			m.None, m.Any = word == "none", word == "any"
			return err
		}
		var l *List
		err := r.list(&l)(n)
		if l != nil {
			m.List = *l
		}
		return err
	}
}
