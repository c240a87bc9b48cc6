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
	"strings"

	"github.com/goccy/go-yaml/ast"

	"herald/scan"
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
