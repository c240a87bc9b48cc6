//go:build integration

// Command versus has herald and nmap -sV look at every labelled port of the running zoo (see
// integration/README.md), and counts who is right about protocol, product and version.
// docs/speed.md has the result.
//
//	go run -tags integration ./integration/versus -v
//
// Neither is told what runs where: the zoo's ports promise nothing, and no hint is given.
// nmap's names are held against ours by the aliases below, its products by their first word;
// where only its table of ports gives a name, that is no answer.
package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"herald/integration"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

// told is what a scanner says of a port; "" where it says nothing.
type told struct{ protocol, product, version string }

func run() error {
	nmap := flag.String("nmap", "nmap", "the nmap to run")
	extra := flag.String("nmap-flags", "-T4", "further flags of nmap")
	verbose := flag.Bool("v", false, "each answer that is not right")
	flag.Parse()
	zoo, err := integration.Zoo()
	if err != nil {
		return err
	}
	zoo = slices.DeleteFunc(zoo, func(s integration.Served) bool { return s.Protocol == "silent" })
	began := time.Now()
	ours, err := askHerald(zoo)
	if err != nil {
		return fmt.Errorf("herald: %w", err)
	}
	tookHerald := time.Since(began)
	began = time.Now()
	theirs, err := askNmap(*nmap, strings.Fields(*extra), zoo)
	if err != nil {
		return fmt.Errorf("nmap: %w", err)
	}
	tookNmap := time.Since(began)
	fmt.Printf("%d ports\n\n| | wall | protocol: right | wrong | none | product: right | wrong | none | version: right | wrong | none |\n|---|---|---|---|---|---|---|---|---|---|---|\n", len(zoo))
	for _, one := range []struct {
		name string
		told map[netip.AddrPort]told
		took time.Duration
	}{{"herald", ours, tookHerald}, {"nmap -sV", theirs, tookNmap}} {
		var s score
		for _, want := range zoo {
			if err := s.add(want, one.told[want.Published], *verbose, one.name); err != nil {
				return err
			}
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", one.name, one.took.Round(100*time.Millisecond), &s.protocol, &s.product, &s.version)
	}
	return nil
}

// tally counts answers.
type tally struct{ right, wrong, none int }

func (t *tally) String() string {
	return fmt.Sprintf("%d of %d | %d | %d", t.right, t.right+t.wrong+t.none, t.wrong, t.none)
}

// count says whether the answer was right.
func (t *tally) count(right bool, said string) {
	switch {
	case right:
		t.right++
	case said == "":
		t.none++
	default:
		t.wrong++
	}
}

// score is what a scanner was right about: of the labelled protocols, products, and versions
// of packages that the servers tell.
type score struct{ protocol, product, version tally }

func (s *score) add(want integration.Served, got told, verbose bool, name string) error {
	tell := func(what, wanted, said string) {
		if verbose {
			fmt.Fprintf(os.Stderr, "%s: %s (%s): %s %q, said %q\n", name, want, want.Published, what, wanted, said)
		}
	}
	named := got.protocol == want.Protocol || slices.ContainsFunc(aliases[want.Protocol], func(alias string) bool { return strings.HasPrefix(got.protocol, alias) })
	if s.protocol.count(named, got.protocol); !named {
		tell("protocol", want.Protocol, got.protocol)
	}
	if want.Product == "" {
		return nil
	}
	known := sameProduct(want.Product, got.product)
	if s.product.count(known, got.product); !known {
		tell("product", want.Product, got.product)
	}
	if want.Package == "" {
		return nil
	}
	version, err := want.PackageVersion()
	if err != nil {
		return err
	}
	same := got.version != "" && (strings.HasPrefix(got.version, version) || slices.Contains(strings.FieldsFunc(got.version, func(r rune) bool { return strings.ContainsRune(" /-+~", r) }), version))
	if s.version.count(same, got.version); !same {
		tell("version", version, got.version)
	}
	return nil
}

// sameProduct: of a product that is named otherwise, the first word must be there.
func sameProduct(ours, theirs string) bool {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", " ") }
	first, _, _ := strings.Cut(plain(ours), " ")
	return strings.Contains(plain(theirs), first) || slices.ContainsFunc(products[ours], func(name string) bool { return strings.Contains(theirs, name) })
}

// products are nmap's names of products that share no first word with ours.
var products = map[string][]string{
	"GNU lsh": {"lshd"}, "gearmand": {"Gearman"}, "Python http.server": {"SimpleHTTPServer"},
}

// aliases are how nmap's names of services begin, by ours.
var aliases = map[string][]string{
	"dns": {"domain"}, "smb": {"netbios-ssn", "microsoft-ds"}, "lpd": {"printer"}, "http": {"ipp", "http"}, "x11": {"X11"},
	"xmpp": {"jabber", "xmpp-client"}, "distcc": {"distccd"}, "gpsd": {"gpsd-ng"}, "svn": {"svnserve"}, "memcached": {"memcache"}, "rlogin": {"login"},
	"rsh": {"shell"}, "mumble": {"murmur"}, "tor": {"tor-orport"}, "beanstalkd": {"beanstalk"}, "socks5": {"socks-proxy", "tor-socks"}, "socks4": {"socks-proxy"},
	"http-proxy": {"squid-http"}, "sieve": {"managesieve", "sieve"}, "ldap": {"ldap"}, "icecast": {"http"}, "amqp": {"amqp"}, "ident": {"auth"}, "cvs": {"cvspserver"}, "mqtt": {"mosquitto"}, "nsca": {"nagios-nsca"},
}

func askHerald(zoo []integration.Served) (map[netip.AddrPort]told, error) {
	var list strings.Builder
	for _, s := range zoo {
		fmt.Fprintln(&list, s.Published)
	}
	c := exec.Command("go", "run", "herald/cmd/herald", "scan", "--targets", "-", "--format", "jsonl", "--quiet", "--per-host", "64")
	c.Stdin, c.Stderr = strings.NewReader(list.String()), os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, err
	}
	all := map[netip.AddrPort]told{}
	for line := range bytes.Lines(out) {
		var found struct {
			Address                    netip.Addr
			Port                       uint16
			Protocol, Product, Version string
		}
		if err := json.Unmarshal(line, &found); err != nil {
			return nil, err
		}
		all[netip.AddrPortFrom(found.Address, found.Port)] = told{found.Protocol, found.Product, found.Version}
	}
	return all, nil
}

func askNmap(nmap string, flags []string, zoo []integration.Served) (map[netip.AddrPort]told, error) {
	all := map[netip.AddrPort]told{}
	ports := map[netip.Addr][]string{}
	for _, s := range zoo {
		ports[s.Published.Addr()] = append(ports[s.Published.Addr()], fmt.Sprint(s.Published.Port()))
	}
	for addr, list := range ports {
		args := append([]string{"-n", "-Pn", "-sT", "-sV", "-p", strings.Join(list, ","), "-oX", "-"}, flags...)
		c := exec.Command(nmap, append(args, addr.String())...)
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			return nil, err
		}
		var run struct {
			Ports []struct {
				Number  uint16 `xml:"portid,attr"`
				Service struct {
					Name    string `xml:"name,attr"`
					Product string `xml:"product,attr"`
					Version string `xml:"version,attr"`
					Method  string `xml:"method,attr"`
				} `xml:"service"`
			} `xml:"host>ports>port"`
		}
		if err := xml.Unmarshal(out, &run); err != nil {
			return nil, err
		}
		for _, p := range run.Ports {
			t := told{p.Service.Name, p.Service.Product, p.Service.Version}
			if p.Service.Method != "probed" || t.protocol == "unknown" || t.protocol == "tcpwrapped" {
				t.protocol = ""
			}
			all[netip.AddrPortFrom(addr, p.Number)] = t
		}
	}
	return all, nil
}
