package wiretest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"herald/wire"
)

// Servers are all of them.
func Servers() []Server {
	return slices.Concat(talkers(), familiar(), loops(), webs(), liars(), handshakers())
}

// hold waits until the client goes.
func hold(c net.Conn) { io.Copy(io.Discard, c) }

// say sends words and waits until the client goes.
func say(words string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, words); hold(c) }
}

// push sends words and closes.
func push(words string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, words) }
}

// endless sends a beginning, and then the same again and again.
func endless(begin, again string) func(net.Conn) {
	piece := []byte(strings.Repeat(again, max(1, 16<<10/len(again))))
	return func(c net.Conn) {
		io.WriteString(c, begin)
		for sent := 0; sent < Most; sent += len(piece) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
}

// drip sends a piece at a time, and a pause after each.
func drip(piece string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for range Longest / pause {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
			time.Sleep(pause) // a server's slowness is what is tested; ours is bounded by limits
		}
	}
}

// reply greets, and answers each line of the client.
func reply(greeting string, answer func(line string) string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, greeting)
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			if _, err := io.WriteString(c, answer(lines.Text())); err != nil {
				return
			}
		}
	}
}

// ResetAfter says so many bytes of the words, then resets the connection.
func ResetAfter(words string, n int) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, words[:n])
		abrupt(c)
	}
}

// talkers say too little, too much, or nothing.
func talkers() []Server {
	greeting := "220 mx.example.org ESMTP\r\n"
	return []Server{
		{Name: "accepts, then nothing", Serve: hold, Reading: wire.Timeout},
		{Name: "closes at once", Serve: func(net.Conn) {}, Reading: wire.Closed},
		{Name: "three bytes", Serve: say("220"), Reading: wire.Timeout},
		{Name: "132 bytes", Serve: say(strings.Repeat("220-x ", 22)), Reading: wire.Timeout},
		{Name: "a line end alone", Serve: say("\n"), Reading: wire.Timeout},
		{Name: "an endless line", Serve: endless("220 ", "a"), Reading: wire.Limit},
		{Name: "an endless line of NUL", Serve: endless("", "\x00"), Reading: wire.Limit},
		{Name: "an endless line of FF", Serve: endless("", "\xff"), Reading: wire.Limit},
		{Name: "endless lines", Serve: endless("", "220-endless\r\n"), Reading: wire.Limit},
		{Name: "endless empty lines", Serve: endless("", "\n"), Reading: wire.Limit},
		{Name: "a byte now and then", Serve: drip("2", 5*time.Millisecond), Reading: wire.Timeout},
		{Name: "a line now and then", Slow: true, Serve: drip("220-wait\r\n", 5*time.Millisecond), Reading: wire.Limit},
		{Name: "half a character", Serve: push("220 caf\xc3"), Reading: wire.Closed},
		{Name: "NULs", Serve: push("220 \x00\x00\x00\r\n" + strings.Repeat("\x00", 300)), Reading: wire.Closed},
		{Name: "terminal escapes", Serve: push("220 \x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\n"), Reading: wire.Closed},
		{Name: "half-closes after its greeting", Reading: wire.Closed, Serve: func(c net.Conn) {
			io.WriteString(c, greeting)
			halfClose(c)
			hold(c)
		}},
		{Name: "half-closes without a word", Reading: wire.Closed, Serve: func(c net.Conn) { halfClose(c); hold(c) }},
		{Name: "never reads, its window is shut", Reading: wire.Timeout, Serve: func(c net.Conn) {
			if kernel, ok := c.(*net.TCPConn); ok {
				kernel.SetReadBuffer(1)
			}
			io.WriteString(c, greeting)
			wait(c)
		}},
		{Name: "resets at once", Serve: ResetAfter("", 0), Reading: wire.Reset},
		{Name: "resets after its greeting", Serve: ResetAfter(greeting, len(greeting)), Reading: wire.Reset},
		{Name: "says back what it hears", Serve: func(c net.Conn) { io.Copy(c, c) }, Reading: wire.Timeout},
	}
}

// wait stays without reading, until the test ends.
func wait(c net.Conn) {
	switch c := c.(type) {
	case *side:
		c.wait()
	case *net.TCPConn:
		if raw, err := c.SyscallConn(); err == nil {
			raw.Read(func(uintptr) bool { return false })
		}
	}
}

// abrupt has the connection's end be a reset.
func abrupt(c net.Conn) { c.(interface{ SetLinger(int) error }).SetLinger(0) }

// halfClose sends FIN and goes on listening.
func halfClose(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() }

// familiar speak a protocol, and abuse it.
func familiar() []Server {
	many := func(line string) string { return strings.Repeat(line, 10_000) }
	always := func(s string) func(string) string { return func(string) string { return s } }
	return []Server{
		{Name: "SMTP with 10,000 extensions", Reading: wire.Limit, Serve: reply("220 mx ESMTP\r\n", always(many("250-X-EXTENSION-OF-SOME-LENGTH parameter\r\n")+"250 HELP\r\n"))},
		{Name: "SMTP whose last line never comes", Reading: wire.Limit, Serve: reply("220 mx ESMTP\r\n", always(many("250-STARTTLS of a server without an end\r\n")))},
		{Name: "SMTP that offers STARTTLS for ever and refuses it", Reading: wire.Timeout, Serve: reply("220 mx ESMTP\r\n", func(line string) string {
			if strings.HasPrefix(line, "STARTTLS") {
				return "454 not now\r\n"
			}
			return "250-mx\r\n250 STARTTLS\r\n"
		})},
		{Name: "SMTP whose handshake is words in the clear", Reading: wire.Timeout, Serve: reply("220 mx ESMTP\r\n", func(line string) string {
			if strings.HasPrefix(line, "STARTTLS") {
				return "220 go ahead\r\n250 injected\r\n"
			}
			return "250-mx\r\n250 STARTTLS\r\n"
		})},
		{Name: "FTP with 10,000 features", Reading: wire.Limit, Serve: reply("220 FTP\r\n", always("211-x\r\n"+many(" FEATURE-OF-SOME-LENGTH;and;its;facts;\r\n")+"211 end\r\n"))},
		{Name: "IMAP with 10,000 capabilities", Reading: wire.Limit, Serve: func(c net.Conn) {
			list := "* CAPABILITY IMAP4rev1" + many(" X-CAPABILITY-OF-SOME-LENGTH") + "\r\n"
			reply("* OK IMAP4rev1\r\n", func(line string) string {
				tag, _, _ := strings.Cut(line, " ")
				return list + tag + " OK\r\n"
			})(c)
		}},
		{Name: "IMAP that never says its tag", Reading: wire.Limit, Serve: reply("* OK IMAP4rev1\r\n", always(many("* CAPABILITY IMAP4rev1 STARTTLS ID\r\n")))},
		{Name: "IMAP whose literals have no end", Reading: wire.Timeout, Serve: reply("* OK IMAP4rev1\r\n", always("* ID (\"name\" {99999999999999999999}\r\n"))},
		{Name: "POP3 with 10,000 capabilities", Reading: wire.Limit, Serve: reply("+OK\r\n", always("+OK\r\n"+many("IMPLEMENTATION of some length, again\r\n")+".\r\n"))},
		{Name: "NNTP with 10,000 capabilities", Reading: wire.Limit, Serve: reply("200 news\r\n", always("101 list\r\n"+many("VERSION 2 and words of some length\r\n")+".\r\n"))},
		{Name: "ManageSieve with 10,000 capabilities", Reading: wire.Limit, Serve: endless("\"IMPLEMENTATION\" \"x\"\r\n", "\"SIEVE\" \"fileinto reject envelope\"\r\n")},
		{Name: "SMTP's greeting, IMAP's replies", Reading: wire.Timeout, Serve: reply("220 mx ESMTP\r\n", always("* BAD what\r\nh1 OK done\r\n"))},
		{Name: "POP3's greeting, HTTP's replies", Reading: wire.Timeout, Serve: reply("+OK ready\r\n", always("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))},
		{Name: "IMAP's greeting, SMTP's replies", Reading: wire.Timeout, Serve: reply("* OK IMAP4rev1\r\n", always("500 what\r\n"))},
		{Name: "SSH's greeting, FTP's replies", Reading: wire.Timeout, Serve: reply("SSH-2.0-x\r\n", always("530 log in\r\n"))},
		{Name: "the banner of every protocol", Reading: wire.Timeout, Serve: say(EveryBanner)},
		{Name: "the banner of every protocol to any question", Reading: wire.Timeout, Serve: func(c net.Conn) {
			b := make([]byte, 4096)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				io.WriteString(c, EveryBanner)
			}
		}},
		{Name: "whatever the client's words ask for", Reading: wire.Timeout, Serve: chameleon},
	}
}

// loops speak a protocol by its rules, and would have the client go round for ever.
func loops() []Server {
	always := func(s string) func(string) string { return func(string) string { return s } }
	return []Server{
		{Name: "SMTP that offers STARTTLS inside TLS, again and again", Reading: wire.Timeout, Serve: upgrades("220 mx ESMTP\r\n", "STARTTLS", "220 go\r\n", "250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")},
		{Name: "POP3 that offers STLS inside TLS, again and again", Reading: wire.Timeout, Serve: upgrades("+OK\r\n", "STLS", "+OK go\r\n", "+OK\r\nSTLS\r\nSASL PLAIN\r\n.\r\n")},
		{Name: "IMAP that offers STARTTLS inside TLS, again and again", Reading: wire.Timeout, Serve: upgrades("* OK [CAPABILITY IMAP4rev1 STARTTLS ID] hi\r\n", "STARTTLS", "{tag} OK go\r\n", "* CAPABILITY IMAP4rev1 STARTTLS ID\r\n{tag} OK done\r\n")},
		{Name: "FTP that offers AUTH TLS inside TLS, again and again", Reading: wire.Timeout, Serve: upgrades("220 FTP\r\n", "AUTH", "234 go\r\n", "211-Features:\r\n AUTH TLS\r\n211 End\r\n")},
		{Name: "NNTP that offers STARTTLS inside TLS, again and again", Reading: wire.Timeout, Serve: upgrades("200 news\r\n", "STARTTLS", "382 go\r\n", "101 list\r\nVERSION 2\r\nREADER\r\nMODE-READER\r\nSTARTTLS\r\n.\r\n")},
		{Name: "ManageSieve that offers STARTTLS inside TLS, again and again", Reading: wire.Timeout, Serve: upgrades("\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK\r\n", "STARTTLS", "OK\r\n", "\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK\r\n")},
		{Name: "SMTP whose challenges have no end", Reading: wire.Timeout, Serve: reply("220 mx ESMTP\r\n", func(line string) string {
			if strings.HasPrefix(line, "EHLO") {
				return "250-mx\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n"
			}
			return "334 Z28gb24=\r\n"
		})},
		{Name: "SMTP that goes on with 251-", Reading: wire.Timeout, Serve: reply("220-mx ESMTP\r\n220 mx\r\n", always("250-mx\r\n251-elsewhere\r\n"))},
		{Name: "IMAP whose continuations have no end", Reading: wire.Timeout, Serve: reply("* OK IMAP4rev1\r\n", always("+ go on\r\n"))},
		{Name: "IMAP that answers with our own tag and another", Reading: wire.Timeout, Serve: reply("* OK IMAP4rev1\r\n", func(line string) string {
			tag, _, _ := strings.Cut(line, " ")
			return tag + "9 OK\r\n* CAPABILITY IMAP4rev1 ID\r\n"
		})},
		{Name: "POP3 that says +OK for ever", Reading: wire.Timeout, Serve: reply("+OK\r\n", always("+OK\r\n"))},
		{Name: "NNTP that wants MODE READER for ever", Reading: wire.Timeout, Serve: reply("200 news\r\n", always("480 first MODE READER, then log in\r\n"))},
		{Name: "FTP that is about to be ready", Reading: wire.Timeout, Serve: reply("120 in a minute\r\n", always("120 in a minute\r\n"))},
		{Name: "FTP whose preliminary replies have no end", Reading: wire.Limit, Serve: endless("220 FTP\r\n", "150 here it comes\r\n")},
	}
}

// upgrades greets and answers every line alike, but begins TLS at its command, as often as it
// is said. {tag} is the first word of the line.
func upgrades(greeting, command, agrees, answer string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, greeting)
		lines := bufio.NewReader(c)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			tag, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
			upgrade := slices.Contains(strings.Fields(strings.ToUpper(line)), command)
			words := answer
			if upgrade {
				words = agrees
			}
			if _, err := io.WriteString(c, strings.ReplaceAll(words, "{tag}", tag)); err != nil {
				return
			}
			if upgrade {
				session := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{evil()}, MinVersion: tls.VersionTLS12})
				if session.Handshake() != nil {
					return
				}
				c, lines = session, bufio.NewReader(session)
			}
		}
	}
}

// EveryBanner is what a honeypot says that wants to be everything.
const EveryBanner = "220 ftp.example.org ESMTP Postfix (vsFTPd 3.0.5)\r\nSSH-2.0-OpenSSH_9.2p1\r\n+OK Dovecot ready.\r\n" +
	"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n200 news.example.org InterNetNews ready\r\nHTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nRFB 003.008\n"

// chameleon is a honeypot that answers by the form of the question.
func chameleon(c net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		words := string(b[:n])
		answer := "500 what\r\n"
		switch first, _, _ := strings.Cut(words, " "); {
		case first == "GET" || first == "CONNECT":
			answer = "HTTP/1.1 200 OK\r\nServer: Apache\r\nContent-Length: 0\r\n\r\n"
		case first == "EHLO" || first == "HELO" || first == "LHLO":
			answer = "250 mx\r\n"
		case strings.HasPrefix(words, "\x16\x03"):
			answer = "\x15\x03\x03\x00\x02\x02\x28"
		case strings.HasPrefix(words, "\x05"):
			answer = "\x05\x00"
		case strings.HasPrefix(words, "\x00\x00\x00\x08\x04\xd2\x16\x2f"):
			answer = "S"
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// requests answers each request, when its header section has come.
func requests(c net.Conn, answer func() string) {
	b := bufio.NewReader(c)
	for {
		for {
			line, err := b.ReadString('\n')
			if err != nil {
				return
			}
			if strings.TrimRight(line, "\r\n") == "" {
				break
			}
		}
		if _, err := io.WriteString(c, answer()); err != nil {
			return
		}
	}
}

// bomb is 64 MB of zeros, compressed: members that follow each other (RFC 1952, 2.2).
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(make([]byte, 1<<20))
	w.Close()
	return strings.Repeat(b.String(), 64)
})

// webs answer HTTP.
func webs() []Server {
	http := func(words string) func(net.Conn) {
		return func(c net.Conn) { requests(c, func() string { return words }) }
	}
	once := func(begin, again string) func(net.Conn) {
		return func(c net.Conn) { c.Read(make([]byte, 4096)); endless(begin, again)(c) }
	}
	ok := "HTTP/1.1 200 OK\r\n"
	return []Server{
		{Name: "a compressed bomb that nobody asked for", Reading: wire.Timeout, Serve: func(c net.Conn) {
			b := bomb()
			http(fmt.Sprintf("%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", ok, len(b), b))(c)
		}},
		{Name: "a transfer coding of gzip", Reading: wire.Timeout, Serve: func(c net.Conn) {
			http(ok + "Transfer-Encoding: gzip, chunked\r\n\r\n10\r\n" + bomb()[:16] + "\r\n0\r\n\r\n")(c)
		}},
		{Name: "redirects to itself", Reading: wire.Timeout, Serve: http("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")},
		{Name: "redirects to itself by another name each time", Reading: wire.Timeout, Serve: func(c net.Conn) {
			where := "/"
			requests(c, func() string {
				where += "a/"
				return "HTTP/1.1 302 Found\r\nLocation: " + where + "\r\nContent-Length: 0\r\n\r\n"
			})
		}},
		{Name: "wants a login for ever", Reading: wire.Timeout, Serve: http("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nWWW-Authenticate: Basic realm=\"\x1b[2J\"\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"\", qop=\"auth\", stale=true\r\nContent-Length: 0\r\n\r\n")},
		{Name: "a proxy that wants a login for ever", Reading: wire.Timeout, Serve: http("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"a\"\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n")},
		{Name: "switches to another protocol unasked", Reading: wire.Timeout, Serve: http("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c, websocket\r\nConnection: Upgrade\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")},
		{Name: "a body coded twice", Reading: wire.Timeout, Serve: func(c net.Conn) {
			b := bomb()
			http(fmt.Sprintf("%sContent-Encoding: gzip, gzip\r\nTransfer-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", ok, len(b), b))(c)
		}},
		{Name: "endless HTTP/2 settings", Reading: wire.Limit, Serve: once("", "\x00\x00\x00\x04\x00\x00\x00\x00\x00")},
		{Name: "endless HTTP/2 pings", Reading: wire.Limit, Serve: once("\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x08\x06\x00\x00\x00\x00\x00abcdefgh")},
		{Name: "endless HTTP/2 continuations", Reading: wire.Limit, Serve: once("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88", "\x00\x00\x01\x09\x00\x00\x00\x00\x01\x88")},
		{Name: "endless fields", Reading: wire.Limit, Serve: once(ok, "X-Field: value\r\n")},
		{Name: "an endless field", Reading: wire.Limit, Serve: once(ok+"X: ", "a")},
		{Name: "endless folding", Reading: wire.Limit, Serve: once(ok+"X: a\r\n", " b\r\n")},
		{Name: "endless interim answers", Reading: wire.Limit, Serve: once("", "HTTP/1.1 100 Continue\r\n\r\n")},
		{Name: "a chunk of 2^64-1 bytes", Reading: wire.Timeout, Serve: http(ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx")},
		{Name: "a chunk of 2^63-1 bytes", Reading: wire.Limit, Serve: once(ok+"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", "a")},
		{Name: "a chunk size of 10,000 digits", Reading: wire.Limit, Serve: once(ok+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("f", 10_000)+"\r\n")},
		{Name: "endless chunks of one byte", Reading: wire.Limit, Serve: once(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n")},
		{Name: "endless trailers", Reading: wire.Limit, Serve: once(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n")},
		{Name: "a length of 10^40", Reading: wire.Timeout, Serve: http(ok + "Content-Length: 10000000000000000000000000000000000000000\r\n\r\nx")},
		{Name: "a length below zero", Reading: wire.Timeout, Serve: http(ok + "Content-Length: -1\r\n\r\nx")},
		{Name: "a body without an end", Reading: wire.Limit, Serve: once(ok+"\r\n", "<title>")},
		{Name: "fields with escapes", Reading: wire.Timeout, Serve: http(ok + "Server: \x1b[2Jnginx\r\nX\x00\u202e: \x07\r\nSet-Cookie: a\x1b=b\r\nContent-Length: 28\r\n\r\n<title>\x1b]0;owned\x07&#27;</title>")},
	}
}

// liars announce lengths that they do not keep, in protocols of bytes.
func liars() []Server {
	all := []struct{ name, words string }{
		{"length FFFFFFFF", "\xff\xff\xff\xff"},
		{"length 7FFFFFFF", "\x7f\xff\xff\xff"},
		{"length 80000000, little-endian", "\x00\x00\x00\x80"},
		{"a BER length of 2^32-1", "\x30\x84\xff\xff\xff\xff\x02\x01\x01\x61"},
		{"a BER length of 126 bytes", "\x30\xfe" + strings.Repeat("\xff", 126)},
		{"a MySQL packet of 16 MB", "\xff\xff\xff\x00\x0a8.0"},
		{"an SSH packet of 4 GB", "SSH-2.0-x\r\n\xff\xff\xff\xff\x04\x14"},
		{"an SSH packet shorter than its padding", "SSH-2.0-x\r\n\x00\x00\x00\x02\xff\x14"},
		{"a DNS message of 65,535 bytes with pointers to themselves", "\xff\xff\x00\x00\x81\x80\x00\x01\xff\xff\xff\xff\xff\xff\xc0\x0c\xc0\x0c\x00\x10\x00\x03"},
		{"a WebSocket-like frame of 2^63", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"},
		{"an AMQP frame of 4 GB", "AMQP\x00\x00\x09\x01\x01\x00\x00\xff\xff\xff\xff\x00\x0a"},
		{"a PostgreSQL message of -1 bytes", "R\xff\xff\xff\xff\x00\x00\x00\x05"},
		{"a VNC server with 255 security types", "RFB 003.008\n\xff"},
		{"an MQTT length that never ends", "\x20\xff\xff\xff\xff\xff\xff\xff\xff"},
		{"a BSON document of -1 bytes", "\xff\xff\xff\xff\x01\x00\x00\x00\x01\x00\x00\x00\xdd\x07\x00\x00"},
		{"a TPKT of 65,535 bytes", "\x03\x00\xff\xff\x02\xf0\x80"},
		{"an HTTP/2 frame of 16 MB", "\xff\xff\xff\x04\x00\x00\x00\x00\x00"},
		{"a telnet negotiation without an end", "\xff\xfa\x18\x01" + strings.Repeat("\xff\xff", 2000)},
		{"a RESP array of 10^18", "*999999999999999999\r\n$999999999999999999\r\n"},
	}
	var servers []Server
	for _, one := range all {
		servers = append(servers,
			Server{Name: one.name, Serve: say(one.words), Reading: wire.Timeout},
			Server{Name: one.name + ", when asked, and much behind it", Reading: wire.Limit, Serve: func(c net.Conn) {
				c.Read(make([]byte, 4096))
				endless(one.words, "\x01\xff\x00\x7f")(c)
			}})
	}
	return servers
}
