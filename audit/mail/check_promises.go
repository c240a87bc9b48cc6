package mail

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"herald/resolve"
)

var promiseChecks = []Check{
	{"D21", "promises", "SRV records are true", Medium, "RFC 6186, 3 and 6; RFC 8314, 5.1; RFC 5804, 1.8", "each target exists, is no alias, and speaks that protocol in that TLS mode with a certificate for it; what is said not to be offered is closed", (*judge).srv},
	{"D22", "promises", "the configuration for mail clients is true", Low, "Mozilla autoconfig, file format 1.1", "each server that it names speaks that protocol in that TLS mode", (*judge).autoconfig},
	{"D23", "promises", "Autodiscover answers", Low, "Microsoft MS-OXDSCLI, 3.2.5", "where autodiscover.DOMAIN exists it answers over good TLS with 200 or 401", (*judge).autodiscover},
	{"R7", "promises", "documents come over good TLS", Medium, "RFC 8461, 3.3; RFC 9525, 6.3", "the hosts that serve them show a trusted certificate for their very names", (*judge).documents},
}

func secondsOf(n int) time.Duration { return time.Duration(n) * time.Second }

// srv tests each record by what was found on connecting.
func (j *judge) srv() {
	if j.domain() == "" {
		return
	}
	for _, kind := range srvNames {
		name := kind.name + "." + j.domain()
		a := j.lookup(name, dns.TypeSRV)
		if !a.Known() {
			j.unresolved(name, a)
			continue
		}
		for _, rr := range resolve.Of[*dns.SRV](a) {
			j.srvRecord(name, kind.protocol, kind.security, rr)
		}
	}
	for _, pair := range [][2]string{{"_imap._tcp", "_imaps._tcp"}, {"_pop3._tcp", "_pop3s._tcp"}} {
		clear, secure := pair[0], pair[1]
		if j.promises(clear) && j.lookup(secure+"."+j.domain(), dns.TypeSRV).Known() && !j.promises(secure) {
			j.warn(clear+"."+j.domain(), "in the clear, without %s beside it", secure).sev(Low).fix("promise the one inside TLS too").record("%s.%s. IN SRV 0 1 %d mail.%s.", secure, j.domain(), map[string]int{"_imaps._tcp": 993, "_pop3s._tcp": 995}[secure], j.domain())
		}
	}
}

func (j *judge) promises(name string) bool {
	return slices.ContainsFunc(resolve.Of[*dns.SRV](j.lookup(name+"."+j.domain(), dns.TypeSRV)), func(rr *dns.SRV) bool { return rr.Target != "." })
}

func (j *judge) srvRecord(name, protocol, security string, rr *dns.SRV) {
	host := bare(dns.CanonicalName(rr.Target))
	where := name
	if protocol == "" { // _autodiscover: HTTPS, which D23 asks
		j.pass(where, "%s:%d", host, rr.Port)
		return
	}
	if host == "." {
		j.notOffered(where, protocol, security)
		return
	}
	addrs, v4, v6 := resolve.Addresses(j.ctx, j.dns, host)
	switch {
	case len(v4.Aliases())+len(v6.Aliases()) > 0:
		j.warn(where, "%s is an alias: targets must not be (RFC 2782)", host).sev(Low).with(v4.Records...).fix("name the host itself")
	case len(addrs) == 0 && !v4.Known():
		j.unresolved(where, v4)
		return
	case len(addrs) == 0:
		j.fail(where, "%s has no address", host).with(rr.String()).fix("mend the target, or remove the record")
		return
	}
	j.claim(where, rr.String(), host, protocol, security, rr.Port, []string{host, j.domain()})
}

// notOffered tests "." (RFC 6186, 3.4): the port should not be open then.
func (j *judge) notOffered(where, protocol, security string) {
	for _, s := range j.services(protocol) {
		if s.Security == security && s.welcome() && !isMX(s) {
			j.warn(where, "said not to be offered, and %s is open", s.Where()).sev(Low).fix("close the port, or promise it")
			return
		}
	}
	j.pass(where, "not offered, and not found")
}

// inTLS are the words for a TLS mode, and for what is heard where that one is due.
var inTLS = map[string]string{"tls": " inside TLS", "not tls": " in the clear"}

// claim compares a promise with what was found.
func (j *judge) claim(where, text, host, protocol, security string, port uint16, names []string) {
	found := false
	for _, s := range j.f.Services {
		if s.Host != host || s.Port != port || s.Protocol != protocol || s.Security != security {
			continue
		}
		found = true
		promise := fmt.Sprintf("%s on %s:%d (%s)", protocol, host, port, s.Addr)
		switch {
		case j.cutOff(s):
			j.unknown(where, fromElsewhere, "promises %s: nothing of this address answers us: %s", promise, s.Failure.Kind)
		case s.down():
			j.fail(where, "promises %s: %s", promise, s.Failure.Kind).with(text).fix("open the port, or withdraw the promise")
		case s.Unasked != "":
			j.fail(where, "promises %s%s: %s answers there%s", promise, inTLS[security], spoken(s.Unasked), inTLS["not "+security]).with(text, s.Unasked).fix("mend the promise, or the port")
		case j.underTLS(s):
			j.fail(where, "promises %s in the clear: TLS comes first there", promise).with(text).fix("mend the promise, or the port")
		case s.refusal() != "":
			j.unknown(where, nextAfter(s), "promises %s: it would not talk to us", promise).with(s.refusal())
		case security == "tls" && s.unseen():
			j.unknown(where, s.nextOf(), "promises %s inside TLS: no handshake was completed: %s", promise, s.why())
		case security == "tls" && !s.secured():
			j.fail(where, "promises %s inside TLS: no handshake", promise).with(text).fix("mend the port or the TLS mode")
		case !s.welcome():
			j.unknown(where, "see R12", "promises %s, and does not greet as such: %s", promise, cmp.Or(firstLine(s.greeting()), s.why()))
		case s.interrupted():
			j.unknown(where, "see S9", "promises %s: words came in the clear before TLS, and we went no further", promise)
		case security == "plain" && s.offersTLS() && s.unseen():
			j.unknown(where, s.nextOf(), "promises %s: whether STARTTLS works is not known: %s", promise, s.why())
		case security == "plain" && !s.secured() && s.offersTLS():
			j.fail(where, "promises %s: STARTTLS does not work", promise).with(text)
		case security == "plain" && s.offers(false) == nil && s.secured():
			j.unknown(where, "gather again", "promises %s: what it offers in the clear was not heard", promise)
		case security == "plain" && !s.offersTLS():
			j.warn(where, "promises %s: no STARTTLS, a password goes in the clear", promise).with(text).fix("%s", j.mend(s, "starttls-"+protocol))
		default:
			leaf, ok := j.leaf(s.TLS)
			if ok && covers(leaf, names) == "" {
				j.fail(where, "promises %s: the certificate is for none of %s", promise, strings.Join(names, ", ")).sev(High).with(text, "names: "+strings.Join(leaf.DNSNames, ", ")).fix("have a certificate issued for the name")
			} else {
				j.pass(where, "promises %s: true", promise)
			}
		}
	}
	if found {
		return
	}
	if addrs, v4, v6 := resolve.Addresses(j.ctx, j.dns, host); len(addrs) == 0 && v4.Absent() && v6.Absent() && !isAddress(host) {
		j.fail(where, "promises %s on %s:%d, and %s has no address", protocol, host, port, host).sev(Medium).with(text).fix("mend the name, or withdraw the promise")
	} else {
		j.unknown(where, "gather again", "promises %s on %s:%d, which was not asked", protocol, host, port).with(text)
	}
}

// configServer is a server that a configuration for mail clients names.
type configServer struct {
	Type     string // "imap", "pop3", "smtp"
	Host     string
	Port     uint16
	Socket   string // SSL, STARTTLS, plain
	Protocol string
}

func (s configServer) security() string {
	if strings.EqualFold(s.Socket, "SSL") {
		return "tls"
	}
	return "plain"
}

// parseAutoconfig reads the format of Thunderbird.
func parseAutoconfig(text string) ([]configServer, error) {
	type server struct {
		Type   string `xml:"type,attr"`
		Host   string `xml:"hostname"`
		Port   uint16 `xml:"port"`
		Socket string `xml:"socketType"`
	}
	var doc struct {
		XMLName  xml.Name `xml:"clientConfig"`
		Provider []struct {
			Incoming []server `xml:"incomingServer"`
			Outgoing []server `xml:"outgoingServer"`
		} `xml:"emailProvider"`
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = true
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	var list []configServer
	for _, p := range doc.Provider {
		for _, s := range slices.Concat(p.Incoming, p.Outgoing) {
			c := configServer{Type: strings.ToLower(strings.TrimSpace(s.Type)), Host: strings.ToLower(strings.TrimSpace(s.Host)), Port: s.Port, Socket: strings.TrimSpace(s.Socket)}
			if slices.Contains([]string{"imap", "pop3", "smtp"}, c.Type) {
				c.Protocol = c.Type
			}
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("it names no server")
	}
	return list, nil
}

func (j *judge) autoconfig() {
	for i := range j.f.Documents {
		d := &j.f.Documents[i]
		if d.Role != "autoconfig" && d.Role != "autoconfig-wellknown" {
			continue
		}
		switch {
		case d.Failure != nil:
			if d.Role == "autoconfig" {
				f := j.warn(d.URL, "the host exists, and nothing can be fetched: %s", d.Failure).fix("serve the configuration, or remove the host")
				if d.Failure.unheard() {
					f.State, f.Fix = Unknown, "ask again; if it stays, serve the configuration, or remove the host"
				}
			}
			continue
		case d.Status != 200:
			continue // not served here
		}
		servers, err := parseAutoconfig(d.Body)
		if err != nil {
			if d.Role == "autoconfig" {
				j.fail(d.URL, "no configuration for mail clients: %v", err).with(clip(d.Body, 500))
			}
			continue
		}
		for _, s := range servers {
			host := asciiName(strings.ReplaceAll(s.Host, "%emaildomain%", j.domain()))
			text := fmt.Sprintf("%s %s:%d %s", s.Type, host, s.Port, s.Socket)
			if strings.EqualFold(s.Socket, "plain") {
				j.warn(d.URL, "%s: a password in the clear", text).sev(Medium).fix("socketType SSL")
			}
			if s.Protocol != "" {
				j.claim(d.URL, text, host, s.Protocol, s.security(), s.Port, []string{host})
			}
		}
	}
}

func (j *judge) autodiscover() {
	d := j.document("autodiscover")
	switch {
	case d == nil:
	case j.microsofts():
		j.na(d.URL, "an alias of autodiscover.outlook.com, which answers over HTTP alone, by a redirect: not asked")
	case d.Failure != nil:
		f := j.warn(d.URL, "the host exists, and does not answer: %s", d.Failure).fix("serve it, or remove the host")
		if d.Failure.unheard() {
			f.State, f.Fix = Unknown, "ask again; if it stays, serve it, or remove the host"
		}
	case d.Status == 200 || d.Status == 401 || d.Status == 405: // 405: it wants POST, as clients do
		j.pass(d.URL, "%d", d.Status)
	case d.Status >= 300 && d.Status < 400 && d.Location != "": // MS-OXDSCLI, 3.1.5: clients follow
		j.pass(d.URL, "%d, a redirect to %s, which clients follow", d.Status, d.Location)
	default:
		j.warn(d.URL, "answers with %d: clients are not configured", d.Status).fix("serve it, or remove the host")
	}
}

// microsofts says that autodiscover.DOMAIN is an alias of Exchange Online's host, as
// Microsoft has its customers publish it. That has no certificate for the name: clients are
// led on by HTTP.
func (j *judge) microsofts() bool {
	name := "autodiscover." + j.domain()
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if slices.ContainsFunc(j.lookup(name, t).Aliases(), func(a string) bool { return strings.EqualFold(bare(a), "autodiscover.outlook.com") }) {
			return true
		}
	}
	return false
}

func (j *judge) documents() {
	for i := range j.f.Documents {
		d := &j.f.Documents[i]
		chain, ok := j.f.Chain(d.Chain)
		if !ok || d.Role == "autoconfig-wellknown" && d.Status != 200 || d.Role == "autodiscover" && j.microsofts() {
			continue
		}
		host := strings.TrimPrefix(d.URL, "https://")
		host, _, _ = strings.Cut(host, "/")
		switch {
		case covers(chain[0], []string{host}) == "":
			j.warn(d.URL, "the certificate is not for %s", host).with("names: " + strings.Join(chain[0].DNSNames, ", ")).fix("have a certificate issued for that name")
		case j.verify(chain) != nil:
			j.warn(d.URL, "the certificate is not trusted").with(describe(chain)...)
		case j.at.After(chain[0].NotAfter):
			j.warn(d.URL, "the certificate has expired").with(describe(chain)...)
		default:
			j.pass(d.URL, "a good certificate, from %s", firstAddr(d.Addr))
		}
	}
}

func firstAddr(a netip.Addr) string {
	if a.IsValid() {
		return a.String()
	}
	return "an address that was not kept"
}
