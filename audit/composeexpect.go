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
