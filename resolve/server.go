package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"

	"herald/wire"
)

// Server asks DNS servers, in their order, until one answers. It asks over UDP, and over
// TCP where the answer was cut.
type Server struct {
	Addrs   []netip.AddrPort
	Trusted bool          // the user named it: its AD bit is believed. That of a resolver on loopback is in any case
	Timeout time.Duration // for one exchange; 0 is 4 s
}

// SystemServer asks the resolvers of /etc/resolv.conf.
func SystemServer() (Server, error) {
	conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return Server{}, fmt.Errorf("the system's resolvers: %w", err)
	}
	var s Server
	for _, text := range conf.Servers {
		if addr, err := netip.ParseAddr(text); err == nil && len(s.Addrs) < 3 {
			s.Addrs = append(s.Addrs, netip.AddrPortFrom(addr, 53))
		}
	}
	if len(s.Addrs) == 0 {
		return Server{}, errors.New("the system's resolvers: /etc/resolv.conf names none")
	}
	return s, nil
}

// DockerDNS is the address of the resolver that Docker puts into every container of a
// user's network. For the names of containers it knows addresses alone.
var DockerDNS = netip.MustParseAddr("127.0.0.11")

func (s Server) Lookup(ctx context.Context, name string, qtype uint16) Answer {
	last := unasked(name, qtype, "no DNS server is known")
	for range 2 { // datagrams get lost
		for _, addr := range s.Addrs {
			last = s.ask(ctx, addr, name, qtype)
			if last.Known() || last.Status == Bogus || ctx.Err() != nil {
				return last
			}
		}
		if last.Status != NoAnswer {
			break
		}
	}
	return last
}

func (s Server) ask(ctx context.Context, addr netip.AddrPort, name string, qtype uint16) Answer {
	began := time.Now()
	n, t := question(name, qtype)
	a := Answer{Name: n, Type: t, Server: addr.String()}
	if _, ok := dns.IsDomainName(n); !ok {
		a.Status, a.Reason = Failed, "not a name of the DNS"
		return a
	}
	reply, err := s.exchange(ctx, addr, n, qtype, false)
	if err != nil {
		a.Status, a.Reason = Failed, string(wire.FailureOf(wire.OpResolve, err).Kind)
		var network net.Error
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) && network.Timeout() {
			a.Status = NoAnswer
		}
		a.TookMS = ms(time.Since(began))
		return a
	}
	a.read(reply, n, qtype)
	a.Authentic = reply.AuthenticatedData && (s.Trusted || addr.Addr().IsLoopback() && addr.Addr() != DockerDNS)
	if a.Status == ServFail {
		again, err := s.exchange(ctx, addr, n, qtype, true)
		if err == nil && (again.Rcode == dns.RcodeSuccess || again.Rcode == dns.RcodeNameError) {
			a.Status, a.Reason = Bogus, joinReason("the answer does not validate: with validation off the server gives one", a.Reason)
		}
	}
	a.TookMS = ms(time.Since(began))
	return a
}

func joinReason(a, b string) string {
	if b == "" {
		return a
	}
	return a + " (" + b + ")"
}

func (s Server) exchange(ctx context.Context, addr netip.AddrPort, name string, qtype uint16, unchecked bool) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.AuthenticatedData = true // RFC 6840, 5.7: we understand the AD bit, and want it
	m.CheckingDisabled = unchecked
	m.SetEdns0(1232, false)
	c := &dns.Client{Timeout: cmp.Or(s.Timeout, 4*time.Second), UDPSize: 1232}
	reply, _, err := c.ExchangeContext(ctx, m, addr.String())
	if err == nil && reply.Truncated {
		c.Net = "tcp"
		reply, _, err = c.ExchangeContext(ctx, m, addr.String())
	}
	switch {
	case err != nil:
		return nil, err
	case reply.Truncated:
		return nil, errors.New("the answer is cut over TCP too")
	case !reply.Response:
		return nil, errors.New("the answer is a question")
	}
	if len(reply.Question) != 1 || dns.CanonicalName(reply.Question[0].Name) != name || reply.Question[0].Qtype != qtype {
		return nil, errors.New("the answer is to another question")
	}
	return reply, nil
}

// mostRecords bounds an answer's records.
const mostRecords = 200

// read takes the reply's sections: the alias chain that begins at the name, and the
// records at its end.
func (a *Answer) read(m *dns.Msg, name string, qtype uint16) {
	switch m.Rcode {
	case dns.RcodeSuccess:
		a.Status = NoData // until a record is found
	case dns.RcodeNameError:
		a.Status = NoName
	case dns.RcodeServerFailure:
		a.Status = ServFail
	case dns.RcodeRefused:
		a.Status = Refused
	default:
		a.Status = Failed
		a.Reason = dns.RcodeToString[m.Rcode]
	}
	a.readExtendedErrors(m)
	if a.Status != NoData && a.Status != NoName {
		return
	}
	a.follow(m.Answer, name, qtype)
	if a.Status != NoData && a.Status != NoName {
		return
	}
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			a.Zone = dns.CanonicalName(soa.Hdr.Name)
		}
	}
}

// readExtendedErrors takes what the server says about the status (RFC 8914).
func (a *Answer) readExtendedErrors(m *dns.Msg) {
	o := m.IsEdns0()
	if o == nil {
		return
	}
	for _, option := range o.Option {
		if e, ok := option.(*dns.EDNS0_EDE); ok {
			a.Reason = joinReason(fmt.Sprintf("extended error %d %s", e.InfoCode, dns.ExtendedErrorCodeToString[e.InfoCode]), clip(e.ExtraText, 200))
		}
	}
}

// follow takes the aliases from a name on, and the records of the type at their end.
func (a *Answer) follow(records []dns.RR, name string, qtype uint16) {
	const mostAliases = 12
	for range mostAliases {
		target := ""
		for _, rr := range records {
			if dns.CanonicalName(rr.Header().Name) != name {
				continue
			}
			if len(a.Records) >= mostRecords {
				a.Reason = fmt.Sprintf("more than %d records: the rest is left out", mostRecords)
				break
			}
			switch c, alias := rr.(*dns.CNAME); {
			case rr.Header().Rrtype == qtype:
				a.Records = append(a.Records, rr.String())
				a.Status = Found
			case alias && target == "":
				a.Records = append(a.Records, rr.String())
				target = dns.CanonicalName(c.Target)
			}
		}
		if target == "" || a.Status == Found {
			return
		}
		name = target
	}
	a.Status, a.Reason = Failed, joinReason("aliases without an end", a.Reason)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}
