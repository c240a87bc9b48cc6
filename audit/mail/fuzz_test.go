package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"herald/audit"
	"herald/resolve"
	"herald/wire"
)

// Facts of any content are judged without a panic.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"format":1,"question":{"domain":"a.test"},"answers":[{"name":"a.test.","type":"TXT","status":"found","records":["a.test. 60 IN TXT \"v=spf1 a mx include:a.test redirect=a.test ip4:1 +all\""]},{"name":"_dmarc.a.test.","type":"TXT","status":"found","records":["_dmarc.a.test. 60 IN TXT \"v=DMARC1; p=; rua=mailto:x@b.test\""]},{"name":"a.test.","type":"MX","status":"found","records":["a.test. 60 IN MX 10 mx.a.test."]},{"name":"a.test.","type":"CAA","status":"found","records":["a.test. 60 IN CAA 0 issue \"\""]}],"services":[{"host":"mx.a.test","addr":"192.0.2.1","port":25,"protocol":"smtp","security":"plain","asked":["mx 10"],"steps":[{"step":"greeting","reply":"220","ms":1},{"step":"ehlo","reply":"250","ms":1},{"step":"starttls","reply":"220\r\n"}],"tls":{"version":772,"chain":["x"]}}],"documents":[{"role":"mta-sts","url":"https://mta-sts.a.test/","status":200,"body":"version: STSv1"}]}`))
	f.Add([]byte(`{"format":1,"question":{"services":["x:1"]},"services":[{"protocol":"imap","steps":[{"step":"greeting","reply":"* OK"},{"step":"capability","reply":"* CAPABILITY"},{"step":"id","reply":"* ID "}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 20_000 {
			return
		}
		facts, err := ReadFacts("facts", bytes.NewReader(b))
		if err != nil {
			return
		}
		findings := Judge(facts, Options{})
		var out bytes.Buffer
		if err := WriteTable(&out, facts, findings, Style{Why: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(findings); err != nil {
			t.Fatal(err)
		}
	})
}

// told judges facts, and holds that the verdict can be written and shown.
func told(t *testing.T, facts *Facts) {
	t.Helper()
	findings := Judge(facts, Options{})
	var table bytes.Buffer
	if err := WriteTable(&table, facts, findings, Style{Why: true, All: true}); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(table.String(), func(r rune) bool { return r != '\n' && !safe(r) }); i >= 0 {
		t.Errorf("an unprintable character gets out: %q", table.String()[max(0, i-40):])
	}
	if err := WriteLines(new(bytes.Buffer), findings); err != nil {
		t.Fatal(err)
	}
}

// textAnswer is a TXT record of any bytes, in strings of 255 as the DNS has them.
func textAnswer(name, text string) resolve.Answer {
	rr := &dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}}
	for escaped := text; ; {
		n := min(255, len(escaped))
		var b strings.Builder
		for _, c := range []byte(escaped[:n]) {
			fmt.Fprintf(&b, "\\%03d", c)
		}
		rr.Txt = append(rr.Txt, b.String())
		if escaped = escaped[n:]; escaped == "" {
			break
		}
	}
	return resolve.Answer{Name: rr.Hdr.Name, Type: "TXT", Status: resolve.Found, Records: []string{rr.String()}}
}

// Whatever a domain publishes in its TXT records, it is judged.
func FuzzRecords(f *testing.F) {
	f.Add("v=spf1 a mx ip4:192.0.2.0/24 include:b.test exists:%{i}.a.test redirect=b.test -all", "v=spf1 a:b.test/24//64 ptr ~all", "v=DMARC1; p=reject; sp=none; rua=mailto:x@b.test!10m,https://b.test; t=y; psd=n", "v=DKIM1; k=rsa; h=sha256; t=y:s; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ", "v=STSv1; id=20260101", "v=TLSRPTv1; rua=mailto:x@b.test,https://b.test/x")
	f.Add("v=spf1 include:a.test include:b.test a a a a a a a a a a a", "v=spf1 include:a.test", "v=DMARC1", "p=", "v=STSv1;", "v=TLSRPTv1")
	f.Add("v=SPF1", "v=spf1 redirect=a.test", "v=DMARC1;;p=x;p=y", "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "", "\xff\x00\x1b[2J")
	f.Add("v=spf1 +ip6:::1/0 ip4:1.2.3.4/33 ?all all", "", "v=DMARC1; p=quarantine; rua=mailto:@,mailto:x@", "v=DKIM2; p=", "v=STSv1; id=\u202e", "v=TLSRPTv1;rua=")
	f.Fuzz(func(t *testing.T, spf, other, dmarc, dkim, sts, report string) {
		for _, s := range []string{spf, other, dmarc, dkim, sts, report} {
			if len(s) > 4<<10 {
				return
			}
		}
		facts := &Facts{Format: Format, Question: Question{Domain: "a.test", Selectors: []string{"s"}, Senders: []string{"192.0.2.1", "2001:db8::1"}}}
		facts.Answers = []resolve.Answer{
			textAnswer("a.test", spf), textAnswer("b.test", other), textAnswer("_dmarc.a.test", dmarc), textAnswer("s._domainkey.a.test", dkim),
			textAnswer("_mta-sts.a.test", sts), textAnswer("_smtp._tls.a.test", report), textAnswer("a.test._report._dmarc.b.test", other),
			{Name: "a.test.", Type: "MX", Status: resolve.Found, Records: []string{"a.test. 60 IN MX 10 mx.a.test."}},
			{Name: "mx.a.test.", Type: "A", Status: resolve.Found, Records: []string{"mx.a.test. 60 IN A 192.0.2.1"}},
		}
		began := time.Now()
		told(t, facts)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it takes %s", took)
		}
	})
}

// Whatever a domain serves over HTTPS, it is judged.
func FuzzDocuments(f *testing.F) {
	config := `<clientConfig version="1.1"><emailProvider id="a.test"><incomingServer type="imap"><hostname>mx.%EMAILDOMAIN%</hostname><port>993</port><socketType>SSL</socketType></incomingServer></emailProvider></clientConfig>`
	f.Add("version: STSv1\r\nmode: enforce\r\nmx: *.a.test\r\nmax_age: 86400\r\n", config, 200, "")
	f.Add("version: STSv1\nmode: testing\nmode: none\nmx\nmx: \nmax_age: 99999999999\n\n", "<clientConfig/>", 301, "https://b.test/\x1b")
	f.Add("\xff:\x00", `<!DOCTYPE a [<!ENTITY b "bb">]><clientConfig><emailProvider><incomingServer type="&b;"><port>99999</port></incomingServer></emailProvider></clientConfig>`, -1, "")
	f.Fuzz(func(t *testing.T, policy, config string, status int, location string) {
		if len(policy)+len(config)+len(location) > resolve.MostBody {
			return
		}
		facts := &Facts{Format: Format, Question: Question{Domain: "a.test"}}
		facts.Answers = []resolve.Answer{
			textAnswer("_mta-sts.a.test", "v=STSv1; id=1"),
			{Name: "a.test.", Type: "MX", Status: resolve.Found, Records: []string{"a.test. 60 IN MX 10 mx.a.test."}},
		}
		facts.Services = []*Service{{Host: "mx.a.test", Port: 25, Protocol: "smtp", Security: "plain", Asked: []string{"mx 10"}, Steps: []Step{{Name: "greeting", Reply: "220 mx.a.test"}, {Name: "ehlo", Reply: "250 mx.a.test"}}}}
		for _, d := range []Document{{Role: "mta-sts", Body: policy, Status: 200}, {Role: "mta-sts", Body: policy, Status: status, Location: location}, {Role: "autoconfig", Body: config, Status: 200}, {Role: "autodiscover", Status: status}} {
			d.URL = "https://" + d.Role + ".a.test/x"
			facts.Documents = []Document{d}
			told(t, facts)
		}
	})
}

// Whatever a server says to a visit, in any pieces and to each of its connections, the visit
// ends within bounds, and what it learnt is judged. The server says its next words, which a
// line that begins with a NUL separates, each time that the client has spoken; a handshake
// always succeeds, but those of our own hellos, which get the words.
func FuzzVisit(f *testing.F) {
	const next = "\x00\n"
	ports := []uint16{25, 465, 143, 993, 110, 995, 4190}
	f.Add(uint8(0), "220 mx.a.test ESMTP\r\n"+next+"250-mx.a.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"+next+"530 no\r\n"+next+"220 go\r\n"+next+"250-mx\r\n250 SIZE\r\n"+next+"250 ok\r\n"+next+"250 ok\r\n", uint8(0), false)
	f.Add(uint8(2), "* OK [CAPABILITY IMAP4rev1 STARTTLS ID] hi\r\n"+next+"* CAPABILITY IMAP4rev1 STARTTLS ID\r\nh1 OK\r\n"+next+"+ \r\n"+next+"h2 BAD\r\n"+next+"h3 OK\r\n"+next+"* CAPABILITY ID\r\nh4 OK\r\n"+next+"* ID {3}\r\nabc\r\nh5 OK\r\n", uint8(3), true)
	f.Add(uint8(4), "+OK <1.2@a.test>\r\n"+next+"+OK\r\nSTLS\r\nSASL PLAIN\r\nIMPLEMENTATION x\r\n.\r\n"+next+"-ERR\r\n"+next+"+OK\r\n"+next+"+OK\r\n.\r\n", uint8(1), true)
	f.Add(uint8(6), "\"IMPLEMENTATION\" \"x\"\r\n\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK\r\n"+next+"{2}\r\n\r\n\r\n"+next+"NO\r\n"+next+"OK\r\n"+next+"\"SIEVE\" \"x\"\r\nOK\r\n", uint8(0), false)
	f.Add(uint8(0), "220 x\r\n"+next+"250 STARTTLS\r\n"+next+"502\r\n"+next+"220 go\r\n\x16\x03\x03\x00\x02\x02\x28", uint8(0), true)
	f.Add(uint8(1), "421 \x1b[2J\xff\r\n", uint8(0), true)
	f.Fuzz(func(t *testing.T, port uint8, script string, piece uint8, closes bool) {
		if len(script) > 16<<10 {
			return
		}
		var x wire.Exchange
		for words := range strings.SplitSeq(script, next) {
			if len(x.Events) > 0 {
				x.Events = append(x.Events, wire.Event{Mark: '>'})
			}
			if words != "" {
				x.Events = append(x.Events, wire.Event{Mark: '<', Data: []byte(words)})
			}
		}
		if closes {
			x.End = "read closed"
		}
		const connections = 100 // more than a visit makes
		tr := &wire.Transcript{}
		for range connections {
			tr.Exchanges = append(tr.Exchanges, x)
		}
		at := ports[int(port)%len(ports)]
		g := Gatherer{
			Space: -1, Injection: true, TLSScan: at == 25, // elsewhere its connections are spaced by time
			Caller: wire.Caller{Transport: &wire.Replay{Transcript: tr, Piece: int(piece), AnyWords: true}},
		}
		facts, err := g.Gather(context.Background(), Question{Services: []string{fmt.Sprintf("192.0.2.1:%d", at)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range facts.Services {
			if f := s.Failure; f != nil && f.Kind == wire.Internal {
				t.Errorf("%v: %s", f, f.Text)
			}
			if s.Dials > connections {
				t.Errorf("%d connections", s.Dials)
			}
			heard := len(s.Unasked)
			for _, step := range s.Steps {
				heard += len(step.Reply)
			}
			if heard > 2*len(script) {
				t.Errorf("%d bytes are kept of %d", heard, len(script))
			}
		}
		var saved bytes.Buffer
		if err := facts.Write(&saved); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFacts("facts", &saved); err != nil {
			t.Errorf("our own facts are not read: %v", err)
		}
		told(t, facts)
	})
}

// Whatever a file says that domains, and a round trip, are to be like: it is refused with its
// place, or read.
func FuzzSection(f *testing.F) {
	f.Add("version: 1\ndomains:\n  - {name: a.test, dkim: [s], senders: [192.0.2.1], tls_profile: mozilla-modern, dmarc: reject, mta_sts: enforce, dane: valid}\n")
	f.Add("version: 1\ndomains: [{name: a.test, mx: {contains: [mx.a.test]}, spf: {lookups: \"<=10\", all: fail}, srv: {_imaps._tcp: \"mx.a.test:993\"}}]\nroundtrip: {mailbox: a@a.test, credentials: x}\n")
	f.Add("version: 1\ndomains: [a.test, {}, null, *x]\nroundtrip: []\n")
	sections := map[string]audit.Section{"domains": Section, "roundtrip": TripSection(func(string) string { return "x" })}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/") {
			return // no file of this machine is read
		}
		if _, err := audit.Parse("a.yaml", strings.NewReader(text), sections); err != nil && !strings.HasPrefix(err.Error(), "a.yaml:") {
			t.Errorf("an error without its file: %v", err)
		}
	})
}
