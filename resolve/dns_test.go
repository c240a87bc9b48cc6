package resolve

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// listenDNS listens on one port of loopback, over UDP and TCP: some number is free for both.
func listenDNS(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if l, err := net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			return packets, l
		}
		packets.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// serveDNS answers on loopback, over UDP and TCP on one port.
func serveDNS(t *testing.T, handle dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	packets, l := listenDNS(t)
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handle}, {Listener: l, Handler: handle}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go s.ActivateAndServe()
		<-ready
		t.Cleanup(func() { s.Shutdown() })
	}
	return netip.MustParseAddrPort(packets.LocalAddr().String())
}

func rr(t *testing.T, text string) dns.RR {
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What goes wrong is told apart, and never taken for an absent record.
func TestServerTellsApart(t *testing.T) {
	addr := serveDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.AuthenticatedData = q.AuthenticatedData
		name := q.Question[0].Name
		soa := rr(t, "test. 60 IN SOA ns.test. h.test. 1 2 3 4 5")
		switch name {
		case "found.test.":
			m.Answer = []dns.RR{rr(t, "found.test. 60 IN TXT \"one \" \"two\"")}
		case "alias.test.":
			m.Answer = []dns.RR{rr(t, "alias.test. 60 IN CNAME found.test."), rr(t, "found.test. 60 IN TXT x"), rr(t, "other.test. 60 IN TXT forged")}
		case "nodata.test.":
			m.Ns = []dns.RR{soa}
		case "absent.test.":
			m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
		case "lame.test.":
			m.Rcode = dns.RcodeServerFailure
		case "bogus.test.":
			if !q.CheckingDisabled {
				m.Rcode = dns.RcodeServerFailure
				m.SetEdns0(1232, false)
				m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "no signature"})
			}
		case "refused.test.":
			m.Rcode = dns.RcodeRefused
		case "long.test.":
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncated = true
			} else {
				m.Answer = []dns.RR{rr(t, "long.test. 60 IN TXT \"over TCP\"")}
			}
		case "other.test.":
			m.Question[0].Name = "another.test."
		case "silent.test.":
			return
		}
		w.WriteMsg(m)
	})
	s := Server{Addrs: []netip.AddrPort{addr}, Timeout: time.Minute} // of a busy machine
	for _, test := range []struct {
		name   string
		status Status
		texts  []string
		reason string
	}{
		{"found.test", Found, []string{"one two"}, ""},
		{"FOUND.test.", Found, []string{"one two"}, ""},
		{"alias.test", Found, []string{"x"}, ""},
		{"nodata.test", NoData, nil, ""},
		{"absent.test", NoName, nil, ""},
		{"lame.test", ServFail, nil, ""},
		{"bogus.test", Bogus, nil, "no signature"},
		{"refused.test", Refused, nil, ""},
		{"long.test", Found, []string{"over TCP"}, ""},
		{"other.test", Failed, nil, ""},
		{"silent.test", NoAnswer, nil, ""},
		{strings.Repeat("a", 64) + ".test", Failed, nil, "not a name"},
	} {
		s := s
		if test.status == NoAnswer {
			s.Timeout = 100 * time.Millisecond
		}
		a := s.Lookup(t.Context(), test.name, dns.TypeTXT)
		if a.Status != test.status || !slices.Equal(a.Texts(), test.texts) || !strings.Contains(a.Reason, test.reason) {
			t.Errorf("%s: %s %q %q; want %s %q %q", test.name, a.Status, a.Texts(), a.Reason, test.status, test.texts, test.reason)
		}
		if a.Known() != (test.status == Found || test.status == NoData || test.status == NoName) {
			t.Errorf("%s: known %v", test.name, a.Known())
		}
	}
	if a := s.Lookup(t.Context(), "nodata.test", dns.TypeTXT); a.Zone != "test." || a.Server != addr.String() {
		t.Errorf("zone %q, server %q", a.Zone, a.Server)
	}
	if a := s.Lookup(t.Context(), "found.test", dns.TypeTXT); !a.Authentic { // on loopback
		t.Error("the AD bit of a resolver on loopback counts")
	}
}

const zoneText = `
$ORIGIN planned.test.
$TTL 60
@ IN SOA ns hostmaster 1 2 3 4 5
@ IN MX 10 mx
mx IN A 192.0.2.1
alias IN CNAME mx
far IN CNAME host.elsewhere.test.
*.wild IN TXT "any"
exact.wild IN A 192.0.2.3
a.b IN TXT "\"quoted\" \; \200"
`

func TestZone(t *testing.T) {
	z, err := ReadZone("planned.zone", strings.NewReader(zoneText))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		qtype  uint16
		status Status
		record string
	}{
		{"planned.test", dns.TypeMX, Found, "planned.test.\t60\tIN\tMX\t10 mx.planned.test."},
		{"MX.planned.test", dns.TypeA, Found, "mx.planned.test.\t60\tIN\tA\t192.0.2.1"},
		{"alias.planned.test", dns.TypeA, Found, "mx.planned.test.\t60\tIN\tA\t192.0.2.1"},
		{"mx.planned.test", dns.TypeAAAA, NoData, ""},
		{"b.planned.test", dns.TypeA, NoData, ""}, // an empty non-terminal (RFC 8020)
		{"c.planned.test", dns.TypeA, NoName, ""},
		{"x.wild.planned.test", dns.TypeTXT, Found, "x.wild.planned.test.\t60\tIN\tTXT\t\"any\""},
		{"exact.wild.planned.test", dns.TypeTXT, NoData, ""}, // RFC 4592: a name that exists is no wildcard's
		{"far.planned.test", dns.TypeA, Unasked, ""},
		{"other.test", dns.TypeA, Unasked, ""},
	} {
		a := z.Lookup(t.Context(), test.name, test.qtype)
		last := ""
		if len(a.Records) > 0 && test.status == Found {
			last = a.Records[len(a.Records)-1]
		}
		if a.Status != test.status || last != test.record {
			t.Errorf("%s: %s %q; want %s %q", test.name, a.Status, last, test.status, test.record)
		}
	}
	if got := z.Lookup(t.Context(), "a.b.planned.test", dns.TypeTXT).Texts(); !slices.Equal(got, []string{"\"quoted\" ; \xc8"}) {
		t.Errorf("%q", got)
	}
	o := Override{Names: map[string][]netip.Addr{"mx.planned.test": {netip.MustParseAddr("2001:db8::1")}}, Of: z}
	addrs, a, _ := Addresses(t.Context(), o, "mx.planned.test.")
	if len(addrs) != 1 || addrs[0].String() != "2001:db8::1" || a.Status != NoData {
		t.Errorf("%v %v", addrs, a)
	}
}

// A recorder asks once for each question, whoever asks at the same time, and its answers
// stand for it.
func TestRecorder(t *testing.T) {
	z, err := ReadZone("planned.zone", strings.NewReader(zoneText))
	if err != nil {
		t.Fatal(err)
	}
	asked := &countingRecords{of: z}
	r := &Recorder{Of: asked, Most: 2}
	for range 3 {
		r.Lookup(t.Context(), "planned.test", dns.TypeMX)
		r.Lookup(t.Context(), "PLANNED.test.", dns.TypeMX)
	}
	r.Lookup(t.Context(), "mx.planned.test", dns.TypeA)
	if a := r.Lookup(t.Context(), "mx.planned.test", dns.TypeAAAA); a.Status != Unasked || asked.n != 2 {
		t.Errorf("%s after %d questions", a.Status, asked.n)
	}
	saved := NewRecorded(r.Answers())
	if a := saved.Lookup(t.Context(), "planned.test", dns.TypeMX); len(Of[*dns.MX](a)) != 1 {
		t.Errorf("%+v", a)
	}
	if a := saved.Lookup(t.Context(), "planned.test", dns.TypeTXT); a.Status != Unasked {
		t.Errorf("%+v", a)
	}
}

type countingRecords struct {
	of Records
	n  int
}

func (c *countingRecords) Lookup(ctx context.Context, name string, qtype uint16) Answer {
	c.n++
	return c.of.Lookup(ctx, name, qtype)
}

// An answer by way of an alias is authentic where each zone on the way is signed.
func TestZoneAliasIsAsSecureAsEachStep(t *testing.T) {
	const key = "DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n"
	const signed, plain = "@ SOA ns h 1 1 1 1 1\n@ " + key, "@ SOA ns h 1 1 1 1 1\n"
	for _, test := range []struct {
		alias, target string
		want          bool
	}{{signed, signed, true}, {signed, plain, false}, {plain, signed, false}} {
		z, err := ReadZone("alias.zone", strings.NewReader("$TTL 60\n$ORIGIN a.test.\n"+test.alias+"www CNAME www.b.test.\n$ORIGIN b.test.\n"+test.target+"www A 192.0.2.1\n"))
		if err != nil {
			t.Fatal(err)
		}
		if a := z.Lookup(t.Context(), "www.a.test", dns.TypeA); a.Status != Found || a.Authentic != test.want {
			t.Errorf("%q, %q: %s, authentic %v", test.alias, test.target, a.Status, a.Authentic)
		}
	}
}
