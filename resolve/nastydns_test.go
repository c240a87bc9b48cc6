package resolve

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A DNS server may say what it likes: the question ends in time, with few records, and never
// as an answer that there is nothing.
func TestNastyDNSServers(t *testing.T) {
	const slack = 30 * time.Second        // the machine may be busy
	cut := func(question []byte) []byte { // an answer that says it was cut
		m := new(dns.Msg)
		if m.Unpack(question) != nil {
			return nil
		}
		m.Response, m.Truncated = true, true
		packed, _ := m.Pack()
		return packed
	}
	answers := func(edit func(m *dns.Msg)) func([]byte) []byte {
		return func(question []byte) []byte {
			m := new(dns.Msg)
			if m.Unpack(question) != nil {
				return nil
			}
			m.Response = true
			edit(m)
			packed, _ := m.Pack()
			return packed
		}
	}
	silent := func([]byte) []byte { return nil }
	hold := func(c net.Conn) { c.Read(make([]byte, 512)); c.Read(make([]byte, 1)) }
	for _, test := range []struct {
		name string
		udp  func(question []byte) []byte // nil says nothing
		many int                          // how often it says it; 0 is once
		tcp  func(net.Conn)
		want []Status // any of these
	}{
		{"silent", silent, 0, hold, []Status{NoAnswer}},
		{"garbage", func([]byte) []byte { return []byte("\xff\xff\x81\x80\x00\x01\xff\xff\xc0\x0c") }, 0, hold, []Status{NoAnswer, Failed}},
		{"an empty datagram", func([]byte) []byte { return []byte{} }, 0, hold, []Status{NoAnswer, Failed}},
		{"answers to other questions", answers(func(m *dns.Msg) { m.Question[0].Name = "b.test." }), 0, hold, []Status{Failed}},
		{"answers with other ids, and many", func(q []byte) []byte { q[0] ^= 0xff; q[2] |= 0x80; return q }, 1000, hold, []Status{NoAnswer, Failed}},
		{"no question in the answer", answers(func(m *dns.Msg) { m.Question = nil }), 0, hold, []Status{Failed}},
		{"cut, and TCP says nothing", cut, 0, hold, []Status{NoAnswer}},
		{"cut, and TCP closes", cut, 0, func(net.Conn) {}, []Status{Failed}},
		{"cut, and TCP says a byte now and then", cut, 0, func(c net.Conn) {
			for c.Read(make([]byte, 512)); ; time.Sleep(5 * time.Millisecond) { // a server's slowness is what is tested
				if _, err := c.Write([]byte{0xff}); err != nil {
					return
				}
			}
		}, []Status{NoAnswer}},
		{"cut, and TCP promises 65,535 bytes", cut, 0, func(c net.Conn) { c.Read(make([]byte, 512)); c.Write([]byte("\xff\xff\x00\x00")); hold(c) }, []Status{NoAnswer}},
		{"cut, and cut again", cut, 0, func(c net.Conn) {
			b := make([]byte, 512)
			n, _ := c.Read(b)
			said := cut(b[min(2, n):n])
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(said))), said...))
			hold(c)
		}, []Status{Failed}},
		{"aliases of aliases", answers(func(m *dns.Msg) {
			for _, text := range []string{"a.test. 1 IN CNAME b.test.", "b.test. 1 IN CNAME a.test."} {
				rr, _ := dns.NewRR(text)
				m.Answer = append(m.Answer, rr)
			}
		}), 0, hold, []Status{Failed}},
		{"a question for an answer", func(q []byte) []byte { return q }, 0, hold, []Status{Failed}},
		{"refuses", answers(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }), 0, hold, []Status{Refused}},
		{"a code that there is not", answers(func(m *dns.Msg) { m.Rcode = 15 }), 0, hold, []Status{Failed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting
			server := serveNastyDNS(t, test.udp, max(1, test.many), test.tcp)
			limit := time.Minute // of a busy machine: these answer
			if slices.Contains(test.want, NoAnswer) {
				limit = 200 * time.Millisecond
			}
			began := time.Now()
			a := Server{Addrs: []netip.AddrPort{server}, Timeout: limit}.Lookup(t.Context(), "a.test", dns.TypeTXT)
			if took := time.Since(began); took > 8*limit+slack {
				t.Errorf("it takes %s", took)
			}
			if !slices.Contains(test.want, a.Status) || len(a.Records) > mostRecords {
				t.Errorf("told as %s with %d records, not as %v", a.Status, len(a.Records), test.want)
			}
		})
	}
}

// serveNastyDNS answers on one port of loopback, over UDP and TCP, until the test ends.
func serveNastyDNS(t *testing.T, udp func([]byte) []byte, many int, tcp func(net.Conn)) netip.AddrPort {
	packets, streams := listenDNS(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		b := make([]byte, 4096)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			if said := udp(b[:n]); said != nil {
				for range many {
					packets.WriteTo(said, from)
				}
			}
		}
	})
	all.Go(func() {
		for {
			c, err := streams.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			all.Go(func() { tcp(c); c.Close() })
		}
	})
	t.Cleanup(func() {
		packets.Close()
		streams.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return packets.LocalAddr().(*net.UDPAddr).AddrPort()
}
