package recorded

import (
	"crypto/x509"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"herald/probes"
	"herald/wire"
)

// maxElement bounds what is read between two ports of nmap's XML, in bytes.
const maxElement = 32 << 20

// metered fails when too much was read since the last port.
type metered struct {
	io.Reader
	since int
}

var errTooMuch = fmt.Errorf("more than %d bytes without the end of a port", maxElement)

func (m *metered) Read(p []byte) (int, error) {
	if m.since > maxElement {
		return 0, errTooMuch
	}
	n, err := m.Reader.Read(p)
	m.since += n
	return n, err
}

// nmapPort is a <port> (https://nmap.org/book/nmap-dtd.html): what is of use here.
type nmapPort struct {
	Protocol string `xml:"protocol,attr"`
	Number   uint16 `xml:"portid,attr"`
	State    struct {
		State string `xml:"state,attr"`
	} `xml:"state"`
	Service struct {
		Print  string `xml:"servicefp,attr"`
		Tunnel string `xml:"tunnel,attr"`
	} `xml:"service"`
	Scripts []nmapScript `xml:"script"`
}

type nmapScript struct {
	ID       string `xml:"id,attr"`
	Output   string `xml:"output,attr"`
	Elements []struct {
		Key  string `xml:"key,attr"`
		Text string `xml:",chardata"`
	} `xml:"elem"`
}

func (s *nmapScript) element(key string) string {
	for _, e := range s.Elements {
		if e.Key == key {
			return e.Text
		}
	}
	return ""
}

// nmap reads the output of nmap -oX, port by port.
func (d *reader) nmap() {
	in := &metered{Reader: d.in}
	x := xml.NewDecoder(in)
	x.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // ASCII; what is more is escaped
	var address, name string
	seen := false
	for !d.stopped {
		token, err := x.Token()
		d.line, _ = x.InputPos()
		if errors.Is(err, io.EOF) {
			if !seen {
				d.bad(errors.New("no <nmaprun> in it: is it the output of nmap -oX?"))
			}
			return
		}
		if err != nil {
			d.bad(fmt.Errorf("the rest can not be read: %w", err))
			return
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch start.Name.Local {
		case "nmaprun":
			seen = true
		case "host":
			address, name = "", ""
		case "address":
			if kind := attribute(start, "addrtype"); kind != "mac" {
				address = attribute(start, "addr")
			}
		case "hostname":
			if name == "" {
				name = attribute(start, "name")
			}
		case "port":
			var p nmapPort
			err := x.DecodeElement(&p, &start)
			if number := new(strconv.NumError); errors.As(err, &number) {
				d.bad(fmt.Errorf("<port>: %w", err))
				continue
			}
			if err != nil {
				d.bad(fmt.Errorf("the rest can not be read: %w", err))
				return
			}
			in.since = 0
			if p.Protocol == "tcp" && (p.State.State == "open" || p.State.State == "") {
				d.port(address, name, &p)
			}
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// asks are nmap's questions, as its output names them, that one of our probes would ask in
// other words, so that its answer can be read by that probe. The first that was answered
// counts.
var asks = [][2]string{{"GetRequest", "http"}, {"HTTPOptions", "http"}, {"FourOhFourRequest", "http"}, {"RTSPRequest", "rtsp"}, {"SIPOptions", "sip"}}

// port gives what one port said: the answers in a service fingerprint, which nmap writes
// down where it knows no name, and what its scripts quote word for word.
func (d *reader) port(address, name string, p *nmapPort) {
	var i Item
	answers := servicePrint(p.Service.Print)
	if greeting := answers.to("NULL"); greeting != nil {
		i = d.hear.greeting(greeting, p.Number)
	}
	for _, ask := range asks {
		if answer := answers.to(ask[0]); answer != nil && len(i.Heard) == 0 {
			i = d.hear.answer(ask[1], answer)
		}
	}
	if len(i.Heard) == 0 && len(answers) > 0 {
		i.Heard = note(i.Heard, "tcp.answer", answers[0].text)
	}
	for n := range p.Scripts {
		d.script(&i, p, &p.Scripts[n])
	}
	if p.Service.Tunnel == "ssl" {
		for n := range i.Heard {
			i.Heard[n].TLS = true
		}
	}
	if name == "" {
		name = address
	}
	i.Target = target(name, p.Number)
	d.give(i)
}

// script notes what a script of nmap quotes from the server.
func (d *reader) script(i *Item, p *nmapPort, s *nmapScript) {
	add := func(key, text string) {
		for _, e := range i.Heard {
			if e.Key == key {
				return
			}
		}
		i.Heard = note(i.Heard, key, []byte(text))
	}
	switch s.ID {
	case "banner":
		if len(i.Heard) == 0 {
			heard := d.hear.greeting(unescapeBanner(s.Output), p.Number)
			i.Protocol, i.Heard = heard.Protocol, heard.Heard
		}
	case "http-server-header":
		for _, e := range s.Elements {
			add("http.header.server", e.Text)
		}
		if len(s.Elements) == 0 {
			add("http.header.server", strings.TrimSpace(s.Output))
		}
	case "http-title":
		add("http.title", s.element("title"))
	case "ssl-cert":
		block, _ := pem.Decode([]byte(s.element("pem")))
		if block == nil {
			return
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return
		}
		var o probes.Observation
		probes.NoteTLS(&o, &wire.TLSState{Chain: []*x509.Certificate{c}})
		for _, e := range o.Evidence {
			if e.Key != "tls.version" && e.Key != "tls.cipher" { // not known
				i.Heard = append(i.Heard, e)
			}
		}
	}
}
