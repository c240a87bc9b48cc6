package audit

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

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

// said is what somebody wrote about a container's port, and where.
type said struct {
	expect Expect
	path   []string
}

// expectations are what labels and x-herald say, by container port.
func (c *compose) expectations(s types.ServiceConfig, labels map[string]string) (map[uint16]said, error) {
	e := composeExpectations{compose: c, service: s, all: map[uint16]said{}}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if kind, number, _ := strings.Cut(key, "."); kind == "expect" {
			if err := e.label(key, number, labels[key]); err != nil {
				return nil, err
			}
		}
	}
	if value, ok := s.Extensions["x-herald"]; ok {
		if err := e.extension(value); err != nil {
			return nil, err
		}
	}
	return e.all, nil
}

// composeExpectations are those of one service, while they are read.
type composeExpectations struct {
	*compose
	service types.ServiceConfig
	all     map[uint16]said // by container port
}

// label reads herald.expect.PORT; without a number it is about the only port.
func (e *composeExpectations) label(key, number, text string) error {
	path := []string{"labels", "herald." + key}
	x, err := ParseExpect(text)
	if err != nil {
		return e.errorAt(e.service.Name, path, "label herald.%s: %w", key, err)
	}
	if number == "" {
		port, err := e.onlyPort(path)
		if err != nil {
			return err
		}
		return e.set(port, x, path)
	}
	n, _ := strconv.ParseUint(number, 10, 16) // labels has checked it
	return e.set(uint16(n), x, path)
}

// extension reads x-herald, which has "expect", or expectations by container port.
func (e *composeExpectations) extension(value any) error {
	n, err := e.node(child(child(child(e.root, "services"), e.service.Name), "x-herald"), value)
	if err != nil {
		return e.errorAt(e.service.Name, []string{"x-herald"}, "x-herald: %w", err)
	}
	r := newReader(n)
	return r.entries(n, func(key ast.Node, name string, v ast.Node) error {
		path := []string{"x-herald", name}
		var port uint16
		if name == "expect" {
			only, err := e.onlyPort(path)
			if err != nil {
				return err
			}
			port = only
		} else {
			n, err := strconv.ParseUint(name, 10, 16)
			if err != nil || n == 0 {
				return at(key, "service %s: x-herald: unknown key %q; allowed: expect, or the number of a container port", e.service.Name, name)
			}
			port = uint16(n)
		}
		var x Expect
		if err := r.expect(v, &x); err != nil {
			return err
		}
		return e.set(port, x, path)
	})
}

func (e *composeExpectations) set(port uint16, x Expect, path []string) error {
	if _, twice := e.all[port]; twice {
		return e.errorAt(e.service.Name, path, "port %d is described twice", port)
	}
	e.all[port] = said{x, path}
	return nil
}

// onlyPort is the container port of a service that publishes one.
func (e *composeExpectations) onlyPort(path []string) (uint16, error) {
	ports := publishedPorts(e.service, nil)
	for _, p := range ports {
		if p.own != ports[0].own {
			return 0, e.errorAt(e.service.Name, path, "publishes several ports: say which one is meant, like herald.expect.%d", p.own)
		}
	}
	if len(ports) == 0 {
		return 0, e.errorAt(e.service.Name, path, "publishes no port")
	}
	return ports[0].own, nil
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
