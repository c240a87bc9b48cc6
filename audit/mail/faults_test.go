package mail

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"herald/resolve"
	"herald/wire"
)

// faults are planted one by one in a domain where all is right. Each is found by the
// checks that are about it, and by no other: the list is complete. docs/mail.md prints it.
var faults = []struct {
	name  string
	plant func(t *testing.T, w *world)
	want  string // state and check, sorted, in a line
}{
	{"the certificate has expired", func(t *testing.T, w *world) { w.withoutDANE(); w.both(t, 90, -3, "mx1.good.test") }, "fail C3, fail C8, fail D18"},
	{"the certificate has expired, and DANE names its key", func(t *testing.T, w *world) { w.both(t, 90, -3, "mx1.good.test") }, "fail C3, fail C8, fail D18, n/a C3"},
	{"the certificate ends in 10 days", func(t *testing.T, w *world) { w.both(t, 80, 10, "mx1.good.test") }, "warn C3, warn C4, warn C8"},
	{"the certificate is signed with SHA-1", func(t *testing.T, w *world) {
		w.withoutDANE()
		c := *w.a.leaf(t, testKeys().ec, 20, 70, "mx1.good.test")
		c.SignatureAlgorithm = x509.ECDSAWithSHA1
		weak := sign(t, &c, w.a.middle, testKeys().ec.Public(), w.a.middleKey)
		w.config.Certificates = []tls.Certificate{tlsPair(testKeys().ec, weak, w.a.middle)}
	}, "fail C6, fail D18"},
	{"the certificate is one of a client", func(t *testing.T, w *world) {
		w.withoutDANE()
		c := *w.a.leaf(t, testKeys().ec, 20, 70, "mx1.good.test")
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		w.config.Certificates = []tls.Certificate{tlsPair(testKeys().ec, sign(t, &c, w.a.middle, testKeys().ec.Public(), w.a.middleKey), w.a.middle)}
	}, "fail C10"},
	{"the yearly certificate has a month to go", func(t *testing.T, w *world) { w.both(t, 334, 31, "mx1.good.test") }, ""},
	{"the yearly certificate has less", func(t *testing.T, w *world) { w.both(t, 336, 29, "mx1.good.test") }, "warn C3, warn C8"},
	{"the certificate of six days has one left", func(t *testing.T, w *world) { w.both(t, 5, 1, "mx1.good.test") }, "warn C3, warn C4, warn C8"},
	{"the certificate is valid for three years", func(t *testing.T, w *world) { w.both(t, 20, 1000, "mx1.good.test") }, "warn C10"},
	{"the key is short", func(t *testing.T, w *world) {
		w.withoutDANE()
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		w.config.Certificates = []tls.Certificate{tlsPair(key, w.a.leaf(t, key, 20, 70, "mx1.good.test"), w.a.middle)}
	}, "fail C5"},
	{"the certificate is for another name", func(t *testing.T, w *world) { w.withoutDANE(); w.both(t, 20, 70, "www.good.test") }, "fail C2, fail D18, fail D21, fail D22"},
	{"the intermediate is not sent", func(t *testing.T, w *world) {
		w.withoutDANE()
		for i := range w.config.Certificates {
			w.config.Certificates[i].Certificate = w.config.Certificates[i].Certificate[:1]
		}
	}, "fail C1, fail C8, fail D18"},
	{"port 993 was not reloaded", func(t *testing.T, w *world) {
		old := w.a.leaf(t, testKeys().ec, 80, 9, "mx1.good.test")
		w.servers[993].config = &tls.Config{Certificates: []tls.Certificate{tlsPair(testKeys().ec, old, w.a.middle)}}
	}, "warn C3, warn C4, warn C9"},
	{"self-signed, without DANE and MTA-STS", func(t *testing.T, w *world) {
		w.withoutDANE()
		w.replace(t, `_mta-sts IN TXT "v=STSv1; id=20261101"`, "")
		delete(w.pages, "mta-sts.good.test/.well-known/mta-sts.txt")
		c := w.a.leaf(t, testKeys().ec, 20, 70, "mx1.good.test")
		c = sign(t, c, c, testKeys().ec.Public(), testKeys().ec)
		c.RawIssuer = c.RawSubject
		w.config.Certificates = []tls.Certificate{tlsPair(testKeys().ec, c)}
	}, "fail C1, warn C1"},
	{"a TLSA record of another key", func(t *testing.T, w *world) {
		for line := range strings.Lines(w.zone) {
			if strings.Contains(line, " TLSA ") {
				w.replace(t, strings.Fields(line)[6], strings.Repeat("ab", 32))
			}
		}
	}, "fail D14"},
	{"the TLSA records are of the keys in use alone", func(t *testing.T, w *world) {
		w.replace(t, "_25._tcp.mx1 IN TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", "")
	}, "warn D15"},
	{"the TLSA record of the RSA key is missing", func(t *testing.T, w *world) {
		lines := strings.SplitAfter(w.zone, "\n")
		last := 0
		for i, l := range lines {
			if strings.Contains(l, " TLSA ") {
				last = i
			}
		}
		w.zone = strings.Join(slices.Delete(lines, last, last+1), "")
	}, "fail D14"},
	{"TLSA records in an unsigned zone", func(t *testing.T, w *world) {
		w.replace(t, "@ IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==", "")
	}, "fail D14"},
	{"TLSA records with usage 1 alone", func(t *testing.T, w *world) { w.replace(t, "TLSA 3 1 1", "TLSA 1 1 1") }, "fail D14"},
	{"STARTTLS is stripped", func(t *testing.T, w *world) {
		w.servers[25].replies["EHLO"] = strings.Replace(w.servers[25].replies["EHLO"], "STARTTLS", "XXXXXXXA", 1)
	}, "fail D14, fail D18, fail S1, fail S7"},
	{"STARTTLS works and is not offered", func(t *testing.T, w *world) {
		w.servers[25].replies["EHLO"] = strings.Replace(w.servers[25].replies["EHLO"], "250-STARTTLS\r\n", "", 1)
	}, "fail D14, fail D18, fail S1, fail S7"},
	{"STARTTLS is not there", func(t *testing.T, w *world) {
		w.servers[25].replies["EHLO"] = strings.Replace(w.servers[25].replies["EHLO"], "250-STARTTLS\r\n", "", 1)
		w.servers[25].replies["STARTTLS"] = "502 5.5.1 not here\r\n"
	}, "fail D14, fail D18, fail S1"},
	{"TLS is demanded on port 25", func(t *testing.T, w *world) {
		w.servers[25].replies["MAIL"] = "530 5.7.0 Must issue a STARTTLS command first\r\n"
		w.servers[25].replies["tls MAIL"] = "250 2.1.0 Ok\r\n"
	}, "warn S6"},
	{"words come between the agreement and TLS", func(t *testing.T, w *world) {
		w.servers[25].replies["STARTTLS"] = "220 2.0.0 Ready to start TLS\r\n250-mx1.good.test\r\n250 AUTH PLAIN\r\n!TLS"
	}, "unknown D14, unknown D18, warn S9"},
	{"a further server on 2525", func(t *testing.T, w *world) { w.servers[2525] = w.servers[587] }, "warn R10"},
	{"STARTTLS is refused", func(t *testing.T, w *world) { w.servers[25].replies["STARTTLS"] = "502 5.5.1 not here\r\n" }, "fail D14, fail D18, fail S2"},
	{"STARTTLS has no time", func(t *testing.T, w *world) { w.servers[25].replies["STARTTLS"] = "454 4.7.0 TLS not available\r\n" }, "unknown D14, unknown D18, unknown S2"},
	{"the server greets with 421", func(t *testing.T, w *world) {
		w.servers[25].greeting = "421 4.7.0 mx1.good.test too many connections\r\n"
	}, "unknown D14, unknown D18, unknown R11, unknown S1"},
	{"STARTTLS is agreed to, and then it hangs up", func(t *testing.T, w *world) {
		w.servers[25].config = &tls.Config{}
		w.servers[25].hangsUp = true
	}, "fail D14, fail D18, fail S2"},
	{"993 hangs up on every hello", func(t *testing.T, w *world) {
		w.servers[993].implicit, w.servers[993].hangsUp = false, true
		w.servers[993].greeting = ""
	}, "fail D21, fail D22, fail R4, fail S10"},
	{"the server does not know EHLO", func(t *testing.T, w *world) {
		w.servers[25].replies["EHLO"] = "502 5.5.2 Error: command not recognized\r\n"
	}, "fail D14, fail R12, fail S1"},
	{"our name in EHLO does not please it", func(t *testing.T, w *world) {
		w.servers[25].replies["EHLO"] = "550 5.7.1 Helo command rejected: need fully-qualified hostname\r\n"
	}, "unknown D14, unknown D18, unknown R11, unknown S1"},
	{"the server says that it never takes mail", func(t *testing.T, w *world) { w.servers[25].greeting = "521 mx1.good.test takes no mail\r\n" }, "fail R11, unknown D14, unknown D18, unknown S1"},
	{"it ends the conversation at RSET", func(t *testing.T, w *world) { w.servers[25].replies["RSET"] = "421 4.7.0 too many errors\r\n!END" }, "unknown D14, unknown D18, unknown R12"},
	{"a block list is heeded at RCPT", func(t *testing.T, w *world) {
		for _, key := range []string{"RCPT", "RCPT TO:<postmaster@good.test>", "RCPT TO:<abuse@good.test>", "RCPT TO:<no-such-user"} {
			w.servers[25].replies[key] = "554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.example\r\n"
		}
	}, "unknown X1, unknown X2, unknown X3, unknown X4"},
	{"our address has no name", func(t *testing.T, w *world) {
		for _, key := range []string{"RCPT", "RCPT TO:<postmaster@good.test>", "RCPT TO:<abuse@good.test>", "RCPT TO:<no-such-user"} {
			w.servers[25].replies[key] = "450 4.7.25 cannot find your hostname\r\n"
		}
	}, "unknown X1, unknown X2, unknown X3, unknown X4"},
	{"the domain is not served", func(t *testing.T, w *world) {
		for _, key := range []string{"RCPT TO:<postmaster@good.test>", "RCPT TO:<abuse@good.test>", "RCPT TO:<no-such-user"} {
			w.servers[25].replies[key] = "554 5.7.1 <somebody@good.test>: Relay access denied\r\n"
		}
		w.servers[25].replies["RCPT"] = "554 5.7.1 <somebody@example.net>: Relay access denied\r\n"
	}, "fail X2"},
	{"every recipient is refused alike", func(t *testing.T, w *world) {
		for _, key := range []string{"RCPT", "RCPT TO:<postmaster@good.test>", "RCPT TO:<abuse@good.test>", "RCPT TO:<no-such-user"} {
			w.servers[25].replies[key] = "550 5.7.1 not today\r\n"
		}
	}, "unknown X2, unknown X3, unknown X4"},
	{"the foreign recipient is refused for its null MX", func(t *testing.T, w *world) {
		w.servers[25].replies["RCPT"] = "556 5.1.10 Domain example.net does not accept mail (nullMX)\r\n"
	}, "unknown X1"},
	{"the null sender is refused for our reputation", func(t *testing.T, w *world) { w.servers[25].replies["MAIL"] = "550 5.7.1 poor reputation\r\n" }, "unknown X1, unknown X5"},
	{"the greeting begins with ornaments", func(t *testing.T, w *world) {
		w.servers[25].greeting = "220-**********\r\n220 mx1.good.test ESMTP Postfix\r\n"
	}, "fail G2, warn G3"},
	{"the greeting has no words", func(t *testing.T, w *world) { w.servers[25].greeting = "220 \r\n" }, "fail G2"},
	{"one port tells its size limit", func(t *testing.T, w *world) {
		w.servers[587].replies["tls EHLO"] = strings.Replace(w.servers[587].replies["tls EHLO"], "250-SIZE 20480000\r\n", "", 1)
	}, "warn X9"},
	{"an SPF redirect to a record that allows everybody", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 redirect=all.good.test"`)
		w.zone += `all.good.test. 3600 IN TXT "v=spf1 mx:good.test +all"` + "\n"
	}, "fail D9"},
	{"an SPF redirect to a record that ends in ?all", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 redirect=all.good.test"`)
		w.zone += `all.good.test. 3600 IN TXT "v=spf1 mx:good.test ?all"` + "\n"
	}, "warn D9"},
	{"an SPF redirect to a record without an end", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 redirect=all.good.test"`)
		w.zone += `all.good.test. 3600 IN TXT "v=spf1 mx:good.test"` + "\n"
	}, "warn D9"},
	{"an SPF redirect to nothing", func(t *testing.T, w *world) { w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 redirect=all.good.test"`) }, "fail D9"},
	{"an SPF redirect beside all", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 mx redirect=all.good.test -all"`)
	}, "warn D9"},
	{"SPF includes a record that allows everybody", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 mx include:all.good.test -all"`)
		w.zone += `all.good.test. 3600 IN TXT "v=spf1 +all"` + "\n"
	}, "fail D9"},
	{"SPF allows all addresses", func(t *testing.T, w *world) { w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 mx ip4:0.0.0.0/0 -all"`) }, "fail D9"},
	{"a DKIM key that is not for mail", func(t *testing.T, w *world) { w.replace(t, `"v=DKIM1; k=ed25519;`, `"v=DKIM1; s=tlsrpt; k=ed25519;`) }, "fail D13"},
	{"a DKIM record whose version comes last", func(t *testing.T, w *world) { w.replace(t, `"v=DKIM1; k=ed25519;`, `"k=ed25519; v=DKIM1;`) }, "fail D13"},
	{"DMARC for a part of the mail", func(t *testing.T, w *world) { w.replace(t, "v=DMARC1; p=reject", "v=DMARC1; p=reject; pct=10") }, "warn D17"},
	{"DMARC without a semicolon", func(t *testing.T, w *world) { w.replace(t, "v=DMARC1; p=reject", "v=DMARC1 p=reject") }, "fail D16"},
	{"MTA-STS in other letters", func(t *testing.T, w *world) { w.replace(t, "v=STSv1; id", "v=stsv1; id") }, "fail D18"},
	{"TLS reports in other letters", func(t *testing.T, w *world) { w.replace(t, "v=TLSRPTv1", "v=tlsrptv1") }, "fail D19"},
	{"a wildcard answers for TLS reports", func(t *testing.T, w *world) {
		w.replace(t, `_smtp._tls IN TXT "v=TLSRPTv1; rua=mailto:tls@good.test"`, `*._tls IN TXT "v=spf1 -all"`)
	}, "warn D19"},
	{"the MX records are not signed, the host's zone is", func(t *testing.T, w *world) {
		w.replace(t, "mx1 IN", "mx1.host.test. IN")
		w.replace(t, "mx1.good.test", "mx1.host.test")
		w.zone = strings.ReplaceAll(w.zone, "_25._tcp.mx1 ", "_25._tcp.mx1.host.test. ")
		for line := range strings.Lines(w.zone) {
			if strings.Contains(line, "DNSKEY") {
				w.zone = strings.Replace(w.zone, line, "", 1) + "host.test. 3600 IN SOA ns.good.test. hostmaster.good.test. 1 3600 600 86400 300\nhost.test. 3600 IN " + strings.TrimPrefix(line, "@ IN ")
			}
		}
		w.both(t, 20, 70, "mx1.host.test", "mx1.good.test")
		for port, s := range w.servers {
			if port != 25 && port != 465 && port != 587 {
				continue
			}
			s.greeting = "220 mx1.host.test ESMTP Postfix\r\n"
			for _, k := range []string{"EHLO", "tls EHLO"} {
				s.replies[k] = strings.Replace(s.replies[k], "mx1.good.test", "mx1.host.test", 1)
			}
		}
		for at, p := range w.pages {
			p.body = strings.ReplaceAll(p.body, "mx1.good.test", "mx1.host.test")
			w.pages[at] = p
		}
	}, "warn D14"},
	{"the configuration for mail clients names a host without an address", func(t *testing.T, w *world) {
		w.pages["autoconfig.good.test/mail/config-v1.1.xml"] = page{200, "text/xml", strings.Replace(goodConfig, "mx1.good.test", "imap.good.test", 1), ""}
	}, "fail D22"},
	{"SRV promises 993 in the clear", func(t *testing.T, w *world) {
		w.replace(t, "_imap._tcp IN SRV 0 1 143 mx1.good.test.", "_imap._tcp IN SRV 0 1 993 mx1.good.test.")
		w.gatherer.Caller.Limits.Greeting = 5 * time.Second // for the one that waits for a hello
	}, "fail D21"},
	{"Autodiscover is Microsoft's", func(t *testing.T, w *world) {
		w.replace(t, "autoconfig IN A", "autodiscover IN CNAME autodiscover.outlook.com.\nautoconfig IN A")
		w.zone += "outlook.com. 60 IN SOA ns.outlook.com. h.outlook.com. 1 1 1 1 1\nautodiscover.outlook.com. 60 IN A 192.0.2.80\n"
	}, ""},
	{"what is too large is not refused when announced", func(t *testing.T, w *world) { delete(w.servers[25].replies, "MAIL FROM:<> SIZE=20480001") }, "warn E10"},
	{"SIZE is offered and not known", func(t *testing.T, w *world) {
		w.servers[25].replies["MAIL FROM:<> SIZE"] = "555 5.5.4 Unsupported option: SIZE\r\n"
		delete(w.servers[25].replies, "MAIL FROM:<> SIZE=20480001")
	}, "fail E10"},
	{"there is no room for what is too large", func(t *testing.T, w *world) {
		w.servers[25].replies["MAIL FROM:<> SIZE=20480001"] = "452 4.3.1 Insufficient system storage\r\n"
	}, "unknown E10"},
	{"the host in question has no address", func(t *testing.T, w *world) { w.question = Question{Host: "mx9.good.test"} }, "fail R1"},
	{"the service in question lies in no zone", func(t *testing.T, w *world) { w.question = Question{Services: []string{"mx1.elsewhere.test:25"}} }, "unknown R1"},
	{"the server answers EHLO with 450", func(t *testing.T, w *world) { w.servers[25].replies["EHLO"] = "450 4.7.1 greylisted, come again\r\n" }, "unknown D14, unknown D18, unknown R11, unknown S1"},
	{"the server never greets", func(t *testing.T, w *world) {
		w.net.servers["192.0.2.25:25"] = func(c net.Conn) { c.Close() }
		w.gatherer.Caller.Transport = silent{w.net, 25}
	}, "unknown D14, unknown R12"},
	{"the exchanger is closed", func(t *testing.T, w *world) { delete(w.servers, 25) }, "fail R1, unknown D14"},
	{"one address of two is closed", func(t *testing.T, w *world) {
		w.replace(t, "mx1 IN A 192.0.2.25\n", "mx1 IN A 192.0.2.25\n"+v6)
		w.net.servers["[2001:db8::25]:25"] = w.servers[25].serve
		w.net.servers["192.0.2.25:25"] = nil
		delete(w.servers, 25)
	}, "unknown D14, warn R1, warn R8"},
	{"our own network filters port 25", func(t *testing.T, w *world) {
		w.gatherer.Caller.Transport = filtered{w.net, 25}
	}, "unknown D14, unknown R1"},
	{"our own network has no IPv6", func(t *testing.T, w *world) {
		w.replace(t, "mx1 IN A 192.0.2.25\n", "mx1 IN A 192.0.2.25\n"+v6)
		w.gatherer.Caller.Transport = fourOnly{w.net}
	}, "unknown R1"},
	{"IPv6 offers less", func(t *testing.T, w *world) {
		w.replace(t, "mx1 IN A 192.0.2.25\n", "mx1 IN A 192.0.2.25\n"+v6)
		other := *w.servers[25]
		other.replies = map[string]string{}
		for k, v := range w.servers[25].replies {
			other.replies[k] = strings.ReplaceAll(v, "250-SMTPUTF8\r\n", "")
		}
		w.net.servers["[2001:db8::25]:25"] = other.serve
	}, "warn R8"},
	{"the greeting has no 220", func(t *testing.T, w *world) { w.servers[25].greeting = "250 mx1.good.test ESMTP Postfix\r\n" }, "fail G1, unknown D14"},
	{"the greeting ends in a line feed alone", func(t *testing.T, w *world) { w.servers[25].greeting = "220 mx1.good.test ESMTP Postfix\n" }, "warn G1"},
	{"465 is closed", func(t *testing.T, w *world) { delete(w.servers, 465) }, "fail D21, fail D22, fail R2"},
	{"587 offers no STARTTLS", func(t *testing.T, w *world) {
		w.servers[587].replies["EHLO"] = strings.Replace(w.servers[587].replies["EHLO"], "250-STARTTLS\r\n", "", 1)
		w.servers[587].replies["STARTTLS"] = "502 5.5.1 not here\r\n"
	}, "fail R3, warn D21"},
	{"993 is closed", func(t *testing.T, w *world) { delete(w.servers, 993) }, "fail D21, fail D22, fail R4"},
	{"995 is closed", func(t *testing.T, w *world) { delete(w.servers, 995) }, "fail D21, fail R5"},
	{"ManageSieve offers no STARTTLS", func(t *testing.T, w *world) {
		w.servers[4190].greeting = strings.Replace(w.servers[4190].greeting, "\"STARTTLS\"\r\n", "", 1)
	}, "warn D21, warn R6, warn V1"},
	{"one exchanger of two offers no STARTTLS", func(t *testing.T, w *world) {
		w.replace(t, "mx1 IN A 192.0.2.25\n", "mx1 IN A 192.0.2.25\n"+v6)
		other := *w.servers[25]
		other.replies = maps.Clone(other.replies)
		other.replies["EHLO"] = strings.Replace(other.replies["EHLO"], "250-STARTTLS\r\n", "", 1)
		other.replies["STARTTLS"] = "502 5.5.1 not here\r\n"
		w.net.servers["[2001:db8::25]:25"] = other.serve
	}, "fail D14, fail D18, fail R9, fail S1, warn R8"},
	{"clients without SNI get another certificate", func(t *testing.T, w *world) {
		other := &tls.Config{Certificates: []tls.Certificate{tlsPair(testKeys().web, w.a.leaf(t, testKeys().web, 20, 70, "www.good.test"), w.a.middle)}}
		w.config.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if h.ServerName == "" {
				return other, nil
			}
			return nil, nil
		}
	}, "warn S12"},
	{"IMAP greets with a word that no greeting has", func(t *testing.T, w *world) { w.servers[143].greeting = "* HELLO\r\n" }, "fail I1, unknown D21"},
	{"IMAP lists no version", func(t *testing.T, w *world) {
		for _, k := range []string{"CAPABILITY", "tls CAPABILITY"} {
			w.servers[143].replies = maps.Clone(w.servers[143].replies)
			w.servers[143].replies[k] = strings.Replace(w.servers[143].replies[k], "IMAP4rev1 ", "", 1)
		}
	}, "fail I2, warn I6"},
	{"143 offers no STARTTLS", func(t *testing.T, w *world) {
		w.servers[143].replies["CAPABILITY"] = strings.Replace(w.servers[143].replies["CAPABILITY"], "STARTTLS ", "", 1)
	}, "fail I3, warn D21"},
	{"143 and 993 differ", func(t *testing.T, w *world) {
		w.servers[993].replies = maps.Clone(w.servers[993].replies)
		w.servers[993].replies["tls CAPABILITY"] = strings.Replace(w.servers[993].replies["tls CAPABILITY"], "IDLE", "IDLE MOVE", 1)
	}, "warn I6"},
	{"POP3 greets with OK", func(t *testing.T, w *world) { w.servers[110].greeting = "OK ready\r\n" }, "fail P1"},
	{"POP3 has no CAPA", func(t *testing.T, w *world) {
		w.servers[110].replies = maps.Clone(w.servers[110].replies)
		w.servers[110].replies["CAPA"] = "-ERR what?\r\n"
		w.servers[110].replies["USER"] = "-ERR no\r\n"
	}, "warn P2"},
	{"POP3 has no UIDL", func(t *testing.T, w *world) {
		for _, k := range []string{"CAPA", "tls CAPA"} {
			w.servers[110].replies[k] = strings.Replace(w.servers[110].replies[k], "UIDL\r\n", "", 1)
		}
	}, "warn P4"},
	{"110 and 995 differ", func(t *testing.T, w *world) {
		w.servers[995].replies = maps.Clone(w.servers[995].replies)
		w.servers[995].replies["tls CAPA"] = strings.Replace(w.servers[995].replies["tls CAPA"], "TOP\r\n", "TOP\r\nEXPIRE 30\r\n", 1)
	}, "warn P5"},
	{"Autodiscover answers 503", func(t *testing.T, w *world) {
		w.replace(t, "autoconfig IN A", "autodiscover IN A 192.0.2.80\nautoconfig IN A")
		w.web.Certificates = []tls.Certificate{tlsPair(testKeys().web, w.a.leaf(t, testKeys().web, 20, 70, "mta-sts.good.test", "autoconfig.good.test", "autodiscover.good.test"), w.a.middle)}
		w.pages["autodiscover.good.test/autodiscover/autodiscover.xml"] = page{503, "text/plain", "", ""}
	}, "warn D23"},
	{"the greeting names localhost", func(t *testing.T, w *world) {
		w.servers[25].greeting = "220 localhost ESMTP Postfix\r\n"
	}, "fail G2, warn G3"},
	{"a firewall overwrites the greeting", func(t *testing.T, w *world) { w.servers[25].greeting = "220 ********************\r\n" }, "fail G2, warn G3"},
	{"the greeting names another host", func(t *testing.T, w *world) {
		w.servers[25].greeting = "220 ns.good.test ESMTP Postfix\r\n"
	}, "warn G3, warn G4"},
	{"the address has no name", func(t *testing.T, w *world) { w.replace(t, "25.2.0.192.in-addr.arpa. 3600 IN PTR mx1.good.test.", "") }, "fail G5"},
	{"the name of the address leads elsewhere", func(t *testing.T, w *world) {
		w.replace(t, "25.2.0.192.in-addr.arpa. 3600 IN PTR mx1.good.test.", "25.2.0.192.in-addr.arpa. 3600 IN PTR ns.good.test.")
	}, "fail G6"},
	{"the name of the address is out of a pool", func(t *testing.T, w *world) {
		w.replace(t, "25.2.0.192.in-addr.arpa. 3600 IN PTR mx1.good.test.", "25.2.0.192.in-addr.arpa. 3600 IN PTR 192-0-2-25.pool.good.test.\n192-0-2-25.pool.good.test. 60 IN A 192.0.2.25")
	}, "warn G7"},
	{"a password is taken in the clear on 587", func(t *testing.T, w *world) {
		s := w.servers[587]
		s.replies["EHLO"] = strings.Replace(s.replies["EHLO"], "250-STARTTLS", "250-AUTH PLAIN LOGIN\r\n250-STARTTLS", 1)
		s.replies["AUTH"], s.replies["*"] = "334 \r\n", "501 5.7.0 aborted\r\n"
	}, "fail A1, fail A2, fail S5"},
	{"a password is listed in the clear on 587, and refused", func(t *testing.T, w *world) {
		s := w.servers[587]
		s.replies["EHLO"] = strings.Replace(s.replies["EHLO"], "250-STARTTLS", "250-AUTH PLAIN LOGIN\r\n250-STARTTLS", 1)
	}, "fail A1, warn S5"},
	{"AUTH on port 25", func(t *testing.T, w *world) {
		s := w.servers[25]
		s.replies["tls EHLO"] = strings.Replace(s.replies["tls EHLO"], "250-PIPELINING", "250-AUTH PLAIN\r\n250-PIPELINING", 1)
	}, "warn A7"},
	{"LOGINDISABLED is absent", func(t *testing.T, w *world) {
		w.servers[143].replies["CAPABILITY"] = "* CAPABILITY IMAP4rev1 ID STARTTLS\r\nTAG OK\r\n"
	}, "fail A3, warn S5"},
	{"IMAP takes a password in the clear", func(t *testing.T, w *world) {
		w.servers[143].replies["CAPABILITY"] = "* CAPABILITY IMAP4rev1 ID STARTTLS AUTH=PLAIN\r\nTAG OK\r\n"
		w.servers[143].replies["AUTHENTICATE"], w.servers[143].replies["*"] = "+ \r\n", "h2 BAD cancelled\r\n"
	}, "fail A3, fail S5"},
	{"POP3 takes a password in the clear", func(t *testing.T, w *world) {
		w.servers[110].replies["AUTH"], w.servers[110].replies["*"] = "+ \r\n", "-ERR cancelled\r\n"
	}, "fail A4, fail S5"},
	{"POP3 offers no STLS", func(t *testing.T, w *world) {
		w.servers[110].replies["CAPA"] = "+OK\r\nTOP\r\nUIDL\r\nUSER\r\n.\r\n"
		w.servers[110].replies["USER"] = "+OK\r\n"
	}, "fail A4, fail P3, fail S5"},
	{"ManageSieve takes a password in the clear", func(t *testing.T, w *world) {
		w.servers[4190].greeting = strings.Replace(w.servers[4190].greeting, `"SASL" ""`, `"SASL" "PLAIN"`, 1)
		w.servers[4190].replies["AUTHENTICATE"], w.servers[4190].replies[`"*"`] = "\"\"\r\n", "NO \"cancelled\"\r\n"
	}, "fail S5, fail V1"},
	{"IMAP greets with PREAUTH", func(t *testing.T, w *world) { w.servers[143].greeting = "* PREAUTH welcome\r\n" }, "fail A8, fail D21"},
	{"no way to log in on 465", func(t *testing.T, w *world) {
		w.servers[465].replies["tls EHLO"] = strings.Replace(w.servers[465].replies["tls EHLO"], "250-AUTH PLAIN LOGIN\r\n", "", 1)
	}, "fail A5, warn A5"},
	{"STARTTLS is listed inside TLS", func(t *testing.T, w *world) {
		w.servers[25].replies["tls EHLO"] = w.servers[25].replies["EHLO"]
	}, "warn S4"},
	{"a command gets past STARTTLS", func(t *testing.T, w *world) {
		w.gatherer.Injection = true
		for _, p := range []uint16{587, 143, 110} {
			delete(w.servers, p)
		}
		w.servers[25].clear = true
		w.replace(t, "_submission._tcp IN SRV 0 1 587 mx1.good.test.", "")
		w.replace(t, "_imap._tcp IN SRV 0 1 143 mx1.good.test.", "")
	}, "fail S8"},
	{"an open relay", func(t *testing.T, w *world) { w.servers[25].replies["RCPT"] = "250 2.1.5 Ok\r\n" }, "warn X1"},
	{"postmaster is refused", func(t *testing.T, w *world) {
		w.servers[25].replies["RCPT TO:<postmaster@good.test>"] = "550 5.1.1 unknown\r\n"
	}, "fail X2"},
	{"abuse is refused", func(t *testing.T, w *world) {
		w.servers[25].replies["RCPT TO:<abuse@good.test>"] = "550 5.1.1 unknown\r\n"
	}, "warn X3"},
	{"greylisting", func(t *testing.T, w *world) {
		w.servers[25].replies["RCPT TO:<postmaster@good.test>"] = "450 4.2.0 greylisted\r\n"
	}, "unknown X2"},
	{"every recipient is accepted", func(t *testing.T, w *world) { w.servers[25].replies["RCPT TO:<no-such-user"] = "250 2.1.5 Ok\r\n" }, "warn X4"},
	{"the null sender is refused", func(t *testing.T, w *world) {
		w.servers[25].replies["MAIL FROM:<>"] = "550 5.7.1 no\r\n"
		w.gatherer.Sender = "postmaster@tester.example"
	}, "fail X5"},
	{"VRFY confirms every name", func(t *testing.T, w *world) { w.servers[25].replies["VRFY"] = "250 2.1.5 <x@good.test>\r\n" }, "warn X7"},
	{"EXPN expands every name", func(t *testing.T, w *world) { w.servers[25].replies["EXPN"] = "250 2.1.5 <x@good.test>\r\n" }, "warn X8"},
	{"a small SIZE", func(t *testing.T, w *world) {
		for _, k := range []string{"EHLO", "tls EHLO"} {
			w.servers[25].replies[k] = strings.Replace(w.servers[25].replies[k], "20480000", "1000000", 1)
		}
		w.servers[25].replies["MAIL FROM:<> SIZE=1000001"] = "552 5.3.4 Message size exceeds fixed limit\r\n"
	}, "warn X9"},
	{"SMTPUTF8 without 8BITMIME", func(t *testing.T, w *world) {
		for _, k := range []string{"EHLO", "tls EHLO"} {
			w.servers[25].replies[k] = strings.Replace(w.servers[25].replies[k], "250-8BITMIME\r\n", "", 1)
		}
	}, "fail X10"},
	{"SMTP on the port of IMAP", func(t *testing.T, w *world) { w.servers[143] = w.servers[25] }, "fail D21, fail R12"},
	{"993 speaks in the clear", func(t *testing.T, w *world) { w.servers[993].implicit = false }, "fail D21, fail D22, fail R12, fail S10"},
	{"two SPF records", func(t *testing.T, w *world) { w.zone += "good.test. 60 IN TXT \"v=spf1 -all\"\n" }, "fail D8"},
	{"no SPF record", func(t *testing.T, w *world) { w.replace(t, `@ IN TXT "v=spf1 mx -all"`, "") }, "fail D8"},
	{"SPF over budget", func(t *testing.T, w *world) {
		var terms, records string
		for i := range 11 {
			terms += fmt.Sprintf(" a:h%d.good.test", i)
			records += fmt.Sprintf("h%d.good.test. 60 IN A 192.0.2.%d\n", i, 100+i)
		}
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 ip4:192.0.2.25 ip6:2001:db8::25`+terms+` -all"`)
		w.zone += records
	}, "fail D10"},
	{"too many void lookups in SPF", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 a:n1.good.test a:n2.good.test a:n3.good.test -all"`)
	}, "fail D10"},
	{"SPF with a mechanism that is none", func(t *testing.T, w *world) {
		w.replace(t, `"v=spf1 mx -all"`, `"v=spf1 mx ipv4:192.0.2.1 -all"`)
	}, "fail D9"},
	{"SPF lets everybody send", func(t *testing.T, w *world) { w.replace(t, "mx -all", "mx +all") }, "fail D9"},
	{"SPF has no end", func(t *testing.T, w *world) { w.replace(t, "v=spf1 mx -all", "v=spf1 mx") }, "warn D9"},
	{"SPF leaves a sender out", func(t *testing.T, w *world) { w.replace(t, "v=spf1 mx -all", "v=spf1 ip4:192.0.2.99 -all") }, "warn D11"},
	{"a DKIM key is missing", func(t *testing.T, w *world) { w.question.Selectors = []string{"s1", "s2"} }, "fail D13"},
	{"a DKIM key is revoked", func(t *testing.T, w *world) { w.replace(t, "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "p=") }, "fail D13"},
	{"a malformed DMARC record", func(t *testing.T, w *world) { w.replace(t, "v=DMARC1; p=reject", "p=reject; v=DMARC1") }, "fail D16"},
	{"a DMARC policy that is none", func(t *testing.T, w *world) { w.replace(t, "p=reject", "p=rejected") }, "fail D16, warn D17"},
	{"two DMARC records", func(t *testing.T, w *world) { w.zone += "_dmarc.good.test. 60 IN TXT \"v=DMARC1; p=none\"\n" }, "fail D16"},
	{"DMARC p=none", func(t *testing.T, w *world) { w.replace(t, "p=reject", "p=none") }, "warn D17"},
	{"DMARC is only tried", func(t *testing.T, w *world) { w.replace(t, "p=reject", "p=quarantine; t=y") }, "warn D17"},
	{"DMARC reports go to who does not accept them", func(t *testing.T, w *world) {
		w.replace(t, "mailto:dmarc@good.test", "mailto:dmarc@elsewhere.example")
		w.zone += "elsewhere.example. 60 IN SOA ns.elsewhere.example. h.elsewhere.example. 1 1 1 1 1\nexample. 60 IN SOA ns. h. 1 1 1 1 1\n"
	}, "fail D17"},
	{"the MTA-STS policy lacks the exchanger", func(t *testing.T, w *world) {
		w.policy("version: STSv1\r\nmode: enforce\r\nmx: mx2.good.test\r\nmax_age: 604800\r\n")
	}, "fail D18"},
	{"the MTA-STS policy is a redirect", func(t *testing.T, w *world) {
		w.pages["mta-sts.good.test/.well-known/mta-sts.txt"] = page{301, "text/plain", "", "https://good.test/"}
	}, "fail D18"},
	{"the MTA-STS policy is missing", func(t *testing.T, w *world) { delete(w.pages, "mta-sts.good.test/.well-known/mta-sts.txt") }, "fail D18"},
	{"the MTA-STS policy is HTML", func(t *testing.T, w *world) { w.policy("<html>hello</html>") }, "fail D18"},
	{"the MTA-STS policy is in testing", func(t *testing.T, w *world) { w.policy(strings.Replace(goodPolicy, "enforce", "testing", 1)) }, "warn D18"},
	{"the MTA-STS record has a bad id", func(t *testing.T, w *world) { w.replace(t, "id=20261101", "id=2026-11-01") }, "fail D18"},
	{"the MTA-STS host has another certificate", func(t *testing.T, w *world) {
		w.web.Certificates = []tls.Certificate{tlsPair(testKeys().web, w.a.leaf(t, testKeys().web, 20, 70, "autoconfig.good.test"), w.a.middle)}
	}, "fail D18, warn R7"},
	{"a TLS report record without rua", func(t *testing.T, w *world) { w.replace(t, "v=TLSRPTv1; rua=mailto:tls@good.test", "v=TLSRPTv1;") }, "fail D19"},
	{"an SRV record points at a closed port", func(t *testing.T, w *world) { w.replace(t, "SRV 0 1 993 ", "SRV 0 1 994 ") }, "fail D21"},
	{"an SRV record says that an open port is not offered", func(t *testing.T, w *world) {
		w.replace(t, "_pop3s._tcp IN SRV 0 1 995 mx1.good.test.", "_pop3s._tcp IN SRV 0 0 0 .")
	}, "warn D21"},
	{"the configuration for clients has a wrong port", func(t *testing.T, w *world) {
		p := w.pages["autoconfig.good.test/mail/config-v1.1.xml"]
		p.body = strings.Replace(p.body, "<port>993</port>", "<port>1993</port>", 1)
		w.pages["autoconfig.good.test/mail/config-v1.1.xml"] = p
	}, "fail D22"},
	{"CAA against the issuer", func(t *testing.T, w *world) { w.replace(t, `issue "ca.test"`, `issue "letsencrypt.org"`) }, "warn C13"},
	{"CAA with a critical tag that nobody knows", func(t *testing.T, w *world) {
		w.replace(t, `@ IN CAA 0 issue "ca.test"`, "@ IN CAA 0 issue \"ca.test\"\n@ IN CAA 128 tbs \"x\"")
	}, "fail C12"},
	{"an exchanger without an address", func(t *testing.T, w *world) { w.zone += "good.test. 60 IN MX 20 mx2.good.test.\n" }, "fail D3, fail D18"},
	{"an exchanger that is an alias", func(t *testing.T, w *world) {
		w.replace(t, "@ IN MX 10 mx1.good.test.", "@ IN MX 10 mx1.good.test.\n@ IN MX 20 mail.good.test.\nmail IN CNAME mx1.good.test.")
		w.policy(strings.Replace(goodPolicy, "max_age", "mx: mail.good.test\r\nmax_age", 1))
		w.both(t, 20, 70, "mx1.good.test", "mail.good.test")
	}, "fail D3"},
	{"a null MX beside another", func(t *testing.T, w *world) { w.zone += "good.test. 60 IN MX 0 .\n" }, "fail D2"},
	{"the zone is bogus", func(t *testing.T, w *world) {
		w.gatherer.Records = failing{w.records(t), resolve.Bogus}
	}, "fail D7, unknown D1, unknown D13, unknown D16, unknown D18, unknown D19, unknown D21, unknown D6, unknown D8"},
	{"the DNS does not answer", func(t *testing.T, w *world) {
		w.gatherer.Records = failing{w.records(t), resolve.ServFail}
	}, "unknown D1, unknown D13, unknown D16, unknown D18, unknown D19, unknown D21, unknown D6, unknown D7, unknown D8"},
	{"Docker's resolver hides MX and TXT", func(t *testing.T, w *world) {
		w.gatherer.Records = docker{w.records(t)}
	}, "unknown D1, unknown D13, unknown D16, unknown D18, unknown D19, unknown D8"},
	{"TLS 1.0 alone", func(t *testing.T, w *world) {
		w.config.MinVersion, w.config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	}, "fail T1, warn T2"},
	{"TLS 1.0 is taken too", func(t *testing.T, w *world) {
		w.gatherer.TLSScan = true
		w.config.MinVersion = tls.VersionTLS10
		for p := range w.servers {
			if p != 25 {
				delete(w.servers, p)
			}
		}
		w.srvless()
	}, "fail T1"},
	{"3DES and RC4 are taken", func(t *testing.T, w *world) {
		w.gatherer.TLSScan = true
		w.config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA}
		for p := range w.servers {
			if p != 25 {
				delete(w.servers, p)
			}
		}
		w.srvless()
	}, "fail T3"},
}

func (w *world) policy(text string) {
	w.pages["mta-sts.good.test/.well-known/mta-sts.txt"] = page{200, "text/plain", text, ""}
}

// srvless takes the promises about other ports away.
func (w *world) srvless() {
	var kept []string
	for line := range strings.Lines(w.zone) {
		if !strings.Contains(line, " SRV ") {
			kept = append(kept, line)
		}
	}
	w.zone = strings.Join(kept, "")
	delete(w.pages, "autoconfig.good.test/mail/config-v1.1.xml")
}

// v6 is the line of the zone that gives the exchanger its second address.
const v6 = "mx1 IN AAAA 2001:db8::25\n"

// filtered is a network that swallows attempts to connect to a port.
type filtered struct {
	wire.Transport
	port uint16
}

func TestFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			atNoon(t, func(t *testing.T) {
				w := newWorld(t)
				w.replace(t, v6, "") // half the work, where it is not about IPv6
				f.plant(t, w)
				facts := readFacts(t, savedFacts(t, w.gather(t))) // what is judged is what a file holds
				got := map[string]bool{}
				var words []string
				for _, x := range Judge(facts, w.options) {
					if key := string(x.State) + " " + x.Check; x.State != Pass && x.State != NA {
						if !got[key] {
							words = append(words, key)
						}
						got[key] = true
						t.Logf("%s %s %s %s: %s %q", x.State, x.Severity, x.Check, x.Where, x.Text, x.Evidence)
					}
				}
				want := strings.Split(f.want, ", ")
				want = slices.DeleteFunc(want, func(s string) bool { return s == "" || strings.HasPrefix(s, "n/a") })
				slices.Sort(want)
				slices.Sort(words)
				if !slices.Equal(words, want) {
					t.Errorf("found %s; want %s", strings.Join(words, ", "), strings.Join(want, ", "))
				}
			})
		})
	}
}

// spoilt are faults that are planted in the facts: nobody waits for them.
var spoilt = []struct {
	name  string
	plant func(f *Facts)
	want  string
}{
	{"a greeting after 20 s", func(f *Facts) { f.Services[0].Step("greeting", false).MS = 20_000 }, "warn low G8"},
	{"Dovecot trusts the machine that it runs on", func(f *Facts) {
		s := serviceOn(f, 143)
		s.Local = s.Addr.String() + ":40000"
		s.Step("auth", false).Reply = "+ \r\n"
		s.Step("capability", false).Reply = "* CAPABILITY IMAP4rev1 ID STARTTLS AUTH=PLAIN\r\nh1 OK done\r\n"
	}, "unknown high S5, unknown high A3"},
	{"a greeting after 90 s", func(f *Facts) { f.Services[0].Step("greeting", false).MS = 90_000 }, "warn medium G8"},
}

func serviceOn(f *Facts, port uint16) *Service {
	return f.Services[slices.IndexFunc(f.Services, func(s *Service) bool { return s.Port == port })]
}

func TestSpoiltFacts(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		w := newWorld(t)
		saved := savedFacts(t, w.gather(t))
		for _, f := range spoilt {
			facts := readFacts(t, saved)
			f.plant(facts)
			var words []string
			for _, x := range Judge(facts, w.options) {
				if x.State != Pass && x.State != NA {
					words = append(words, string(x.State)+" "+string(x.Severity)+" "+x.Check)
				}
			}
			if got := strings.Join(words, ", "); got != f.want {
				t.Errorf("%s: %s; want %s", f.name, got, f.want)
			}
		}
	})
}

func savedFacts(t *testing.T, f *Facts) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readFacts(t *testing.T, saved []byte) *Facts {
	t.Helper()
	f, err := ReadFacts("facts.json", bytes.NewReader(saved))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every check that can find something does so in a test.
func TestEveryCheckFindsItsFault(t *testing.T) {
	var all strings.Builder
	for _, f := range faults {
		all.WriteString(f.want + ", ")
	}
	for _, f := range spoilt {
		all.WriteString(f.want + ", ")
	}
	for _, c := range Checks {
		if c.Area == tripArea { // its own tests
			continue
		}
		found := strings.Contains(all.String(), " "+c.ID+", ")
		if tellsAlone := slices.Contains([]string{"C7", "I4", "S3", "X6"}, c.ID); found == tellsAlone {
			t.Errorf("%s (%s): found in a test: %v", c.ID, c.Title, found)
		}
	}
}
