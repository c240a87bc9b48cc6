package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"herald/audit/mail"
	"herald/resolve"
)

// setRecords says whom a gatherer asks for the DNS: zone files before a server, overrides before
// both.
func (f mailFlags) setRecords(g *mail.Gatherer) error {
	if err := f.setServer(g); err != nil {
		return err
	}
	if len(f.zones) > 0 {
		zone, err := readZones(f.zones, g.Records)
		if err != nil {
			return err
		}
		g.Records, g.Resolver, g.Trusted = zone, strings.TrimSuffix("zone file, "+g.Resolver, ", "), true
	}
	if g.Records == nil {
		g.Records = addressesOf{f.serviceHosts(), systemOrNobody()}
	}
	names, err := parseResolves(f.resolves)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		g.Records = resolve.Override{Names: names, Of: g.Records}
	}
	return nil
}

// setServer has the server of --dns asked, or the system's; with zone files, or about services,
// nobody who was not named.
func (f mailFlags) setServer(g *mail.Gatherer) error {
	switch {
	case f.dns != "":
		addr, err := parseServer(f.dns)
		if err != nil {
			return err
		}
		g.Records = resolve.Server{Addrs: []netip.AddrPort{addr}, Trusted: true}
		g.Resolver, g.Trusted = addr.String(), true
	case len(f.zones) == 0 && len(f.services) == 0:
		system, err := resolve.SystemServer()
		if err != nil {
			return err
		}
		g.Records, g.Resolver = system, system.Addrs[0].String()
	}
	return nil
}

// parseResolves reads NAME=ADDRESS; a name may be given several addresses.
func parseResolves(list []string) (map[string][]netip.Addr, error) {
	names := map[string][]netip.Addr{}
	for _, text := range list {
		host, address, ok := strings.Cut(text, "=")
		addr, err := netip.ParseAddr(address)
		if !ok || err != nil || host == "" {
			return nil, fmt.Errorf("--resolve %q: write it like mail.example.test=172.16.238.11", text)
		}
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		names[host] = append(names[host], addr.Unmap())
	}
	return names, nil
}

// addressesOf asks for the addresses of some hosts, and for nothing else.
type addressesOf struct {
	hosts []string
	of    resolve.Records
}

func (a addressesOf) Lookup(ctx context.Context, name string, qtype uint16) resolve.Answer {
	name = dns.CanonicalName(name)
	if (qtype == dns.TypeA || qtype == dns.TypeAAAA) && slices.Contains(a.hosts, name) {
		return a.of.Lookup(ctx, name, qtype)
	}
	return resolve.Answer{Name: name, Type: dns.Type(qtype).String(), Status: resolve.Unasked, Reason: "no DNS is asked about --services"}
}

// serviceHosts are the names in --services, as the DNS has them.
func (f mailFlags) serviceHosts() []string {
	var hosts []string
	for _, text := range f.services {
		if _, rest, scheme := strings.Cut(text, "://"); scheme {
			text = rest
		}
		if host, _, err := net.SplitHostPort(text); err == nil {
			hosts = append(hosts, dns.CanonicalName(host))
		}
	}
	return hosts
}

// systemOrNobody resolves the names of services; where there is no resolver, addresses
// still work.
func systemOrNobody() resolve.Records {
	if s, err := resolve.SystemServer(); err == nil {
		return s
	}
	return resolve.Server{}
}

func readZones(names []string, otherwise resolve.Records) (*resolve.Zone, error) {
	var zone *resolve.Zone
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--zone: %w", err)
		}
		if zone == nil {
			zone, err = resolve.ReadZone(name, file)
		} else {
			err = zone.Add(name, file)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("--zone: %w", err)
		}
	}
	zone.Else = otherwise
	return zone, nil
}

func parseServer(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return a, fmt.Errorf("--dns %q: want an address, or address:port", text)
	}
	return a, nil
}
