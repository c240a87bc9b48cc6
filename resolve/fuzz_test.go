package resolve

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// Whatever a DNS server answers: it is refused, or an answer of few records, all of which
// can be read again from what is saved of them.
func FuzzAnswer(f *testing.F) {
	for _, records := range [][]string{
		{"a.test. 60 IN TXT \"v=spf1 \\200\\\"\\\\\" \"-all\""},
		{"a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test."},
		{"a.test. 60 IN CNAME b.test.", "b.test. 60 IN TXT x"},
		{"a.test. 60 IN MX 10 mx.a.test.", "a.test. 60 IN SRV 0 1 993 .", "a.test. 60 IN CAA 0 issue \"x\""},
		{"a.test. 60 IN TLSA 3 1 1 00"}, {"a.test. 60 IN A 192.0.2.1", "a.test. 60 IN AAAA 2001:db8::1"},
	} {
		m := new(dns.Msg)
		m.SetQuestion("a.test.", dns.TypeTXT)
		m.Response = true
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		m.SetEdns0(1232, false)
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, dns.TypeTXT)
	}
	f.Add([]byte("\x00\x00\x81\x80\x00\x01\xff\xff\xff\xff\xff\xff\xc0\x0c\xc0\x0c\x00\x10\x00\x03"), dns.TypeTXT)
	f.Fuzz(func(t *testing.T, packed []byte, qtype uint16) {
		m := new(dns.Msg)
		if m.Unpack(packed) != nil {
			return
		}
		n, kind := question("a.test.", qtype)
		a := Answer{Name: n, Type: kind}
		a.read(m, n, qtype)
		if len(a.Records) > mostRecords {
			t.Errorf("%d records", len(a.Records))
		}
		if a.Status == "" || a.Status == Found && len(a.Records) == 0 {
			t.Errorf("status %q with %d records", a.Status, len(a.Records))
		}
		for _, rr := range m.Answer {
			if x, ok := rr.(*dns.TXT); ok && qtype == dns.TypeTXT && rr.Header().Rrtype == qtype && dns.CanonicalName(rr.Header().Name) == n && a.Status == Found && len(m.Answer) == 1 {
				if texts := a.Texts(); len(texts) != 1 || texts[0] != JoinTXT(x) {
					t.Errorf("%q is read again as %q", JoinTXT(x), texts)
				}
			}
		}
		a.Aliases()
		Of[*dns.MX](a)
		Of[*dns.SRV](a)
		Of[*dns.TLSA](a)
		Of[*dns.CAA](a)
	})
}

// Whatever a zone file holds: it is refused with its place, or every name can be asked.
func FuzzZone(f *testing.F) {
	f.Add("$ORIGIN a.test.\n@ SOA ns root 1 2 3 4 5\n@ MX 10 mx\nmx A 192.0.2.1\n* TXT x\nb CNAME b\n", "b.a.test")
	f.Add("a 60 IN TXT \"\\999\" ( \n ; )\n", ".")
	f.Add("$GENERATE 1-3 a$ A 192.0.2.$\n", "a1")
	f.Add("$INCLUDE /etc/passwd\n", "")
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.Contains(strings.ToUpper(text), "$GENERATE") && len(text) > 200 {
			return // one line makes 65,536 records
		}
		z, err := ReadZone("zone", strings.NewReader(text))
		if err != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeMX} {
			if a := z.Lookup(t.Context(), name, qtype); a.Status == "" || a.Status == Found && len(a.Records) == 0 {
				t.Errorf("%+v", a)
			}
		}
	})
}
