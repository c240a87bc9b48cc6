package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml/ast"
	"github.com/sirupsen/logrus"
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

// service makes a service of each container port that is published.
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
	var owns []uint16
	for _, p := range ports {
		if !slices.Contains(owns, p.own) {
			owns = append(owns, p.own)
		}
	}
	for _, own := range slices.Sorted(maps.Keys(said)) {
		exposed := slices.Contains(s.Expose, strconv.Itoa(int(own))) // other containers reach it; nobody here does
		if !slices.Contains(owns, own) && !exposed {
			return c.errorAt(s.Name, said[own].path, "port %d is said to be something, and is not published", own)
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
		x.publish(own, ports, labels["published"] == "everywhere")
		c.file.Services = append(c.file.Services, x)
	}
	return nil
}

// publish gives a service the places at which one of the container's ports is reached; meant says
// that all addresses of the machine may reach it.
func (x *Service) publish(own uint16, ports []published, meant bool) {
	for _, p := range ports {
		switch {
		case p.own != own:
		case p.port == 0:
			x.Unplaced = p.text
		default:
			x.Exposed = x.Exposed || p.everywhere && !meant
			place := Place{Host: p.host, Port: p.port, Own: own}
			place.Text = place.Key()
			x.At = append(x.At, place)
		}
	}
}
