package mail

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"herald/wire"
)

// custom is a way in which mail is spoken, and the port where it is (RFC 8314, 7; RFC
// 5804, 1.8).
type custom struct {
	scheme   string // by which --services names it
	port     uint16
	protocol string
	security string
}

var customs = []custom{
	{"mx", 25, "smtp", "plain"}, {"submissions", 465, "smtp", "tls"}, {"submission", 587, "smtp", "plain"},
	{"imaps", 993, "imap", "tls"}, {"imap", 143, "imap", "plain"},
	{"pop3s", 995, "pop3", "tls"}, {"pop3", 110, "pop3", "plain"},
	{"sieve", 4190, "sieve", "plain"},
}

func mailPortNumbers() []uint16 {
	var list []uint16
	for _, c := range customs {
		list = append(list, c.port)
	}
	return list
}

// hasCustom says whether a port is one that mail has by custom.
func hasCustom(port uint16) bool {
	return slices.ContainsFunc(customs, func(c custom) bool { return c.port == port })
}

// schemeOf is what --services calls the custom of a port.
func schemeOf(port uint16) string {
	for _, c := range customs {
		if c.port == port {
			return c.scheme
		}
	}
	return ""
}

// wanted is a port, and how it is asked.
type wanted struct {
	port               uint16
	protocol, security string // protocol "" is whatever greets
	as                 uint16 // the port by whose custom it is judged, where that is another
	taken              string // why it is taken for that, where nobody said so
}

// customOf is how a port is asked. One without a custom of its own is taken for what its
// last digits say: mail servers' ports are published as 10025, 2525 or 10993.
func customOf(port uint16) wanted {
	w := wanted{port: port, security: "plain"}
	var like custom
	digits := strconv.Itoa(int(port))
	for _, c := range customs {
		if c.port == port {
			w.protocol, w.security = c.protocol, c.security
			return w
		}
		last := strconv.Itoa(int(c.port))
		last = last[max(0, len(last)-3):] // 10190 is ManageSieve's 4190
		if strings.HasSuffix(digits, last) {
			like = c
		}
	}
	if like.port != 0 {
		w.as, w.protocol, w.security = like.port, like.protocol, like.security
		w.taken = fmt.Sprintf("its port ends in the digits of %d", like.port)
	}
	return w
}

// parseService reads "host:port", or "scheme://host:port" where the port does not tell.
func parseService(text string) (host string, w wanted, err error) {
	scheme, rest, given := strings.Cut(text, "://")
	if !given {
		rest = text
	}
	host, port, err := net.SplitHostPort(rest)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 || host == "" {
		return "", w, fmt.Errorf("%q: write host:port: %w", text, ErrQuestion)
	}
	host, w = asciiName(host), customOf(uint16(n))
	if !given {
		return host, w, nil
	}
	i := slices.IndexFunc(customs, func(c custom) bool { return c.scheme == strings.ToLower(scheme) })
	if i < 0 {
		var known []string
		for _, c := range customs {
			known = append(known, c.scheme)
		}
		return "", w, fmt.Errorf("%q: unknown scheme; there are %s: %w", text, strings.Join(known, ", "), ErrQuestion)
	}
	c := customs[i]
	w = wanted{port: w.port, protocol: c.protocol, security: c.security}
	if c.port != w.port {
		w.as = c.port
	}
	return host, w, nil
}

// custom is the port by whose custom the service is judged.
func (s *Service) custom() uint16 { return cmp.Or(s.As, s.Port) }

// takeFor notes what a service on a port without a custom turned out to be.
func (s *Service) takeFor(port uint16, why string) { s.As, s.Taken = port, why }

// settle says what a service is whose port did not tell, by what it speaks; SMTP that
// lets its clients log in is for submissions, any other for exchangers.
func (s *Service) settle(offered []string) {
	switch {
	case s.As != 0 || hasCustom(s.Port):
	case s.Protocol != "smtp":
		for _, c := range customs {
			if c.protocol == s.Protocol && c.security == s.Security {
				s.takeFor(c.port, "it greets so")
			}
		}
	case hasLogin(offered) && s.Security == "tls":
		s.takeFor(465, "it greets so, and offers AUTH")
	case hasLogin(offered):
		s.takeFor(587, "it greets so, and offers AUTH")
	default:
		s.takeFor(25, "it greets so, and offers no AUTH")
	}
}

func hasLogin(offered []string) bool {
	return slices.ContainsFunc(offered, func(o string) bool {
		o = strings.ToUpper(o)
		return o == "AUTH" || strings.HasPrefix(o, "AUTH ") || strings.HasPrefix(o, "AUTH=")
	})
}

// doorPorts are other ports on which mail servers have been heard: LMTP on 24, SMTP on 26
// and 2525, poppassd on 106, POP2 on 109.
var doorPorts = []uint16{24, 26, 106, 109, 2525}

// doors listens on ports of a host where nobody expects a mail server.
func (p *plan) doors(host string) {
	p.mu.Lock()
	known := p.doored[host]
	if p.doored == nil {
		p.doored = map[string]bool{}
	}
	p.doored[host] = true
	p.mu.Unlock()
	if known {
		return
	}
	p.all.Go(func() {
		for _, addr := range p.addresses(host) {
			for _, port := range doorPorts {
				s := &Service{Host: host, Addr: addr, Port: port, Security: "plain", Asked: []string{"host"}}
				p.mu.Lock()
				p.facts.Doors = append(p.facts.Doors, s)
				p.mu.Unlock()
				p.all.Go(func() { (&visit{plan: p, s: s}).door() })
			}
		}
	})
}

// doorPatience is how long a greeting is waited for where none is expected.
const doorPatience = 10 * time.Second

// door listens for a greeting, and leaves.
func (v *visit) door() {
	caller := v.caller()
	caller.Limits.Dial = min(caller.Limits.Dial, doorPatience)
	caller.Limits.Greeting = min(caller.Limits.Greeting, doorPatience)
	c, err := v.open(caller, wire.Plain)
	defer func() { v.close(c) }()
	if err != nil {
		v.s.Failure = failure("connect", err)
		return
	}
	v.s.DialMS = ms(c.RoundTrip())
	began := time.Now().Add(-c.Elapsed())
	words, err := c.Listen(0)
	if len(words) == 0 {
		if err != nil {
			v.s.Failure = failure("greeting", err)
		}
		return
	}
	v.s.Protocol = greets(words)
	v.s.Steps = []Step{{Name: "greeting", Reply: clip(string(words), 500), MS: ms(time.Since(began))}}
	if v.s.Protocol != "" {
		c.Send("QUIT") // its answer teaches nothing
	}
}
