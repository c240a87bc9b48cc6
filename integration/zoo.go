//go:build integration

// Package integration tries herald on real servers: the containers of docker-compose.yml.
// It finds them, and what must be found on them, by their labels. See README.md.
package integration

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"herald/audit"
)

// Served is one published port of the zoo and what its labels say of it.
type Served struct {
	Container string // name, for docker exec
	Service   string // of docker-compose.yml
	Port      uint16 // inside the container
	Published netip.AddrPort
	Protocol  string
	Product   string // "" where nothing tells it
	Security  string // plain, starttls, tls
	Package   string // Debian package whose version the server tells; "" for none
}

func (s Served) String() string { return fmt.Sprintf("%s:%d", s.Service, s.Port) }

// project is the compose project's name, see .env.
const project = "herald"

// container is what docker inspect tells of one.
type container struct {
	Name            string
	Config          struct{ Labels map[string]string }
	NetworkSettings struct {
		Ports map[string][]struct{ HostIP, HostPort string }
	}
}

// running are the containers of the project.
func running() ([]container, error) {
	ids, err := exec.Command("docker", "ps", "-q", "--filter", "label=com.docker.compose.project="+project).Output()
	if err != nil {
		return nil, fmt.Errorf("docker ps: %w", err)
	}
	names := strings.Fields(string(ids))
	if len(names) == 0 {
		return nil, fmt.Errorf("no server of project %s runs: integration/docker.sh up", project)
	}
	text, err := exec.Command("docker", append([]string{"inspect"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("docker inspect: %w", err)
	}
	var containers []container
	if err := json.Unmarshal(text, &containers); err != nil {
		return nil, fmt.Errorf("docker inspect: %w", err)
	}
	return containers, nil
}

// Planted are the running servers that are wrong on purpose, and the finding that names
// the fault of each.
func Planted() (map[string]string, error) {
	containers, err := running()
	if err != nil {
		return nil, err
	}
	planted := map[string]string{}
	for _, c := range containers {
		for label, finding := range c.Config.Labels {
			if strings.HasPrefix(label, "herald.finding.") {
				planted[c.Config.Labels["com.docker.compose.service"]] = finding
			}
		}
	}
	if len(planted) == 0 {
		return nil, fmt.Errorf("no server that is wrong on purpose runs: COMPOSE_PROFILES=broken integration/docker.sh up")
	}
	return planted, nil
}

// Zoo lists the labelled ports of the running servers, without those that are wrong on
// purpose.
func Zoo() ([]Served, error) {
	containers, err := running()
	if err != nil {
		return nil, err
	}
	var all []Served
	for _, c := range containers {
		if isBroken(c.Config.Labels) {
			continue
		}
		for label, value := range c.Config.Labels {
			number, ok := strings.CutPrefix(label, "herald.expect.")
			if !ok {
				continue
			}
			s := Served{Container: strings.TrimPrefix(c.Name, "/"), Service: c.Config.Labels["com.docker.compose.service"], Package: c.Config.Labels["herald.package."+number]}
			port, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				return nil, fmt.Errorf("%s: label %s: no port", s.Service, label)
			}
			s.Port = uint16(port)
			if err := s.expect(value); err != nil {
				return nil, fmt.Errorf("%s: label %s: %w", s.Service, label, err)
			}
			bound := c.NetworkSettings.Ports[number+"/tcp"]
			if len(bound) == 0 {
				return nil, fmt.Errorf("%s: port %d is labelled and not published", s.Service, s.Port)
			}
			if s.Published, err = netip.ParseAddrPort(bound[0].HostIP + ":" + bound[0].HostPort); err != nil {
				return nil, fmt.Errorf("%s: %w", s.Service, err)
			}
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Served) int { return a.Published.Compare(b.Published) })
	return all, nil
}

// isBroken says whether a server is wrong on purpose: a label names the finding.
func isBroken(labels map[string]string) bool {
	for label := range labels {
		if strings.HasPrefix(label, "herald.finding.") {
			return true
		}
	}
	return false
}

// expect reads a label's value: "smtp; product=Postfix; starttls".
func (s *Served) expect(value string) error {
	e, err := audit.ParseExpect(value)
	s.Protocol, s.Product, s.Security = e.Protocol, e.Product, string(e.Mode)
	if e.Port != "" {
		s.Protocol = e.Port // silent
	}
	return err
}

// PackageVersion asks the container which version of the package is installed, and cuts
// off what is Debian's: epoch, revision, and how the source was repacked.
func (s Served) PackageVersion() (string, error) {
	out, err := exec.Command("docker", "exec", s.Container, "dpkg-query", "-W", "-f", "${Version}", s.Package).Output()
	if err != nil {
		return "", fmt.Errorf("%s: dpkg-query %s: %w", s.Service, s.Package, err)
	}
	return upstream(string(out)), nil
}

// upstream is the upstream part of a Debian version (deb-version(7)).
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if i := strings.LastIndexByte(version, '-'); i >= 0 {
		version = version[:i]
	}
	for _, repacked := range []string{"+ds", "+dfsg", "~dfsg", ".dfsg", "+really"} {
		if i := strings.Index(version, repacked); i >= 0 {
			version = version[:i]
		}
	}
	return version
}
