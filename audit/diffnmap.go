package audit

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"herald/wire"
)

// nmapRun is nmap's XML, as far as it is compared.
type nmapRun struct {
	XMLName xml.Name `xml:"nmaprun"`
	Hosts   []struct {
		Addresses []struct {
			Addr string `xml:"addr,attr"`
			Type string `xml:"addrtype,attr"`
		} `xml:"address"`
		Names []struct {
			Name string `xml:"name,attr"`
		} `xml:"hostnames>hostname"`
		Ports []struct {
			Protocol string `xml:"protocol,attr"`
			Number   uint16 `xml:"portid,attr"`
			State    struct {
				State string `xml:"state,attr"`
			} `xml:"state"`
			Service struct {
				Name    string `xml:"name,attr"`
				Product string `xml:"product,attr"`
				Version string `xml:"version,attr"`
				Tunnel  string `xml:"tunnel,attr"`
				Method  string `xml:"method,attr"`
			} `xml:"service"`
		} `xml:"ports>port"`
	} `xml:"host"`
}

// nmapNames are protocols that nmap names in another way.
var nmapNames = map[string]string{"domain": "dns", "ms-sql-s": "mssql", "microsoft-ds": "smb", "netbios-ssn": "smb", "https": "http", "imaps": "imap", "pop3s": "pop3", "smtps": "smtp", "submission": "smtp", "ftps": "ftp", "nntps": "nntp", "ms-wbt-server": "rdp"}

func readNmap(name string, r io.Reader) (*Scan, error) {
	var run nmapRun
	d := xml.NewDecoder(r)
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // nmap writes ASCII
	if err := d.Decode(&run); err != nil {
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%s:%d: %s", name, syntax.Line, syntax.Msg)
		}
		return nil, fmt.Errorf("%s: not nmap's XML: %w", name, err)
	}
	s := &Scan{places: map[string]*observed{}}
	for _, h := range run.Hosts {
		var at netip.Addr
		for _, a := range h.Addresses {
			if a.Type == "ipv4" || a.Type == "ipv6" {
				at, _ = netip.ParseAddr(a.Addr)
			}
		}
		if !at.IsValid() {
			continue
		}
		for _, p := range h.Ports {
			if p.Protocol != "tcp" {
				continue
			}
			o := &observed{state: p.State.State}
			if len(h.Names) > 0 {
				o.name = h.Names[0].Name
			}
			if o.state == "open" && p.Service.Method != "table" { // "table" is a guess by the port's number
				o.protocol, o.product, o.version, o.security = p.Service.Name, p.Service.Product, p.Service.Version, string(wire.Plain)
				if ours, ok := nmapNames[o.protocol]; ok {
					o.protocol = ours
				}
				if p.Service.Tunnel == "ssl" {
					o.security = string(wire.TLS)
				}
			}
			s.places[netip.AddrPortFrom(at, p.Number).String()] = o
		}
	}
	return s, nil
}
