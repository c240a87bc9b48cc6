package scan

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"herald/wire"
)

// answer serves a protocol of lines: the greeting, and for each command the reply under
// its first word, or that under "".
func answer(greeting string, replies map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		c.Write([]byte(greeting))
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			word, _, _ := strings.Cut(lines.Text(), " ")
			reply, ok := replies[word]
			if !ok {
				reply = replies[""]
			}
			if _, err := c.Write([]byte(reply)); err != nil || word == "QUIT" {
				return
			}
		}
	}
}

// The protocols that begin alike are told apart by what they answer.
func TestFamilyIsSettledByDialogue(t *testing.T) {
	for _, test := range []struct {
		what     string
		greeting string
		replies  map[string]string
		protocol string
	}{
		{"FTP that wants a login", "220 hello\r\n", map[string]string{"": "530 Please login.\r\n", "QUIT": "221 Bye.\r\n"}, "ftp"},
		{"FTP that knows little", "220 hello\r\n", map[string]string{"": "500 What?\r\n", "NOOP": "200 OK\r\n", "QUIT": "221 Bye.\r\n"}, "ftp"},
		{"SMTP", "220 hello\r\n", map[string]string{"": "500 What?\r\n", "NOOP": "250 OK\r\n", "EHLO": "250 you\r\n", "QUIT": "221 Bye.\r\n"}, "smtp"},
		{"SMTP that knows little", "220 hello\r\n", map[string]string{"": "502 What?\r\n", "HELO": "250 you\r\n", "QUIT": "221 Bye.\r\n"}, "smtp"},
		{"LMTP", "220 hello\r\n", map[string]string{"": "500 What?\r\n", "LHLO": "250 you\r\n", "QUIT": "221 Bye.\r\n"}, "lmtp"},
		{"LMTP that greets by a domain", "220 store.example.org ready\r\n", map[string]string{"": "500 What?\r\n", "LHLO": "250 you\r\n", "QUIT": "221 Bye.\r\n"}, "lmtp"},
		{"NNTP", "200 hello\r\n", map[string]string{"": "500 What?\r\n", "HELP": "100 Commands\r\n.\r\n", "QUIT": "205 Bye.\r\n"}, "nntp"},
		{"one answer to everything", "220 hello\r\n", map[string]string{"": "220 hello\r\n"}, ""},
		{"POP3", "+OK\r\n", map[string]string{"": "-ERR\r\n", "QUIT": "+OK\r\n"}, "pop3"},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := lookInMemory(t, answer(test.greeting, test.replies))
			if s.Protocol != test.protocol || s.Confirmed != (test.protocol != "") {
				t.Errorf("told as %q, confirmed %v; steps %v", s.Protocol, s.Confirmed, s.Steps)
			}
			if s.Connections > 2 && s.Confirmed {
				t.Errorf("%d connections; steps %v", s.Connections, s.Steps)
			}
		})
	}
}

// Servers that look up their client's name greet after a question was already asked. Their
// greeting is no answer to it, although it has no word of their protocol.
func TestLateGreetingIsNoAnswer(t *testing.T) {
	for _, test := range []struct {
		greeting string
		replies  map[string]string
		protocol string
	}{
		{"220 hello\r\n", map[string]string{"": "530 Please login.\r\n", "QUIT": "221 Bye.\r\n"}, "ftp"},
		{"220 hello\r\n", map[string]string{"": "500 What?\r\n", "EHLO": "250 you\r\n", "QUIT": "221 Bye.\r\n"}, "smtp"},
		{"200 hello\r\n", map[string]string{"": "500 What?\r\n", "HELP": "100 Commands\r\n.\r\n", "QUIT": "205 Bye.\r\n"}, "nntp"},
		{"+OK hello\r\n", map[string]string{"": "-ERR\r\n", "QUIT": "+OK\r\n"}, "pop3"}, // known by its first word
	} {
		t.Run(test.protocol, func(t *testing.T) {
			serve := answer(test.greeting, test.replies)
			s := lookInMemory(t, func(c net.Conn) {
				c.SetReadDeadline(time.Now().Add(600 * time.Millisecond))
				io.Copy(io.Discard, c)
				c.SetReadDeadline(time.Time{})
				serve(c)
			})
			if s.Greeting != 600*time.Millisecond {
				t.Errorf("it greets after %s", s.Greeting)
			}
			if s.Protocol != test.protocol || !s.Confirmed || s.Connections > 3 {
				t.Errorf("told as %q, confirmed %v, after %d connections; steps %v", s.Protocol, s.Confirmed, s.Connections, s.Steps)
			}
		})
	}
}

// An alert is an answer in TLS: nothing more is asked in the clear, and the endpoint is said to
// speak TLS. So is one that completes the handshake and says nothing inside.
func TestTLSThatSaysNothing(t *testing.T) {
	alert := func(c net.Conn) {
		words := make([]byte, 4096)
		if c.Read(words); words[0] != 22 {
			return // no handshake (RFC 8446, 5.1)
		}
		go io.Copy(io.Discard, c)
		c.Write([]byte{21, 3, 3, 0, 2, 2, 112}) // unrecognized_name (RFC 6066, 3)
	}
	s := lookInMemory(t, alert)
	if s.Verdict != Unknown || s.Security != wire.TLS || s.Failure == nil || s.Failure.Kind != wire.TLSAlert || s.Connections != 2 {
		t.Errorf("an alert: %s, %q, %v after %d connections; steps %v", s.Verdict, s.Security, s.Failure, s.Connections, s.Steps)
	}
	x := wire.Exchange{Events: []wire.Event{{Mark: '!', TLS: &wire.TLSState{Version: tls.VersionTLS13}}}, End: "read closed"}
	o := Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x}}}}}
	s = look(t, o, Target{Host: "127.0.0.1", Addr: netip.MustParseAddr("127.0.0.1"), Port: 20443, Security: wire.TLS})
	if s.Verdict != Unknown || s.Security != wire.TLS {
		t.Errorf("silence inside: %s, %q, %v; steps %v", s.Verdict, s.Security, s.Failure, s.Steps)
	}
}

// A refusal that could be FTP's as well as SMTP's is told as neither, but where the port
// promises one of them.
func TestRefusalOfTheFamily(t *testing.T) {
	for port, want := range map[uint16]string{20021: "", 21: "ftp", 25: "smtp"} {
		x := wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte("421 Try again later\r\n")}}, End: "read closed"}
		o := Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x}}}}}
		s := look(t, o, Target{Host: "127.0.0.1", Addr: netip.MustParseAddr("127.0.0.1"), Port: port})
		if s.Protocol != want || !s.Declined || s.Connections != 1 {
			t.Errorf("port %d: told as %q, declined %v, after %d connections; steps %v", port, s.Protocol, s.Declined, s.Connections, s.Steps)
		}
	}
}

// A data listener of FTP pushes its bytes and closes: a listing is known anywhere, a file
// where such connections are at home.
func TestDataListener(t *testing.T) {
	for _, test := range []struct {
		what, pushed string
		port         uint16
		protocol     string
	}{
		{"a listing", "drwxr-xr-x   2 ftp ftp 4096 Nov 22 22:13 pub\r\n", 20021, "ftp-data"},
		{"a file on port 20", "\x89PNG\r\n\x1a\nand so on", 20, "ftp-data"},
		{"a file anywhere", "\x89PNG\r\n\x1a\nand so on", 20021, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			x := wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte(test.pushed)}}, End: "read closed"}
			o := Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x, x, x}}}}}
			s := look(t, o, Target{Host: "127.0.0.1", Addr: netip.MustParseAddr("127.0.0.1"), Port: test.port})
			if s.Protocol != test.protocol || s.Connections != 1 {
				t.Errorf("told as %q after %d connections; steps %v", s.Protocol, s.Connections, s.Steps)
			}
		})
	}
}

// Servers that begin with TLS say nothing in the clear, and complain of a question in
// words that are nobody's protocol. What runs inside is found all the same.
func TestComplaintInTheClearLeadsToTLS(t *testing.T) {
	tr, err := wire.ReadTranscript("here", strings.NewReader(`
# INN 2.7.1 and vsftpd 3.0.3 do so
> an HTTP request
< 400 Encrypted TLS connection failed\r\n
. read closed
! TLS 1.3 TLS_AES_128_GCM_SHA256
< 200 news.example.org NNTP server ready\r\n
> CAPABILITIES\r\n
< 101 list\r\n
< VERSION 2\r\n
< .\r\n
> HELP\r\n
> QUIT\r\n
< 100 help\r\n
< .\r\n
< 205 bye\r\n
. left
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: tr, AnyWords: true}}}
	s := look(t, o, Target{Host: "127.0.0.1", Addr: netip.MustParseAddr("127.0.0.1"), Port: 20563})
	if s.Protocol != "nntp" || s.Security != wire.TLS || s.Connections != 2 {
		t.Errorf("told as %q, %s, after %d connections; steps %v", s.Protocol, s.Security, s.Connections, s.Steps)
	}
}
