package login

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"herald/wire"
)

func TestPOP3(t *testing.T) {
	w := words{
		"STLS": "+OK\r\n" + upgrade, "USER " + alice.User: "+OK\r\n", "PASS": "-ERR [AUTH] no\r\n", "PASS " + alice.Password: "+OK welcome\r\n",
		"STAT": "+OK 2 300\r\n", "UIDL": "+OK\r\n1 a\r\n2 b\r\n.\r\n", "TOP": "+OK\r\nSubject: x\r\n\r\n.\r\n", "QUIT": "+OK\r\n",
	}
	serve := scripted("+OK ready\r\n", w.answer)
	plain := Login{Protocol: "pop3", Security: wire.Plain}
	wantSteps(t, try(t, plain, serve), "login pass: accepted: +OK welcome", "mailbox pass: 2 messages, 300 bytes", "message-list pass: 2 ids", "message-list pass")
	wantSteps(t, try(t, Login{Protocol: "pop3", Security: wire.StartTLS}, serve),
		"login-certificate pass", "login pass", "mailbox pass", "message-list pass", "message-list pass")

	twice := words{}
	for k, v := range w {
		twice[k] = v
	}
	twice["UIDL"], twice["TOP"] = "+OK\r\n1 a\r\n2 a\r\n.\r\n", "-ERR no TOP\r\n"
	wantSteps(t, try(t, plain, scripted("+OK\r\n", twice.answer)), "login pass", "mailbox pass", "message-list fail: 2 messages, 1 ids", "message-list fail: -ERR no TOP")

	w["PASS "+alice.Password] = w["PASS"]
	wantSteps(t, try(t, plain, serve), "login fail: refused: -ERR [AUTH] no")
	wantSteps(t, try(t, Login{Protocol: "pop3", Security: wire.Plain, Refused: true}, serve), "login pass: refused")
	wantSteps(t, try(t, plain, scripted("-ERR busy\r\n", w.answer)), "login unknown: turned away: -ERR busy")
}

// No password is said in the clear unless the file says so, nor to a stranger.
func TestPasswordStaysHome(t *testing.T) {
	var mu sync.Mutex
	var said []string
	hear := func(answers words) func(string) string {
		return func(line string) string {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, line)
			return answers.answer(line)
		}
	}
	for _, test := range []struct {
		name, protocol, greeting, want string
		answers                        words
	}{
		{"pop3 without STLS", "pop3", "+OK\r\n", "login unknown: no password is said", words{"": "-ERR\r\n"}},
		{"smtp without STARTTLS", "smtp", "220 x\r\n", "login unknown: no password is said", words{"": "502 no\r\n", "EHLO": "250 x\r\n"}},
		{"nntp without STARTTLS", "nntp", "200 x\r\n", "login unknown: no password is said", words{"": "500 no\r\n"}},
		{"ftp without AUTH", "ftp", "220 x\r\n", "login unknown: no password is said", words{"": "500 no\r\n"}},
		{"imap without STARTTLS", "imap", "* OK x\r\n", "login unknown: no password is said", words{"h1": "* CAPABILITY IMAP4rev1\r\nh1 OK\r\n", "h3": "h3 BAD no\r\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := try(t, Login{Protocol: test.protocol, Security: wire.StartTLS}, scripted(test.greeting, hear(test.answers)))
			wantSteps(t, &Report{Steps: r.Steps[len(r.Steps)-1:], Transcript: r.Transcript}, test.want)
		})
	}
	stranger := words{"STLS": "+OK\r\n" + upgrade, "": "+OK\r\n"}
	r := try(t, Login{Protocol: "pop3", Security: wire.StartTLS, At: there}, scripted("+OK\r\n", hear(stranger)))
	if r.Steps[0].Kind != "login-certificate" {
		t.Errorf("%+v", r.Steps)
	}
	imapCaps := words{"T1 CAPABILITY": "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nT1 OK\r\n", "": "T2 NO\r\n"}
	wantSteps(t, try(t, Login{Protocol: "imap", Security: wire.Plain}, scripted("* OK\r\n", hear(imapCaps))), "login unknown: LOGINDISABLED")
	for _, line := range said {
		for _, secret := range alice.Secrets() {
			if strings.Contains(line, string(secret)) && !strings.HasPrefix(line, "PASS") {
				t.Errorf("said: %s", line)
			}
		}
	}
}

var there = Login{}.At

// A certificate that nobody vouches for gets no password.
func TestStrangersCertificate(t *testing.T) {
	w := words{"STLS": "+OK\r\n" + upgrade, "USER": "+OK\r\n", "PASS": "+OK\r\n", "STAT": "+OK 0 0\r\n", "UIDL": "+OK\r\n.\r\n", "QUIT": "+OK\r\n"}
	e := start(t, scripted("+OK\r\n", w.answer))
	l := Login{ID: "x", Protocol: "pop3", Security: wire.StartTLS}
	r := Try(t.Context(), wire.Caller{Limits: patient}, e, l, alice, noRoots)
	wantSteps(t, r, "login-certificate fail: no password is said")
	if strings.Contains(r.Transcript, "PASS") {
		t.Error(r.Transcript)
	}
	l.AnyCertificate = true
	wantSteps(t, Try(t.Context(), wire.Caller{Limits: patient}, e, l, alice, noRoots), "login pass", "mailbox pass", "message-list pass")
	e.Name = "other.example.org"
	l.AnyCertificate = false
	_, roots := identity()
	wantSteps(t, Try(t.Context(), wire.Caller{Limits: patient}, e, l, alice, roots), "login-certificate fail: no password is said")
}

func TestIMAP(t *testing.T) {
	memory := imapmemserver.New()
	user := imapmemserver.NewUser(alice.User, alice.Password)
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	for name, attr := range map[string]imap.MailboxAttr{"Drafts": imap.MailboxAttrDrafts, "Sent": imap.MailboxAttrSent, "Junk": imap.MailboxAttrJunk, "Trash": imap.MailboxAttrTrash} {
		if err := user.Create(name, &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{attr}}); err != nil {
			t.Fatal(err)
		}
	}
	memory.AddUser(user)
	config, _ := identity()
	serve := func(insecure bool) func(net.Conn) {
		s := imapserver.New(&imapserver.Options{
			NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
				return memory.NewSession(), nil, nil
			},
			Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapSpecialUse: {}},
			TLSConfig:    config,
			InsecureAuth: insecure,
			Logger:       log.New(io.Discard, "", 0),
		})
		return func(c net.Conn) {
			l := &one{c: c, done: make(chan struct{})}
			s.Serve(l)
		}
	}
	plain := Login{Protocol: "imap", Security: wire.Plain}
	r := try(t, plain, serve(true))
	if len(r.Steps) < 4 || r.Steps[0].State != "pass" || r.Steps[1].State != "pass" || r.Steps[1].Seen != "0 messages" || r.Steps[3].State != "n/a" {
		t.Errorf("%+v\n%s", r.Steps, r.Transcript)
	}
	r = try(t, Login{Protocol: "imap", Security: wire.StartTLS}, serve(false))
	var kinds []string
	for _, s := range r.Steps {
		kinds = append(kinds, s.Kind+" "+string(s.State))
	}
	if want := []string{"login-cleartext pass", "login-certificate pass", "login pass", "mailbox pass"}; len(kinds) < 4 || !slices.Equal(kinds[:4], want) {
		t.Errorf("%q, want %q\n%s", kinds, want, r.Transcript)
	}
	wantSteps(t, try(t, Login{Protocol: "imap", Security: wire.Plain}, serve(false)), "login unknown: LOGINDISABLED")

	// Clear logins that go on though LOGINDISABLED is said; quota; folders.
	w := words{
		"h1": "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED AUTH=PLAIN\r\nh1 OK\r\n", "h2": "+ \r\n", "*": "h2 BAD called off\r\n", "h3": "h3 OK\r\n" + upgrade,
		"T1 ": "* CAPABILITY IMAP4rev1 QUOTA\r\nT1 OK\r\n", "T2 ": "T2 OK [CAPABILITY IMAP4rev1 QUOTA] in\r\n",
		"T3 ": "* 7 EXISTS\r\n* FLAGS ()\r\nT3 OK\r\n", "T4 ": "* QUOTAROOT INBOX r\r\n* QUOTA r (STORAGE 95 100)\r\nT4 OK\r\n", "T5 ": "* BYE\r\nT5 OK\r\n",
	}
	wantSteps(t, try(t, Login{Protocol: "imap", Security: wire.StartTLS}, scripted("* OK\r\n", w.answer)),
		"login-cleartext fail: AUTHENTICATE PLAIN goes on", "login-certificate pass", "login pass", "mailbox pass: 7 messages", "mailbox-folders warn", "mailbox-quota fail: STORAGE 95 of 100")
	w = words{"T1 ": "* CAPABILITY IMAP4rev1\r\nT1 OK\r\n", "T2 ": "T2 NO [AUTHENTICATIONFAILED] wrong\r\n"}
	wantSteps(t, try(t, plain, scripted("* OK\r\n", w.answer)), "login fail: refused: wrong")
	wantSteps(t, try(t, plain, scripted("* PREAUTH\r\n", w.answer)), "login unknown: turned away")
}

// one is a listener of one connection.
type one struct {
	c    net.Conn
	once sync.Once
	done chan struct{}
}

func (o *one) Accept() (net.Conn, error) {
	var c net.Conn
	o.once.Do(func() { c = &telling{Conn: o.c, done: o.done} })
	if c != nil {
		return c, nil
	}
	<-o.done
	return nil, net.ErrClosed
}
func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return o.c.LocalAddr() }

// telling tells when it is closed.
type telling struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (t *telling) Close() error {
	t.once.Do(func() { close(t.done) })
	return t.Conn.Close()
}

func TestSMTP(t *testing.T) {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + alice.User + "\x00" + alice.Password))
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	w := words{
		"EHLO": "250-x\r\n250-STARTTLS\r\n250 AUTH LOGIN PLAIN\r\n", "STARTTLS": "220 go\r\n" + upgrade,
		"AUTH PLAIN": "535 5.7.8 no\r\n", "AUTH PLAIN " + plain: "235 in\r\n", "QUIT": "221\r\n",
	}
	start := Login{Protocol: "smtp", Security: wire.StartTLS}
	wantSteps(t, try(t, start, scripted("220-a\r\n220 b\r\n", w.answer)), "login-cleartext fail: AUTH LOGIN PLAIN", "login-certificate pass", "login pass: accepted: 235 in")
	w["AUTH PLAIN "+plain] = "535 5.7.8 no\r\n"
	wantSteps(t, try(t, start, scripted("220 b\r\n", w.answer)), "login-cleartext fail", "login-certificate pass", "login fail: refused: 535 5.7.8 no")
	w["AUTH PLAIN "+plain] = "454 later\r\n"
	wantSteps(t, try(t, start, scripted("220 b\r\n", w.answer)), "login-cleartext fail", "login-certificate pass", "login unknown: turned away: 454 later")
	w = words{"EHLO": "250-x\r\n250 AUTH LOGIN\r\n", "AUTH LOGIN " + b64(alice.User): "334 UGFzc3dvcmQ6\r\n", b64(alice.Password): "235 in\r\n", "QUIT": "221\r\n"}
	wantSteps(t, try(t, Login{Protocol: "smtp", Security: wire.Plain}, scripted("220 b\r\n", w.answer)), "login pass: accepted")
}

// A challenge that is not the mechanism's is no refusal of the password.
func TestSMTPStrangeChallenge(t *testing.T) {
	w := words{"EHLO": "250-x\r\n250 AUTH LOGIN\r\n", "AUTH": "334 Zm9v\r\n", "*": "501 called off\r\n", "QUIT": "221\r\n"}
	wantSteps(t, try(t, Login{Protocol: "smtp", Security: wire.Plain}, scripted("220 b\r\n", w.answer)), "login unknown: turned away: a challenge that LOGIN does not have")
}

func TestNNTP(t *testing.T) {
	w := words{"STARTTLS": "382 go\r\n" + upgrade, "AUTHINFO USER": "381 more\r\n", "AUTHINFO PASS": "481 no\r\n", "AUTHINFO PASS " + alice.Password: "281 in\r\n", "QUIT": "205\r\n"}
	l := Login{Protocol: "nntp", Security: wire.StartTLS}
	wantSteps(t, try(t, l, scripted("200 x\r\n", w.answer)), "login-certificate pass", "login pass: accepted: 281 in")
	w["AUTHINFO USER"] = "502 no\r\n"
	wantSteps(t, try(t, l, scripted("201 x\r\n", w.answer)), "login-certificate pass", "login fail: refused: 502 no")
	wantSteps(t, try(t, l, scripted("400 x\r\n", w.answer)), "login unknown: turned away")
}

// web answers one request a connection.
func web(answer func(*http.Request) string) func(net.Conn) {
	return func(c net.Conn) {
		q, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			io.WriteString(c, answer(q))
		}
	}
}

func TestHTTPAndProxy(t *testing.T) {
	answer := func(demand, challenge, header, good string) func(net.Conn) {
		return web(func(q *http.Request) string {
			if user, password, ok := (&http.Request{Header: http.Header{"Authorization": q.Header[header]}}).BasicAuth(); ok && user == alice.User && password == alice.Password {
				return good
			}
			return "HTTP/1.1 " + demand + "\r\n" + challenge + ": Basic realm=\"here\"\r\nContent-Length: 0\r\n\r\n"
		})
	}
	page := Login{Protocol: "http", Security: wire.Plain}
	tunnel := Login{Protocol: "proxy", Security: wire.Plain, Connect: "example.org:443"}
	wantSteps(t, try(t, page, answer("401 No", "WWW-Authenticate", "Authorization", "HTTP/1.1 200 OK\r\n\r\n")),
		`login-needed pass: 401 Basic realm="here"`, "login pass: accepted: 200 OK")
	wantSteps(t, try(t, page, answer("401 No", "WWW-Authenticate", "X", "")), "login-needed pass", "login fail: refused: 401")
	wantSteps(t, try(t, page, web(func(*http.Request) string { return "HTTP/1.1 200 OK\r\n\r\n" })), "login-needed fail: anybody is let in", "login pass")
	wantSteps(t, try(t, tunnel, answer("407 No", "Proxy-Authenticate", "Proxy-Authorization", "HTTP/1.1 200 Connected\r\n\r\n")),
		`login-needed pass: 407 Basic realm="here"`, "login pass: accepted: 200 OK")
	wantSteps(t, try(t, tunnel, answer("407 No", "Proxy-Authenticate", "X", "")), "login-needed pass", "login fail")
	wantSteps(t, try(t, tunnel, web(func(q *http.Request) string {
		if q.Method != http.MethodConnect || q.Host != "example.org:443" {
			t.Errorf("asked %s %s", q.Method, q.Host)
		}
		return "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\n\r\n"
	})), "login-needed pass", "login unknown: only Basic")
}

func TestFTP(t *testing.T) {
	f := &ftpServer{files: map[string]string{}}
	wantSteps(t, try(t, Login{Protocol: "ftp", Security: wire.Plain, Active: true, Upload: true}, f.serve),
		"login pass: accepted: 230 welcome", `directory pass: /home/"alice"`, "data-channel pass: 2 entries", "upload pass", "clock pass", "data-address pass", "data-channel pass: 2 entries",
		"data-active warn: from port", "data-channel pass: 2 entries")
	if len(f.files) != 0 {
		t.Errorf("left behind: %v", f.files)
	}
	f.passive = "10,1,2,3"
	r := try(t, Login{Protocol: "ftp", Security: wire.Plain}, f.serve)
	wantSteps(t, r, "login pass", "directory pass", "data-channel pass", "data-address warn: 10.1.2.3 where the server is 127.0.0.1", "data-channel pass")
	f.passive = "0,0,0,0"
	wantSteps(t, try(t, Login{Protocol: "ftp", Security: wire.Plain}, f.serve), "login pass", "directory pass", "data-channel pass", "data-address fail: 0.0.0.0", "data-channel pass")
}

func TestFTPInsideTLS(t *testing.T) {
	f := &ftpServer{files: map[string]string{}}
	secure := func(c net.Conn) {
		config, _ := identity()
		f.serve(tls.Server(c, config))
	}
	l := Login{Protocol: "ftp", Security: wire.TLS, Active: true, Upload: true}
	wantSteps(t, try(t, l, secure), "login-certificate pass", "login pass", "directory pass", "data-channel pass", "data-encryption pass: session was resumed",
		"upload pass", "clock pass", "data-address pass", "data-channel pass", "data-encryption pass: session was resumed", "data-active warn", "data-channel pass", "data-encryption pass")
	l.Active, l.Upload = false, false
	f.clear = true
	wantSteps(t, try(t, l, secure), "login-certificate pass", "login pass", "directory pass", "data-channel fail", "data-encryption fail: not-tls", "data-address pass", "data-channel fail", "data-encryption fail")
	f.clear, f.noProt = false, true
	wantSteps(t, try(t, l, secure), "login-certificate pass", "login pass", "data-encryption fail: 534 no", "directory pass", "data-channel pass", "data-address pass", "data-channel pass")
}

func TestPassiveAddresses(t *testing.T) {
	for line, want := range map[string]string{
		"227 Entering Passive Mode (10,1,2,3,4,5).": "10.1.2.3:1029",
		"227 =10,1,2,3,4,5":                         "10.1.2.3:1029",
		"227 Entering 10,1,2,3,4,5":                 "10.1.2.3:1029",
		"227 (10,1,2,3,4,256)":                      "",
		"227 (10,1,2,3,0,0)":                        "",
		"227 (1,2,3)":                               "",
		"227 (99999999999999999999,1,2,3,4,5)":      "",
		"227":                                       "",
	} {
		got := ""
		if a, ok := passiveAddress(line); ok {
			got = a.String()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
