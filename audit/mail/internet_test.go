package mail

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"herald/resolve"
	"herald/wire"
	"herald/wire/wiretest"
)

var update = flag.Bool("update", false, "write testdata and docs anew")

// noon is when the certificates of testdata are judged.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// atNoon runs a test by a clock of its own, which begins when the certificates are judged:
// nobody waits for real, and no machine is too busy.
func atNoon(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		f(t)
		time.Sleep(wiretest.Longest) // servers see that nobody is there
	})
}

// authority is a private one, with an intermediate.
type authority struct {
	root, middle       *x509.Certificate
	rootKey, middleKey crypto.Signer
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.rootKey, a.middleKey = ecKey(t), ecKey(t)
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Test Authority"}},
			NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := ca("Test Root")
	a.root = sign(t, root, root, a.rootKey.Public(), a.rootKey)
	a.middle = sign(t, ca("Test Intermediate"), a.root, a.middleKey.Public(), a.rootKey)
	return a
}

func ecKey(t *testing.T) crypto.Signer {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, c, parent *x509.Certificate, key crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key, by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// leaf is a certificate for the names, with the given days before noon and after it.
func (a *authority) leaf(t *testing.T, key crypto.Signer, before, after int, names ...string) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: noon.AddDate(0, 0, -before), NotAfter: noon.AddDate(0, 0, after), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return sign(t, c, a.middle, key.Public(), a.middleKey)
}

func tlsPair(key crypto.Signer, chain ...*x509.Certificate) tls.Certificate {
	c := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, x := range chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c
}

// server is a scripted one: what it greets with, and what it answers to a command's first
// word, in the clear and inside TLS (where a word with a lock stands for that). A reply
// of "!TLS" behind the words begins the handshake, one of "!END" hangs up.
type server struct {
	greeting string
	replies  map[string]string
	config   *tls.Config
	implicit bool
	pushes   string // said unasked after a STARTTLS handshake
	hangsUp  bool   // where a handshake is due
	clear    bool   // keeps commands that came with STARTTLS: vulnerable
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	inside := false
	if s.hangsUp && s.greeting == "" {
		conn.Read(make([]byte, 1<<10))
		return
	}
	if s.implicit {
		conn, inside = tls.Server(conn, s.config), true
	}
	r := bufio.NewReader(conn)
	if _, err := conn.Write([]byte(s.greeting)); err != nil {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		tag, command := "", strings.TrimRight(line, "\r\n")
		if first, rest, ok := strings.Cut(command, " "); ok && strings.HasPrefix(first, "h") && len(first) < 4 && strings.HasPrefix(s.greeting, "*") {
			tag, command = first, rest
		}
		reply := s.reply(command, inside)
		reply = strings.ReplaceAll(reply, "TAG", tag)
		begin, end := strings.HasSuffix(reply, "!TLS"), strings.HasSuffix(reply, "!END")
		if _, err := conn.Write([]byte(strings.TrimSuffix(strings.TrimSuffix(reply, "!TLS"), "!END"))); err != nil {
			return
		}
		if begin && s.hangsUp {
			r.Read(make([]byte, 1<<10))
			return
		}
		if end {
			return
		}
		if begin {
			kept := ""
			if n := r.Buffered(); s.clear && n > 0 {
				b := make([]byte, n)
				r.Read(b)
				kept = string(b)
			}
			session := tls.Server(conn, s.config)
			if session.HandshakeContext(context.Background()) != nil {
				return
			}
			conn, inside = session, true
			r = bufio.NewReader(conn)
			if kept != "" {
				conn.Write([]byte(s.reply(strings.TrimSpace(kept), true)))
			}
			conn.Write([]byte(s.pushes))
		}
		if strings.HasPrefix(command, "QUIT") || strings.HasPrefix(command, "LOGOUT") {
			return
		}
	}
}

// reply is that of the longest key that the command begins with.
func (s *server) reply(command string, inside bool) string {
	best, reply := -1, "500 5.5.2 what?\r\n"
	for key, text := range s.replies {
		word, locked := strings.CutPrefix(key, "tls ")
		rank := 2 * len(word)
		if locked {
			rank++
		}
		if (!locked || inside) && strings.HasPrefix(strings.ToUpper(command), strings.ToUpper(word)) && rank > best {
			best, reply = rank, text
		}
	}
	return reply
}

// internet is a transport to scripted servers, by address and port; all other ports are
// closed.
type internet struct {
	mu      sync.Mutex
	servers map[string]func(net.Conn)
	dials   map[string]int
	all     sync.WaitGroup
}

func (n *internet) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dials == nil {
		n.dials = map[string]int{}
	}
	n.dials[e.Addr.String()]++
	serve := n.servers[e.Addr.String()]
	if serve == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	client, peer := wiretest.Pipe(e.Addr)
	n.all.Go(func() { serve(peer) })
	return client, nil
}

// goodZone is the DNS of good.test; %s is the TLSA data of the exchanger's keys.
const goodZone = `
$ORIGIN good.test.
$TTL 3600
@ IN SOA ns.good.test. hostmaster.good.test. 1 3600 600 86400 300
@ IN NS ns.good.test.
@ IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
@ IN MX 10 mx1.good.test.
@ IN TXT "v=spf1 mx -all"
@ IN CAA 0 issue "ca.test"
_dmarc IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@good.test"
s1._domainkey IN TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
_mta-sts IN TXT "v=STSv1; id=20261101"
_smtp._tls IN TXT "v=TLSRPTv1; rua=mailto:tls@good.test"
mta-sts IN A 192.0.2.80
autoconfig IN A 192.0.2.80
ns IN A 192.0.2.53
mx1 IN A 192.0.2.25
mx1 IN AAAA 2001:db8::25
_25._tcp.mx1 IN TLSA 3 1 1 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
_25._tcp.mx1 IN TLSA 3 1 1 %s
_25._tcp.mx1 IN TLSA 3 1 1 %s
_submissions._tcp IN SRV 0 1 465 mx1.good.test.
_submission._tcp IN SRV 0 1 587 mx1.good.test.
_imaps._tcp IN SRV 0 1 993 mx1.good.test.
_imap._tcp IN SRV 0 1 143 mx1.good.test.
_pop3s._tcp IN SRV 0 1 995 mx1.good.test.
_sieve._tcp IN SRV 0 1 4190 mx1.good.test.
$ORIGIN .
2.0.192.in-addr.arpa. 3600 IN SOA ns.good.test. hostmaster.good.test. 1 3600 600 86400 300
25.2.0.192.in-addr.arpa. 3600 IN PTR mx1.good.test.
8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN SOA ns.good.test. hostmaster.good.test. 1 3600 600 86400 300
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN PTR mx1.good.test.
`

const goodPolicy = "version: STSv1\r\nmode: enforce\r\nmx: mx1.good.test\r\nmax_age: 604800\r\n"

const goodConfig = `<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="good.test">
<incomingServer type="imap"><hostname>mx1.good.test</hostname><port>993</port><socketType>SSL</socketType></incomingServer>
<outgoingServer type="smtp"><hostname>mx1.good.test</hostname><port>465</port><socketType>SSL</socketType></outgoingServer>
</emailProvider></clientConfig>`

// goodServers are scripted after Postfix and Dovecot.
func goodServers(config *tls.Config) map[uint16]*server {
	ehlo := "250-mx1.good.test\r\n250-PIPELINING\r\n250-SIZE 20480000\r\n%s250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"
	login := "250-AUTH PLAIN LOGIN\r\n"
	smtp := func(clear, inside string) map[string]string {
		return map[string]string{
			"EHLO": fmt.Sprintf(ehlo, clear), "tls EHLO": fmt.Sprintf(ehlo, inside),
			"AUTH": "530 5.7.0 Must issue a STARTTLS command first\r\n", "STARTTLS": "220 2.0.0 Ready to start TLS\r\n!TLS",
			"MAIL": "250 2.1.0 Ok\r\n", "MAIL FROM:<> SIZE=20480001": "552 5.3.4 Message size exceeds fixed limit\r\n", "RCPT": "554 5.7.1 Relay access denied\r\n", "RCPT TO:<postmaster@good.test>": "250 2.1.5 Ok\r\n",
			"RCPT TO:<abuse@good.test>": "250 2.1.5 Ok\r\n", "RCPT TO:<no-such-user": "550 5.1.1 User unknown\r\n", "RSET": "250 2.0.0 Ok\r\n",
			"VRFY": "502 5.5.1 VRFY command is disabled\r\n", "EXPN": "502 5.5.2 Error: command not recognized\r\n", "NOOP": "250 2.0.0 Ok\r\n", "QUIT": "221 2.0.0 Bye\r\n",
		}
	}
	greeting := "220 mx1.good.test ESMTP Postfix\r\n"
	clearCaps, caps := "IMAP4rev1 ID STARTTLS LOGINDISABLED", "IMAP4rev1 ID IDLE UIDPLUS AUTH=PLAIN"
	imap := map[string]string{
		"CAPABILITY": "* CAPABILITY " + clearCaps + "\r\nTAG OK done\r\n", "tls CAPABILITY": "* CAPABILITY " + caps + "\r\nTAG OK done\r\n",
		"AUTHENTICATE": "TAG NO [PRIVACYREQUIRED] not here\r\n", "STARTTLS": "TAG OK Begin TLS negotiation now.\r\n!TLS",
		"ID": "* ID (\"name\" \"Dovecot\")\r\nTAG OK ID completed.\r\n", "LOGOUT": "* BYE Logging out\r\nTAG OK Logout completed.\r\n", "NOOP": "TAG OK\r\n",
	}
	pop := map[string]string{
		"CAPA": "+OK\r\nTOP\r\nUIDL\r\nSTLS\r\nSASL\r\n.\r\n", "tls CAPA": "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nSASL PLAIN\r\n.\r\n",
		"AUTH": "-ERR [AUTH] Cleartext authentication disallowed\r\n", "STLS": "+OK Begin TLS\r\n!TLS", "QUIT": "+OK Logging out\r\n",
	}
	sieveClear := "\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"\"\r\n\"STARTTLS\"\r\n\"VERSION\" \"1.0\"\r\nOK \"Dovecot ready.\"\r\n"
	sieveInside := "\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\n\"VERSION\" \"1.0\"\r\nOK \"TLS negotiation successful.\"\r\n"
	sieve := map[string]string{"AUTHENTICATE": "NO \"not before TLS\"\r\n", "STARTTLS": "OK \"Begin\"\r\n!TLS", "LOGOUT": "OK \"Bye\"\r\n"}
	return map[uint16]*server{
		25:   {greeting: greeting, replies: smtp("250-STARTTLS\r\n", ""), config: config},
		587:  {greeting: greeting, replies: smtp("250-STARTTLS\r\n", login), config: config},
		465:  {greeting: greeting, replies: smtp("", login), config: config, implicit: true},
		143:  {greeting: "* OK Dovecot ready.\r\n", replies: imap, config: config},
		993:  {greeting: "* OK Dovecot ready.\r\n", replies: imap, config: config, implicit: true},
		995:  {greeting: "+OK Dovecot ready.\r\n", replies: pop, config: config, implicit: true},
		110:  {greeting: "+OK Dovecot ready.\r\n", replies: pop, config: config},
		4190: {greeting: sieveClear, replies: sieve, config: config, pushes: sieveInside},
	}
}

// world is good.test, all right in every respect; a test plants a fault in it.
type world struct {
	a        *authority
	zone     string
	config   *tls.Config // of all mail servers; its certificates are an ECDSA and an RSA one
	web      *tls.Config
	servers  map[uint16]*server
	pages    map[string]page // by host and path
	net      *internet
	gatherer Gatherer
	question Question
	options  Options
}

type page struct {
	status   int
	kind     string
	body     string
	location string
}

var testKeys = sync.OnceValue(func() (keys struct{ ec, web, rsa crypto.Signer }) {
	keys.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys.web, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	return keys
})

func newWorld(t *testing.T) *world {
	a := newAuthority(t)
	w := &world{a: a, net: &internet{servers: map[string]func(net.Conn){}}, config: &tls.Config{}, zone: goodZone}
	w.certify(a.leaf(t, testKeys().ec, 20, 70, "mx1.good.test"), a.leaf(t, testKeys().rsa, 20, 70, "mx1.good.test"))
	w.web = &tls.Config{Certificates: []tls.Certificate{tlsPair(testKeys().web, a.leaf(t, testKeys().web, 20, 70, "mta-sts.good.test", "autoconfig.good.test"), a.middle)}}
	w.servers = goodServers(w.config)
	w.pages = map[string]page{
		"mta-sts.good.test/.well-known/mta-sts.txt": {200, "text/plain", goodPolicy, ""},
		"autoconfig.good.test/mail/config-v1.1.xml": {200, "text/xml", goodConfig, ""},
	}
	hash := func(c *x509.Certificate) string { return strings.Fields(paste("x", c))[6] }
	w.zone = fmt.Sprintf(goodZone, hash(w.config.Certificates[0].Leaf), hash(w.config.Certificates[1].Leaf))
	w.gatherer = Gatherer{Resolver: "zone file", Trusted: true, Caller: wire.Caller{Transport: w.net}, Patience: time.Minute, Space: -1, Documents: true}
	w.question = Question{Domain: "good.test", Selectors: []string{"s1"}}
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	w.options = Options{At: noon, Roots: roots, Issuers: map[string]string{"Test Authority": "ca.test"}}
	return w
}

// certify gives all mail servers these certificates, of the two kinds of key.
func (w *world) certify(ec, rsa *x509.Certificate) {
	w.config.Certificates = []tls.Certificate{tlsPair(testKeys().ec, ec, w.a.middle), tlsPair(testKeys().rsa, rsa, w.a.middle)}
}

// both gives all mail servers certificates with these dates and names.
func (w *world) both(t *testing.T, before, after int, names ...string) {
	w.certify(w.a.leaf(t, testKeys().ec, before, after, names...), w.a.leaf(t, testKeys().rsa, before, after, names...))
}

// replace changes the zone; what is replaced must be there.
func (w *world) replace(t *testing.T, old, new string) {
	if !strings.Contains(w.zone, old) {
		t.Fatalf("the zone has no %q", old)
	}
	w.zone = strings.ReplaceAll(w.zone, old, new)
}

// withoutDANE takes the TLSA records away.
func (w *world) withoutDANE() {
	var kept []string
	for line := range strings.Lines(w.zone) {
		if !strings.Contains(line, " TLSA ") {
			kept = append(kept, line)
		}
	}
	w.zone = strings.Join(kept, "")
}

func (w *world) gather(t *testing.T) *Facts {
	for port, s := range w.servers {
		for _, addr := range []string{"192.0.2.25", "[2001:db8::25]"} {
			if key := fmt.Sprintf("%s:%d", addr, port); w.net.servers[key] == nil {
				w.net.servers[key] = s.serve
			}
		}
	}
	w.net.servers["192.0.2.80:443"] = func(conn net.Conn) { w.serveHTTPS(tls.Server(conn, w.web)) }
	defer w.net.all.Wait()
	if w.gatherer.Records == nil {
		z, err := resolve.ReadZone("good.zone", strings.NewReader(w.zone))
		if err != nil {
			t.Fatal(err)
		}
		w.gatherer.Records = z
	}
	facts, err := w.gatherer.Gather(t.Context(), w.question)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func (w *world) serveHTTPS(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	request, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	p, ok := w.pages[request.Host+request.URL.Path]
	if !ok {
		p = page{status: 404, kind: "text/plain"}
	}
	if p.location != "" {
		p.location = "Location: " + p.location + "\r\n"
	}
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", p.status, http.StatusText(p.status), p.kind, p.location, len(p.body), p.body)
}
