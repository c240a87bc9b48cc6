package mail

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"herald/resolve"
	"herald/wire"
)

// Gatherer asks. The zero value asks the network, and no DNS.
type Gatherer struct {
	Records   resolve.Records // nil asks nobody
	Resolver  string          // what Records is, for the facts
	Trusted   bool            // the AD bit of Records was named as trusted
	Caller    wire.Caller     // limits, manners and transport; zero limits take mail's own
	Relay     string          // mailbox of the relay test; "" is one at example.net
	Sender    string          // reverse-path of the relay test; "" is postmaster at the EHLO name, or the null one
	Patience  time.Duration   // for a greeting, and for any reply; 0 is 60 s
	Space     time.Duration   // between connections to one address on port 25; 0 is 1 s, negative is none
	TLSScan   bool            // enumerate versions and suites: some dozens of connections to each port
	Injection bool            // the STARTTLS injection probe, last, on its own connection
	Documents bool            // fetch what the domain publishes over HTTPS
	RoundTrip *TripRequest    // send messages to the user's own mailbox, fetch and delete them; nil does not
}

// ErrQuestion says what is wrong with a question.
var ErrQuestion = errors.New("a domain, or a host, or services")

// Gather asks everything that the question needs, and returns what was learnt also where
// ctx ends early. The error is of the question, never of a server.
func (g Gatherer) Gather(ctx context.Context, q Question) (*Facts, error) {
	f := &Facts{
		Format: Format, Question: q, Began: time.Now().UTC().Truncate(time.Second), Resolver: g.Resolver, Trusted: g.Trusted,
		Scanned: g.TLSScan, Injected: g.Injection, Certificates: map[string][]byte{},
	}
	began := time.Now()
	if err := q.check(); err != nil {
		return nil, err
	}
	if f.Question.Domain != "" {
		f.Question.Domain = asciiName(q.Domain)
	}
	if g.RoundTrip != nil {
		request := *g.RoundTrip
		g.RoundTrip = &request
		if err := request.check(f.Question); err != nil {
			return nil, err
		}
	}
	recorder := &resolve.Recorder{Of: g.Records}
	if g.Records == nil {
		recorder.Of = nobody{}
	}
	p := &plan{g: g, ctx: ctx, facts: f, dns: recorder, services: map[string]*Service{}}
	switch {
	case f.Question.Domain != "":
		p.domain()
	case q.Host != "":
		p.host(asciiName(q.Host), "host", mailPortNumbers()...)
		p.doors(asciiName(q.Host))
	default:
		for _, text := range q.Services {
			host, want, _ := parseService(text)
			p.ask(host, "service", want)
		}
	}
	p.all.Wait()
	for _, s := range p.services {
		f.Services = append(f.Services, s)
	}
	inOrder := func(a, b *Service) int {
		return cmp.Or(cmp.Compare(mxFirst(a), mxFirst(b)), cmp.Compare(a.Host, b.Host), a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port))
	}
	slices.SortFunc(f.Services, inOrder)
	slices.SortFunc(f.Doors, inOrder)
	if g.RoundTrip != nil {
		p.roundTrip()
	}
	p.reverse()
	slices.SortFunc(f.Documents, func(a, b Document) int { return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.URL, b.URL)) })
	f.Answers = recorder.Answers()
	f.TookMS = ms(time.Since(began))
	return f, nil
}

func mxFirst(s *Service) int {
	if s.AskedAs("mx") {
		return 0
	}
	return 1
}

func (q Question) check() error {
	given := 0
	for _, is := range []bool{q.Domain != "", q.Host != "", len(q.Services) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return ErrQuestion
	}
	if q.Domain != "" {
		if _, ok := dns.IsDomainName(asciiName(q.Domain)); !ok || strings.ContainsAny(q.Domain, " :/@") {
			return fmt.Errorf("%q is no domain: %w", q.Domain, ErrQuestion)
		}
	}
	for _, text := range q.Ask {
		host, qtype, _ := strings.Cut(text, " ")
		if _, ok := dns.IsDomainName(host); !ok || dns.StringToType[qtype] == 0 {
			return fmt.Errorf("%q: write NAME TYPE: %w", text, ErrQuestion)
		}
	}
	for _, text := range q.Services {
		if _, _, err := parseService(text); err != nil {
			return err
		}
	}
	return nil
}

// asciiName is a name as the DNS has it, without a final dot.
func asciiName(name string) string {
	name = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		return ascii
	}
	return name
}

type nobody struct{}

func (nobody) Lookup(_ context.Context, name string, qtype uint16) resolve.Answer {
	return resolve.Answer{Name: dns.CanonicalName(name), Type: dns.Type(qtype).String(), Status: resolve.Unasked, Reason: "no DNS is asked"}
}

// plan is one run: what is asked of whom. Addresses run side by side; one address has one
// lane for port 25 and one for its other ports.
type plan struct {
	g     Gatherer
	ctx   context.Context
	facts *Facts
	dns   *resolve.Recorder
	all   sync.WaitGroup

	mu       sync.Mutex
	services map[string]*Service
	lanes    map[string]chan struct{} // full while a visit is under way
	doored   map[string]bool          // hosts whose other ports are listened on
}

// domain asks what the domain publishes, and tests each promise.
func (p *plan) domain() {
	name := p.facts.Question.Domain
	p.all.Go(func() { // the DNS: the judge's own walks, whose answers are recorded
		// What others gather meanwhile is not looked at; [plan.reverse] does that.
		bare := &Facts{Question: p.facts.Question, Began: p.facts.Began}
		judgeOf(p.ctx, bare, p.dns, Options{}).walkRecords()
	})
	for _, text := range p.facts.Question.Ask {
		host, qtype, _ := strings.Cut(text, " ")
		p.all.Go(func() { p.dns.Lookup(p.ctx, host, dns.StringToType[qtype]) })
	}
	p.all.Go(func() {
		mx := p.dns.Lookup(p.ctx, name, dns.TypeMX)
		records := resolve.Of[*dns.MX](mx)
		const mostMX = 10
		for i, rr := range records[:min(len(records), mostMX)] {
			if host := asciiName(rr.Mx); host != "" && i < mostMX {
				p.host(host, fmt.Sprintf("mx %d", rr.Preference), 25)
				p.host(host, "host of an exchanger", mailPortNumbers()[1:]...)
				p.doors(host)
			}
		}
		if mx.Status == resolve.NoData {
			p.host(name, "mx implicit", 25) // RFC 5321, 5.1
		}
	})
	for _, srv := range srvNames {
		p.all.Go(func() {
			for _, rr := range resolve.Of[*dns.SRV](p.dns.Lookup(p.ctx, srv.name+"."+name, dns.TypeSRV)) {
				if host := asciiName(rr.Target); host != "" && srv.protocol != "" {
					p.ask(host, "srv "+srv.name, wanted{port: rr.Port, protocol: srv.protocol, security: srv.security})
				}
			}
		})
	}
	if p.g.Documents {
		p.documents(name)
	}
}

type srvName struct{ name, protocol, security string }

// srvNames are the SRV records of mail (RFC 6186, 3; RFC 8314, 5.1; RFC 5804, 1.8).
var srvNames = []srvName{
	{"_submissions._tcp", "smtp", "tls"}, {"_submission._tcp", "smtp", "plain"},
	{"_imaps._tcp", "imap", "tls"}, {"_imap._tcp", "imap", "plain"},
	{"_pop3s._tcp", "pop3", "tls"}, {"_pop3._tcp", "pop3", "plain"},
	{"_sieve._tcp", "sieve", "plain"}, {"_autodiscover._tcp", "", ""},
}

func (p *plan) documents(name string) {
	fetch := func(role, url string, hosts ...string) {
		p.all.Go(func() {
			for _, h := range hosts { // no document where no name is
				if addrs, _, _ := resolve.Addresses(p.ctx, p.dns, h); len(addrs) == 0 {
					return
				}
			}
			d := p.fetch(role, url)
			if role == "autoconfig" || role == "autoconfig-wellknown" {
				p.promised(d)
			}
		})
	}
	fetch("mta-sts", "https://mta-sts."+name+"/.well-known/mta-sts.txt", "mta-sts."+name)
	fetch("autoconfig", "https://autoconfig."+name+"/mail/config-v1.1.xml?emailaddress=postmaster@"+name, "autoconfig."+name)
	fetch("autoconfig-wellknown", "https://"+name+"/.well-known/autoconfig/mail/config-v1.1.xml", name)
	fetch("autodiscover", "https://autodiscover."+name+"/autodiscover/autodiscover.xml", "autodiscover."+name)
}

func (p *plan) fetch(role, url string) Document {
	f := resolve.Fetcher{Records: p.dns, Transport: p.g.Caller.Transport, UserAgent: p.g.Caller.Manners.UserAgent}
	got := f.Get(p.ctx, url)
	d := Document{Role: role, URL: got.URL, Addr: got.Addr, Status: got.Status, Type: got.Type, Location: got.Location,
		Body: string(got.Body), Bytes: len(got.Body), Cut: got.Cut, MS: ms(got.Took)}
	if got.Failure != nil {
		d.Failure = failure("fetch", got.Failure)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d.Chain = p.keep(got.Chain)
	p.facts.Documents = append(p.facts.Documents, d)
	return d
}

// promised connects to every server that a configuration for mail clients names.
func (p *plan) promised(d Document) {
	config, err := parseAutoconfig(d.Body)
	if err != nil {
		return
	}
	const most = 12
	for _, s := range config[:min(len(config), most)] {
		host := strings.ReplaceAll(s.Host, "%emaildomain%", p.facts.Question.Domain)
		if _, ok := dns.IsDomainName(host); ok && s.Port != 0 && s.Protocol != "" {
			p.ask(asciiName(host), "autoconfig "+s.Type, wanted{port: s.Port, protocol: s.Protocol, security: s.security()})
		}
	}
}

// host asks all given ports of all addresses of a host.
func (p *plan) host(host, reason string, ports ...uint16) {
	for _, port := range ports {
		p.ask(host, reason, customOf(port))
	}
}

// ask asks all addresses of a host.
func (p *plan) ask(host, reason string, w wanted) {
	p.all.Go(func() {
		for _, addr := range p.addresses(host) {
			p.service(&Service{Host: host, Addr: addr, Port: w.port, Protocol: w.protocol, Security: w.security, As: w.as, Taken: w.taken}, reason)
		}
	})
}

// addresses are those of a host, or the one that stands in a name's place.
func (p *plan) addresses(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	const most = 8
	addrs, _, _ := resolve.Addresses(p.ctx, p.dns, host)
	return addrs[:min(len(addrs), most)]
}

// service asks a service once, whatever the reasons.
func (p *plan) service(s *Service, reason string) {
	key := fmt.Sprintf("%s %s %d %s %s", s.Host, s.Addr, s.Port, s.Protocol, s.Security)
	lane := s.Addr.String()
	if s.Port != 25 {
		lane = fmt.Sprintf("%s %d", s.Addr, s.Port)
	}
	p.mu.Lock()
	if known, ok := p.services[key]; ok {
		if !slices.Contains(known.Asked, reason) {
			known.Asked = append(known.Asked, reason)
			slices.Sort(known.Asked)
		}
		p.mu.Unlock()
		return
	}
	s.Asked = []string{reason}
	p.services[key] = s
	if p.lanes == nil {
		p.lanes = map[string]chan struct{}{}
	}
	if p.lanes[lane] == nil {
		p.lanes[lane] = make(chan struct{}, 1)
	}
	turn := p.lanes[lane]
	p.mu.Unlock()
	p.all.Go(func() {
		turn <- struct{}{}
		defer func() { <-turn }()
		v := &visit{plan: p, s: s}
		v.whole()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, t := range []*wire.TLSState{v.main, v.noName, v.other} {
			if t != nil {
				p.keep(t.Chain)
			}
		}
	})
}

// keep stores certificates and returns their keys.
func (p *plan) keep(chain []*x509.Certificate) []string {
	var keys []string
	for _, c := range chain[:min(len(chain), mostChain)] {
		k := certificateKey(c.Raw)
		p.facts.Certificates[k] = c.Raw
		keys = append(keys, k)
	}
	return keys
}

// reverse asks for the names of all addresses, and for those names' addresses, after the
// connections are over: the greetings name hosts too.
func (p *plan) reverse() {
	if p.g.Records == nil {
		return
	}
	judgeOf(p.ctx, p.facts, p.dns, Options{}).walkHosts()
}

// randomName is a local part that surely does not exist.
func randomName() string {
	b := make([]byte, 6)
	rand.Read(b)
	return "no-such-user-" + hex.EncodeToString(b)
}
