package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/sirupsen/logrus"

	"herald/scan"
	"herald/wire"
)

// ComposeOptions are what the user says beside a Compose file.
type ComposeOptions struct {
	Profiles []string // services of these are read, too
	EnvFiles []string // instead of .env
}

// IsCompose says whether a file is one of the Compose specification: its services are a
// map, where an expectations file has a list.
func IsCompose(data []byte) bool {
	root, err := parseDocument("", data)
	if err != nil || root == nil {
		// The two differ in what they allow (merge keys, duplicates); a version that is not
		// ours, or none, and services at the margin settle it.
		return bytes.Contains(data, []byte("\nservices:\n  ")) && !bytes.Contains(data, []byte("\nservices:\n  -"))
	}
	services := child(root, "services")
	if services == nil {
		return child(root, "include") != nil
	}
	switch services.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// child is the value of a key, nil for none.
func child(n ast.Node, key string) ast.Node {
	if v := pair(n, key); v != nil {
		return v.Value
	}
	return nil
}

func pair(n ast.Node, key string) *ast.MappingValueNode {
	if a, ok := n.(*ast.AnchorNode); ok {
		n = a.Value
	}
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	}
	for _, v := range values {
		if v.Key.GetToken().Value == key {
			return v
		}
	}
	return nil
}

// Compose makes an expectations file of a Compose file: published ports are the places,
// labels (herald.expect.PORT) or an x-herald block say what is expected, and where nobody
// says it, it is guessed from the container's port and the image's name.
func Compose(ctx context.Context, name string, data []byte, o ComposeOptions) (*File, error) {
	logrus.SetOutput(io.Discard) // the library's remarks are not about what is audited
	options, err := cli.NewProjectOptions([]string{name},
		cli.WithOsEnv, cli.WithEnvFiles(o.EnvFiles...), cli.WithDotEnv,
		cli.WithDefaultProfiles(o.Profiles...), cli.WithoutEnvironmentResolution)
	if err != nil {
		return nil, &fileError{name, err}
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, &fileError{name, plainLibrary(err)}
	}
	c := &compose{file: &File{Name: name, Compose: true, Hosts: map[string]Host{}, Defaults: Defaults{Unknown: "fail"}}, project: project}
	c.root, _ = parseDocument(name, data) // for places in the file alone
	if err := c.top(); err != nil {
		return nil, &fileError{name, err}
	}
	for _, service := range slices.Sorted(maps.Keys(project.Services)) {
		if err := c.service(project.Services[service]); err != nil {
			return nil, &fileError{name, err}
		}
	}
	return c.file, nil
}

// plainLibrary is an error of the library on one line.
func plainLibrary(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

type compose struct {
	file    *File
	project *types.Project
	root    ast.Node // nil where it could not be read for places
}

// place is where a key of a service stands; the service's own place where it does not
// stand in this file (extends, include).
func (c *compose) place(service string, path ...string) (line, col int) {
	n := child(c.root, "services")
	for _, key := range append([]string{service}, path...) {
		p := pair(n, key)
		if p == nil {
			break
		}
		line, col = position(p.Key)
		n = p.Value
	}
	return line, col
}

func (c *compose) errorAt(service string, path []string, format string, a ...any) error {
	line, col := c.place(service, path...)
	return &placedError{line, col, fmt.Errorf("service %s: "+format, append([]any{service}, a...)...)}
}

// top reads a top-level x-herald: defaults, dns, trust and waivers, as an expectations
// file has them.
func (c *compose) top() error {
	value, ok := c.project.Extensions["x-herald"]
	if !ok {
		return nil
	}
	n, err := c.node(child(c.root, "x-herald"), value)
	if err != nil {
		return err
	}
	r, f := newReader(n), c.file
	return r.mapping(n, properties{
		"defaults": func(n ast.Node) error { return r.defaults(n, &f.Defaults) },
		"dns":      func(n ast.Node) error { return r.dns(n, &f.DNS) },
		"trust":    func(n ast.Node) error { return r.trust(n, &f.Trust, filepath.Dir(f.Name)) },
		"waivers":  func(n ast.Node) error { return r.waivers(n, f) },
	})
}

// node is a value as a tree: the file's own where it says the same, for its places; else
// one that is made from what the library read, after interpolation.
func (c *compose) node(own ast.Node, value any) (ast.Node, error) {
	if own != nil && !strings.ContainsAny(own.String(), "$*<") {
		return own, nil
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return nil, err
	}
	return parseDocument("x-herald", text)
}

// labels are those of herald, by what stands after "herald.".
func (c *compose) labels(s types.ServiceConfig) (map[string]string, error) {
	found := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		rest, ours := strings.CutPrefix(key, "herald.")
		if !ours {
			continue
		}
		kind, port, ported := strings.Cut(rest, ".")
		if n, err := strconv.ParseUint(port, 10, 16); ported && (err != nil || n == 0) {
			return nil, c.errorAt(s.Name, []string{"labels", key}, "label %s: %q is not a port", key, port)
		}
		switch kind {
		case "expect", "package", "finding": // the latter two are the test suite's own
		case "published":
			if ported || s.Labels[key] != "everywhere" {
				return nil, c.errorAt(s.Name, []string{"labels", key}, "label %s: want herald.published: everywhere", key)
			}
		default:
			return nil, c.errorAt(s.Name, []string{"labels", key}, "unknown label %s; allowed: herald.expect.PORT, herald.expect, herald.finding.PORT, herald.package.PORT, herald.published", key)
		}
		found[rest] = s.Labels[key]
	}
	return found, nil
}

func (c *compose) service(s types.ServiceConfig) error {
	labels, err := c.labels(s)
	if err != nil {
		return err
	}
	said, err := c.expectations(s, labels)
	if err != nil {
		return err
	}
	ports := publishedPorts(s, said)
	for own, what := range said {
		if !slices.ContainsFunc(ports, func(p published) bool { return p.own == own }) {
			if slices.Contains(s.Expose, strconv.Itoa(int(own))) {
				continue // other containers reach it; nobody here does
			}
			return c.errorAt(s.Name, what.path, "port %d is said to be something, and is not published", own)
		}
	}
	var owns []uint16
	for _, p := range ports {
		if !slices.Contains(owns, p.own) {
			owns = append(owns, p.own)
		}
	}
	for _, own := range owns {
		x := &Service{ID: s.Name, Published: true}
		if len(owns) > 1 {
			x.ID = s.Name + "/" + strconv.Itoa(int(own))
		}
		what, told := said[own]
		if told {
			x.Expect = what.expect
			x.Line, x.Col = c.place(s.Name, what.path...)
		} else {
			x.Guess = true
			x.Expect = guess(own, s.Image)
			x.Line, x.Col = c.place(s.Name, "ports")
		}
		for _, p := range ports {
			if p.own != own {
				continue
			}
			if p.port == 0 {
				x.Unplaced = p.text
				continue
			}
			x.Exposed = x.Exposed || p.everywhere && labels["published"] == ""
			place := Place{Host: p.host, Port: p.port, Own: own}
			place.Text = place.Key()
			x.At = append(x.At, place)
		}
		c.file.Services = append(c.file.Services, x)
	}
	return nil
}

// said is what somebody wrote about a container's port, and where.
type said struct {
	expect Expect
	path   []string
}

// expectations are what labels and x-herald say, by container port.
func (c *compose) expectations(s types.ServiceConfig, labels map[string]string) (map[uint16]said, error) {
	all := map[uint16]said{}
	set := func(port uint16, e Expect, path []string) error {
		if _, twice := all[port]; twice {
			return c.errorAt(s.Name, path, "port %d is described twice", port)
		}
		all[port] = said{e, path}
		return nil
	}
	only := func(path []string) (uint16, error) {
		ports := publishedPorts(s, nil)
		for _, p := range ports {
			if p.own != ports[0].own {
				return 0, c.errorAt(s.Name, path, "publishes several ports: say which one is meant, like herald.expect.%d", p.own)
			}
		}
		if len(ports) == 0 {
			return 0, c.errorAt(s.Name, path, "publishes no port")
		}
		return ports[0].own, nil
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		kind, number, _ := strings.Cut(key, ".")
		if kind != "expect" {
			continue
		}
		path := []string{"labels", "herald." + key}
		e, err := ParseExpect(labels[key])
		if err != nil {
			return nil, c.errorAt(s.Name, path, "label herald.%s: %w", key, err)
		}
		n, _ := strconv.ParseUint(number, 10, 16)
		port := uint16(n)
		if number == "" {
			if port, err = only(path); err != nil {
				return nil, err
			}
		}
		if err := set(port, e, path); err != nil {
			return nil, err
		}
	}
	value, ok := s.Extensions["x-herald"]
	if !ok {
		return all, nil
	}
	n, err := c.node(child(child(child(c.root, "services"), s.Name), "x-herald"), value)
	if err != nil {
		return nil, c.errorAt(s.Name, []string{"x-herald"}, "x-herald: %w", err)
	}
	r := newReader(n)
	return all, r.entries(n, func(key ast.Node, name string, v ast.Node) error {
		path := []string{"x-herald", name}
		port, err := strconv.ParseUint(name, 10, 16)
		if name == "expect" {
			var p uint16
			p, err = only(path)
			port = uint64(p)
			if err != nil {
				return err
			}
		}
		if err != nil || port == 0 {
			return at(key, "service %s: x-herald: unknown key %q; allowed: expect, or the number of a container port", s.Name, name)
		}
		var e Expect
		if err := r.expect(v, &e); err != nil {
			return err
		}
		return set(uint16(port), e, path)
	})
}

// published is one published port.
type published struct {
	host       string
	port       uint16 // 0 where Docker chooses it
	own        uint16 // the container's
	everywhere bool
	text       string
}

// publishedPorts are the TCP ports of a service that can be reached from this machine.
func publishedPorts(s types.ServiceConfig, said map[uint16]said) []published {
	var all []published
	if s.NetworkMode == "host" { // what it listens on is this machine's own
		for _, own := range slices.Sorted(maps.Keys(said)) {
			all = append(all, published{host: "127.0.0.1", port: own, own: own})
		}
		return all
	}
	for _, p := range s.Ports {
		if p.Protocol != "" && p.Protocol != "tcp" || p.Target == 0 || p.Target > 65535 {
			continue
		}
		q := published{host: p.HostIP, own: uint16(p.Target), text: p.Published}
		if a, err := netip.ParseAddr(p.HostIP); p.HostIP == "" || err == nil && a.IsUnspecified() {
			q.host, q.everywhere = "127.0.0.1", true
			if err == nil && a.Is6() {
				q.host = "::1"
			}
		}
		if n, err := strconv.ParseUint(p.Published, 10, 16); err == nil {
			q.port = uint16(n)
		} else if p.Published == "" {
			q.text = "a port that Docker chooses"
		}
		all = append(all, q)
	}
	return all
}

// images are the products that an image's name promises.
var images = map[string]string{
	"postfix": "Postfix", "exim": "Exim", "dovecot": "Dovecot", "opensmtpd": "OpenSMTPD", "nginx": "nginx", "httpd": "Apache httpd",
	"caddy": "Caddy", "redis": "Redis", "postgres": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL", "vsftpd": "vsftpd",
	"proftpd": "ProFTPD", "squid": "Squid", "memcached": "Memcached", "rabbitmq": "RabbitMQ", "mongo": "MongoDB", "haproxy": "HAProxy",
}

// guess is what a container's port and the image's name promise.
func guess(own uint16, image string) Expect {
	e := Expect{Port: "open"}
	known := scan.PortNamed(own)
	if known == nil || len(known.Expected) == 0 {
		return e
	}
	e.Port, e.Protocol = "", known.Expected[0].Protocol
	if known.Expected[0].Security == wire.TLS {
		e.Mode = wire.TLS
	}
	base, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	base, _, _ = strings.Cut(base, "@")
	if product := images[strings.ToLower(base)]; product != "" {
		e.Product = product
	}
	return e
}
