package scan

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"

	"herald/wire"
)

// KnownPort is what is expected on a TCP port.
type KnownPort struct {
	Number     uint16     `json:"port"`
	Service    string     `json:"service,omitempty"`     // IANA's service name (RFC 6335), "" where it has none
	Expected   []Expected `json:"expected"`              // the usual one first; empty where herald has no probe for it
	Group      string     `json:"group,omitempty"`       // "mail", "web", …
	SecurePort uint16     `json:"secure_port,omitempty"` // where the same is spoken inside TLS; 0 for none
	About      string     `json:"about"`                 // what it is for, in plain words
}

// Expected is a protocol and how it begins.
type Expected struct {
	Protocol string        `json:"protocol"` // the name of a probe
	Security wire.Security `json:"security"` // Plain or TLS
}

// scheme is the expectation as an URL's scheme: "imap", "imaps".
func (e Expected) scheme() string {
	if e.Security == wire.TLS {
		return e.Protocol + "s"
	}
	return e.Protocol
}

//go:embed ports.tsv
var portsFile string

var knownPorts = sync.OnceValue(func() map[uint16]*KnownPort {
	known := map[uint16]*KnownPort{}
	for line := range strings.Lines(portsFile) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		p := parseKnownPort(strings.TrimRight(line, "\n"))
		known[p.Number] = p
	}
	return known
})

func parseKnownPort(line string) *KnownPort {
	column := strings.Split(line, "\t")
	number := func(s string) uint16 {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			panic("scan: ports.tsv: " + line)
		}
		return uint16(n)
	}
	blank := func(s string) string { return strings.TrimPrefix(s, "-") }
	p := &KnownPort{Number: number(column[0]), Group: blank(column[2]), Service: blank(column[4]), About: column[5]}
	if twin := blank(column[3]); twin != "" {
		p.SecurePort = number(twin)
	}
	for name := range strings.SplitSeq(blank(column[1]), ",") {
		if name == "" {
			continue
		}
		e := Expected{name, wire.Plain}
		if name, tls := strings.CutSuffix(name, "/tls"); tls {
			e = Expected{name, wire.TLS}
		}
		p.Expected = append(p.Expected, e)
	}
	return p
}

// Ports are all known ports, sorted by number.
func Ports() []*KnownPort {
	var all []*KnownPort
	for _, p := range knownPorts() {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *KnownPort) int { return int(a.Number) - int(b.Number) })
	return all
}

// PortNamed is what is known of a port, nil for nothing.
func PortNamed(number uint16) *KnownPort { return knownPorts()[number] }

// usualPorts are the ports of mail, news, web, file transfer and proxies: what is looked at
// where nobody says which.
var usualPorts = []uint16{20, 21, 22, 25, 80, 110, 119, 143, 443, 465, 563, 587, 990, 993, 995, 1080, 3128, 4190, 8008, 8080, 8088, 8443}

// PortGroup are the ports of a group, sorted; nil for an unknown name. "all" is every known
// port, "default" what is looked at where nobody says which.
func PortGroup(name string) []uint16 {
	if name == "default" {
		return slices.Clone(usualPorts)
	}
	var group []uint16
	for _, p := range Ports() {
		if name == "all" || p.Group == name && name != "" {
			group = append(group, p.Number)
		}
	}
	return group
}

// PortGroups are the names of the groups, sorted, "all" and "default" among them.
func PortGroups() []string {
	names := []string{"all", "default"}
	for _, p := range Ports() {
		if p.Group != "" && !slices.Contains(names, p.Group) {
			names = append(names, p.Group)
		}
	}
	slices.Sort(names)
	return names
}

// PortsOf are the ports on which a service name or a protocol is expected, sorted.
func PortsOf(name string) []uint16 {
	var ports []uint16
	for _, p := range Ports() {
		if p.Service == name || slices.ContainsFunc(p.Expected, func(e Expected) bool { return e.scheme() == name }) {
			ports = append(ports, p.Number)
		}
	}
	return ports
}
