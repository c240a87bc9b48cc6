package probes

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"

	"herald/wire"
)

func TestStatusOf(t *testing.T) {
	for line, want := range map[string]int{
		"HTTP/1.1 200 OK\r\n": 200, "HTTP/1.0 404": 404, "HTTP/1.1 401 ": 401, "HTTP/1.1  302 Found": 302, "HTTP/2.0 200": 200,
		"HTTP/1.1 099 Low": 0, "HTTP/1.1 20": 0, "HTTP/1.1 2000": 0, "HTTP/1.1": 0, "": 0, "RTSP/1.0 200 OK": 0,
		"HTTP/x.1 200 OK": 0, "http/1.1 200 OK": 0, "HTTP/1.1200 OK": 0, "ICY 200 OK": 200, "ICY": 0, "ICY2 200 OK": 0,
	} {
		if got := statusOf([]byte(line)); got != want {
			t.Errorf("statusOf(%q) = %d, want %d", line, got, want)
		}
	}
}

func TestPageTitle(t *testing.T) {
	for _, c := range []struct{ page, kind, want string }{
		{"<title>a</title>", "", "a"},
		{"<head><TITLE\nid=x> a \r\n b&nbsp;&lt;i&gt; </TITLE >", "", "a b <i>"},
		{"<titlebar>no</titlebar><title>yes</title>", "", "yes"},
		{"<title>never closed", "", ""},
		{"<title", "", ""},
		{"no title", "", ""},
		{"<title>\xc3\xa9</title>", "text/html; charset=utf-8", "é"},
		{"<title>\xe9</title>", "text/html; charset=iso-8859-1", "é"},
		{"<title>\xcf\xf0\xe8</title>", "text/html; charset=windows-1251", "При"},
		{"<title>\x83e\x83X</title>", "text/html; charset=Shift_JIS", "テス"},
		{"<title>\xe9</title>", "", "é"},
	} {
		if got := string(pageTitle([]byte(c.page), []byte(c.kind))); got != c.want {
			t.Errorf("pageTitle(%q, %q) = %q, want %q", c.page, c.kind, got, c.want)
		}
	}
}

func TestRealms(t *testing.T) {
	for challenges, want := range map[string]string{
		`Basic realm="a b"`: "a b",
		`Basic realm=x`:     "x",
		`Digest nonce="realm=no", realm="yes", qop=a`: "yes",
		`Basic realm="a, b", Digest REALM = "c"`:      "a, b|c",
		`Basic realm="never closed`:                   "never closed",
		`Negotiate`:                                   "",
		`Basic xrealm="no"`:                           "",
		`Basic realm`:                                 "",
	} {
		if got := string(bytes.Join(realms([]byte(challenges)), []byte("|"))); got != want {
			t.Errorf("realms(%s) = %q, want %q", challenges, got, want)
		}
	}
}

// The numbers were made with Python's base64.encodebytes and an independent MurmurHash3.
func TestFaviconHash(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for _, c := range []struct {
		icon []byte
		want int32
	}{{every, -757223386}, {[]byte("icon"), 1355950459}, {make([]byte, 57), 1993561383}} {
		if got := faviconHash(c.icon); got != c.want {
			t.Errorf("faviconHash of %d bytes = %d, want %d", len(c.icon), got, c.want)
		}
	}
}

func TestIconPath(t *testing.T) {
	for page, want := range map[string]string{
		`<link rel="shortcut icon" href=/a.ico>`:                          "/a.ico",
		`<LINK HREF='img/a.png?v=2' REL='iCON'/>`:                         "/img/a.png?v=2",
		`<link rel=icon href="//cdn.example/a.ico">`:                      "/favicon.ico",
		`<link rel=icon href="https://other.example/a.ico">`:              "/favicon.ico",
		`<link rel=icon href="http://web.example:8080/a.ico">`:            "/a.ico",
		`<link rel=icon href="data:image/png;base64,AAAA">`:               "/favicon.ico",
		`<link rel=stylesheet href=/a.css>`:                               "/favicon.ico",
		`<link rel=icon href="/a b&#13;&#10;X: y">`:                       "/favicon.ico",
		`<!-- <link rel=icon href=/no.ico> --><link rel=icon href=b.ico>`: "/b.ico",
	} {
		if got := iconPath([]byte(page), "web.example:8080"); got != want {
			t.Errorf("iconPath(%s) = %q, want %q", page, got, want)
		}
	}
}

// replayed opens the one conversation of a transcript.
func replayed(t *testing.T, text string, at string, m wire.Manners) (*wire.Conversation, *Observation) {
	t.Helper()
	transcript, err := wire.ReadTranscript("test", strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	e := wire.Endpoint{Addr: netip.MustParseAddrPort(at)}
	c, err := (&wire.Caller{Transport: &wire.Replay{Transcript: transcript}, Manners: m}).Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	return c, Observe(c)
}

func TestFaviconOnRequest(t *testing.T) {
	c, o := replayed(t, `> GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n
< HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n<link rel=icon href=/pic/i.ico>
> GET /pic/i.ico HTTP/1.1\r\nHost: [2001:db8::1]:81\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n
< HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nicon
. left
`, "[2001:db8::1]:81", wire.Manners{Favicon: true, UserAgent: "m\r\ne"})
	if err := HTTP.Converse(c, o); err != nil {
		t.Fatal(err)
	}
	if got := string(o.Text("http.favicon.mmh3")); got != "1355950459" {
		t.Errorf("mmh3 = %s", got)
	}
	if got := string(o.Text("http.favicon.md5")); got != "baec6461b0d69dde1b861aefbe375d8a" {
		t.Errorf("md5 = %s", got)
	}
}

// A server that closes after the page is asked for its icon on a fresh connection.
func TestFaviconOfAServerThatCloses(t *testing.T) {
	m := wire.Manners{Favicon: true, UserAgent: "me"}
	c, page := replayed(t, `> GET / HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n
< HTTP/1.0 200 OK\r\n\r\n<html></html>
. read closed
`, "192.0.2.1:80", m)
	page.Probe = "http"
	if err := HTTP.Converse(c, page); err != nil || page.Then != "http" {
		t.Fatalf("then %q, %v", page.Then, err)
	}
	c, icon := replayed(t, `> GET /favicon.ico HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: me\r\nAccept: */*\r\n\r\n
< HTTP/1.0 200 OK\r\n\r\nicon
. read closed
`, "192.0.2.1:80", m)
	icon.After = page
	if err := HTTP.Converse(c, icon); err != nil || !icon.Confirmed || icon.Then != "" {
		t.Fatalf("confirmed %v, then %q, %v", icon.Confirmed, icon.Then, err)
	}
	if got := string(icon.Text("http.favicon.mmh3")); got != "1355950459" {
		t.Errorf("mmh3 = %s", got)
	}
}

func TestRelayIsAskedOnRequestOnly(t *testing.T) {
	const ua = `User-Agent: herald (service identification; +https://github.com/herald)\r\nAccept: */*\r\n\r\n`
	c, o := replayed(t, `> GET http://mine.example/nonce?x=1 HTTP/1.1\r\nHost: mine.example\r\n`+ua+`
< HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnonce
> GET http://herald.invalid/ HTTP/1.1\r\nHost: herald.invalid\r\n`+ua+`
< HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n
. left
`, "192.0.2.1:3128", wire.Manners{RelayCheck: "http://mine.example/nonce?x=1"})
	if err := HTTPProxy.Converse(c, o); err != nil {
		t.Fatal(err)
	}
	if got := string(o.Text("proxy.relay")) + string(o.Text("proxy.relay.body")); got != "HTTP/1.1 200 OKnonce" {
		t.Errorf("relay = %q", got)
	}

	c, o = replayed(t, `> CONNECT mine.example:443 HTTP/1.1\r\nHost: mine.example:443\r\n`+ua+`
< HTTP/1.1 200 OK\r\n\r\n
. left
`, "192.0.2.1:3128", wire.Manners{RelayCheck: "https://mine.example"})
	if err := HTTPProxy.Converse(c, o); err != nil {
		t.Fatal(err)
	}
	if got := string(o.Text("proxy.relay")); got != "HTTP/1.1 200 OK" || o.Protocol != "" {
		t.Errorf("relay = %q, protocol %q", got, o.Protocol)
	}

	c, o = replayed(t, `> \x05\x03\x00\x01\x02
< \x05\x00
> \x05\x01\x00\x03\x0cmine.example\x1f\x90
< \x05\x02\x00\x01\x00\x00\x00\x00\x00\x00
. left
`, "192.0.2.1:1080", wire.Manners{RelayCheck: "http://mine.example:8080"})
	if err := SOCKS5.Converse(c, o); err != nil {
		t.Fatal(err)
	}
	if got := string(o.Text("socks5.relay")); got != "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00" {
		t.Errorf("relay = %q", got)
	}
}

func TestKEXINIT(t *testing.T) {
	whole := append([]byte{sshKexInit}, make([]byte, 16)...)
	for range 10 {
		whole = append(whole, 0, 0, 0, 1, 'x')
	}
	whole = append(whole, 0, 0, 0, 0, 0)
	if lists, ok := sshLists(whole); !ok || string(lists[9]) != "x" {
		t.Errorf("whole: %q, %v", lists, ok)
	}
	for n := range whole {
		if _, ok := sshLists(whole[:n]); ok {
			t.Errorf("%d of %d bytes are taken", n, len(whole))
		}
	}
	long := bytes.Clone(whole)
	copy(long[17:], "\xff\xff\xff\xff")
	if _, ok := sshLists(long); ok {
		t.Error("a list longer than the packet is taken")
	}
}

// The goodbye must be a packet that our own reader takes.
func TestSSHGoodbyeIsAPacket(t *testing.T) {
	packet := sshGoodbye()
	if len(packet)%8 != 0 {
		t.Errorf("%d bytes are no multiple of 8", len(packet))
	}
	c, _ := replayed(t, "< "+wire.Escape(packet)+"\n. left\n", "192.0.2.1:22", wire.Manners{})
	payload, err := sshPacket(c)
	if err != nil || payload[0] != sshDisconnect || !bytes.Contains(payload, []byte("thank you")) {
		t.Errorf("payload %q, %v", payload, err)
	}
}

// FuzzWeb gives strangers' bytes to every probe of this family, as a greeting and as an
// answer: nothing may panic, and nothing may grow beyond the limits.
func FuzzWeb(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"a\\\"\r\n\r\n", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x00\x01\x01\x05\x00\x00\x00\x01\x8d",
		"\x15\x03\x01\x00\x02\x02\x28", "<html><title>&#0;\xff</title>", "SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14", "\x05\x00\x05\x00\x00\x03\xff", "\x00Z\x00\x00\x00\x00\x00\x00",
	} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, p := range []Probe{HTTP, HTTP2, HTTPProxy, SOCKS4, SOCKS5, SSH} {
			p.Recognize(first)
			if l, ok := p.(Overhearer); ok {
				l.Overhear("finger", first)
			}
			stranger := &stranger{says: [][]byte{first, second}}
			e := wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:8080")}
			c, err := (&wire.Caller{Transport: stranger, Manners: wire.Manners{Favicon: true}}).Open(context.Background(), e)
			if err != nil {
				t.Fatal(err)
			}
			o := Observe(c)
			err = p.Converse(c, o)
			if wire.KindOf(err) == wire.Internal {
				t.Errorf("%s: %v", p.Info().Name, err)
			}
			c.Close()
		}
	})
}
