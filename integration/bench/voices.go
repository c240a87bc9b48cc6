//go:build linux

package main

import (
	"strconv"
	"strings"
)

// voice is how one server talks: its greeting, and its answer to each command by the command's
// first word in upper case; "" answers any other. {host} stands for a name that differs from
// address to address, {tag} for the tag of an IMAP command. The texts are those of the servers'
// sources and of our recordings (probes/testdata), shortened where nothing depends on it.
type voice struct {
	protocol string
	product  string // what must be found
	version  string // "" where the voice does not say
	greeting string
	answers  map[string]string
	closes   string // the command after which the server closes
	starts   string // the command after which TLS begins, "" for none
}

const (
	web    = "http"
	page   = "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome</title>\n</head>\n<body>\n<h1>Welcome!</h1>\n<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.</p>\n<p>Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris.</p>\n</body>\n</html>\n"
	proxy  = "http-proxy"
	silent = "silent" // accepts and says nothing
	closes = "closes" // accepts and closes
	noise  = "garbage"
)

var voices = []voice{
	smtpVoice("Postfix", "", "220 {host} ESMTP Postfix (Debian/GNU)\n", "250-{host}\n250-PIPELINING\n250-SIZE 10240000\n250-VRFY\n250-ETRN\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250-SMTPUTF8\n250 CHUNKING\n", "500 5.5.2 Error: command not recognized\n", "221 2.0.0 Bye\n"),
	smtpVoice("Exim", "4.96", "220 {host} ESMTP Exim 4.96 Sun, 22 Nov 2026 20:00:00 +0000\n", "250-{host} Hello client [127.0.0.1]\n250-SIZE 52428800\n250-8BITMIME\n250-PIPELINING\n250-PIPECONNECT\n250-CHUNKING\n250-PRDR\n250 HELP\n", "214-Commands supported:\n214 AUTH HELO EHLO MAIL RCPT DATA BDAT NOOP QUIT RSET HELP\n", "221 {host} closing connection\n"),
	smtpVoice("Sendmail", "8.17.1.9", "220 {host} ESMTP Sendmail 8.17.1.9/8.17.1.9/Debian-2; Sun, 22 Nov 2026 20:00:00 GMT; (No UCE/UBE) logging access from: localhost(OK)-localhost [127.0.0.1]\n", "250-{host} Hello localhost [127.0.0.1], pleased to meet you\n250-ENHANCEDSTATUSCODES\n250-PIPELINING\n250-EXPN\n250-VERB\n250-8BITMIME\n250-SIZE\n250-DSN\n250-ETRN\n250-DELIVERBY\n250 HELP\n", "214-2.0.0 This is sendmail version 8.17.1.9\n214 2.0.0 End of HELP info\n", "221 2.0.0 {host} closing connection\n"),
	ftpVoice("vsftpd", "3.0.3", "220 (vsFTPd 3.0.3)\n", "211-Features:\n EPRT\n EPSV\n MDTM\n PASV\n REST STREAM\n SIZE\n TVFS\n211 End\n", "530 Please login with USER and PASS.\n"),
	ftpVoice("ProFTPD", "1.3.8", "220 ProFTPD 1.3.8 Server (Debian) [::ffff:127.0.0.1]\n", "211-Features:\n CLNT\n EPRT\n EPSV\n HOST\n MDTM\n MFF modify;UNIX.group;UNIX.mode;\n REST STREAM\n SIZE\n TVFS\n UTF8\n211 End\n", "530 Please login with USER and PASS\n"),
	ftpVoice("Pure-FTPd", "", "220---------- Welcome to Pure-FTPd [privsep] [TLS] ----------\n220-You are user number 1 of 50 allowed.\n220-Local time is now 20:00. Server port: 21.\n220-This is a private system - No anonymous login\n220 You will be disconnected after 15 minutes of inactivity.\n", "211-Extensions supported:\n UTF8\n EPRT\n IDLE\n MDTM\n SIZE\n MFMT\n REST STREAM\n MLST type*;size*;sizd*;modify*;UNIX.mode*;UNIX.uid*;UNIX.gid*;unique*;\n MLSD\n211 End.\n", "530 You aren't logged in\n"),
	pop3Voice("Dovecot", "+OK Dovecot (Debian) ready.\n", "+OK\nCAPA\nTOP\nUIDL\nRESP-CODES\nPIPELINING\nAUTH-RESP-CODE\nUSER\nSASL PLAIN\n.\n", "+OK Logging out\n"),
	pop3Voice("Courier Mail Server", "+OK Hello there.\n", "+OK Here's what I can do:\nTOP\nUSER\nLOGIN-DELAY 10\nPIPELINING\nUIDL\nIMPLEMENTATION Courier Mail Server\n.\n", "+OK Better luck next time.\n"),
	imapVoice("Dovecot", "", "* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN] Dovecot (Debian) ready.\n", "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN", `("name" "Dovecot")`, "Pre-login capabilities listed, post-login capabilities have more."),
	imapVoice("Cyrus IMAP", "3.6.1", "* OK [CAPABILITY IMAP4rev1 LITERAL+ ID ENABLE AUTH=PLAIN SASL-IR] {host} Cyrus IMAP 3.6.1-Debian-3.6.1-4 server ready\n", "IMAP4rev1 LITERAL+ ID ENABLE AUTH=PLAIN SASL-IR", "NIL", "Completed"),
	{protocol: "nntp", product: "INN", version: "2.7.1", greeting: "200 {host} InterNetNews server INN 2.7.1 ready (transit mode)\n", closes: "QUIT", answers: map[string]string{
		"CAPABILITIES": "101 Capability list:\nVERSION 2\nIMPLEMENTATION INN 2.7.1\nREADER\nPOST\nLIST ACTIVE NEWSGROUPS OVERVIEW.FMT\nOVER\nXPAT\n.\n",
		"HELP":         "100 Legal commands\n  ARTICLE [message-ID|number]\n  AUTHINFO USER name|PASS password\n  BODY [message-ID|number]\n  CAPABILITIES [keyword]\n  DATE\n.\n",
		"DATE":         "111 20261122200000\n", "MODE": "200 {host} InterNetNews NNRP server INN 2.7.1 ready (posting ok)\n",
		"LIST": "215 Order of fields in overview database\nSubject:\nFrom:\nDate:\nMessage-ID:\nReferences:\nBytes:\nLines:\n.\n",
		"QUIT": "205 Bye!\n", "": "500 What?\n",
	}},
	webVoice(web, "nginx", "1.22.1", "HTTP/1.1 200 OK\nServer: nginx/1.22.1\nDate: Sun, 22 Nov 2026 20:00:00 GMT\nContent-Type: text/html\nContent-Length: {length}\nLast-Modified: Thu, 22 Dec 2022 08:52:00 GMT\nConnection: keep-alive\nETag: \"63a41ab0-267\"\nAccept-Ranges: bytes\n\n"),
	webVoice(web, "Apache httpd", "2.4.57", "HTTP/1.1 200 OK\nDate: Sun, 22 Nov 2026 20:00:00 GMT\nServer: Apache/2.4.57 (Debian)\nLast-Modified: Wed, 21 Jun 2023 08:15:55 GMT\nETag: \"29cd-5fe9f3b0e1c40\"\nAccept-Ranges: bytes\nContent-Length: {length}\nVary: Accept-Encoding\nContent-Type: text/html\n\n"),
	webVoice(web, "lighttpd", "1.4.69", "HTTP/1.1 200 OK\nContent-Type: text/html\nAccept-Ranges: bytes\nContent-Length: {length}\nDate: Sun, 22 Nov 2026 20:00:00 GMT\nServer: lighttpd/1.4.69\n\n"),
	squidVoice(),
	{protocol: "smtp", product: "Postfix", starts: "STARTTLS", closes: "QUIT", greeting: "220 {host} ESMTP Postfix\n", answers: map[string]string{
		"EHLO": "250-{host}\n250-PIPELINING\n250-SIZE 10240000\n250-VRFY\n250-ETRN\n250-STARTTLS\n250-ENHANCEDSTATUSCODES\n250-8BITMIME\n250-DSN\n250 CHUNKING\n",
		"HELO": "250 {host}\n", "STARTTLS": "220 2.0.0 Ready to start TLS\n", "QUIT": "221 2.0.0 Bye\n", "": "500 5.5.2 Error: command not recognized\n",
	}},
	{protocol: silent}, {protocol: closes, closes: "*"},
	{protocol: noise, greeting: "\x00\x17\xfe\x01\x9a\xc3\xff\x80\x00\x00\x01\x7f\n"},
}

func smtpVoice(product, version, greeting, ehlo, help, quit string) voice {
	return voice{protocol: "smtp", product: product, version: version, greeting: greeting, closes: "QUIT", answers: map[string]string{
		"EHLO": ehlo, "HELO": "250 {host}\n", "HELP": help, "QUIT": quit, "": "500 5.5.1 Command unrecognized\n",
	}}
}

func ftpVoice(product, version, greeting, feat, login string) voice {
	return voice{protocol: "ftp", product: product, version: version, greeting: greeting, closes: "QUIT", answers: map[string]string{
		"FEAT": feat, "QUIT": "221 Goodbye.\n", "": login,
	}}
}

func pop3Voice(product, greeting, capa, quit string) voice {
	return voice{protocol: "pop3", product: product, greeting: greeting, closes: "QUIT", answers: map[string]string{
		"CAPA": capa, "QUIT": quit, "": "-ERR Invalid command.\n",
	}}
}

func imapVoice(product, version, greeting, capability, id, done string) voice {
	return voice{protocol: "imap", product: product, version: version, greeting: greeting, closes: "LOGOUT", answers: map[string]string{
		"CAPABILITY": "* CAPABILITY " + capability + "\n{tag} OK " + done + "\n",
		"ID":         "* ID " + id + "\n{tag} OK ID completed.\n",
		"LOGOUT":     "* BYE Logging out\n{tag} OK Logout completed.\n", "": "{tag} BAD Error in IMAP command received by server.\n",
	}}
}

func webVoice(protocol, product, version, head string) voice {
	return voice{protocol: protocol, product: product, version: version, answers: map[string]string{"": strings.ReplaceAll(head, "{length}", strconv.Itoa(len(page))) + page}}
}

// absolute is the key of what a web voice answers to a request in absolute form, or a CONNECT.
const absolute = "absolute"

func squidVoice() voice {
	head := func(status, why string) string {
		return "HTTP/1.1 " + status + "\nServer: squid/5.7\nMime-Version: 1.0\nDate: Sun, 22 Nov 2026 20:00:00 GMT\nContent-Type: text/html;charset=utf-8\nContent-Length: {length}\nX-Squid-Error: " + why + " 0\nVary: Accept-Language\nContent-Language: en\nX-Cache: MISS from {host}\nX-Cache-Lookup: NONE from {host}:3128\nVia: 1.1 {host} (squid/5.7)\nConnection: "
	}
	v := webVoice(proxy, "Squid", "5.7", head("400 Bad Request", "ERR_INVALID_URL")+"close\n\n")
	v.answers[absolute] = webVoice(proxy, "", "", head("403 Forbidden", "ERR_ACCESS_DENIED")+"keep-alive\n\n").answers[""]
	return v
}

// place is a port and who answers there.
type place struct {
	port   int
	voices []int // an endpoint's is chosen by its address
}

// Ports beyond the usual ones.
const (
	portStartTLS = 587
	portMixed    = 7777 // of every protocol: a port that tells nothing
	portSilent   = 7778
	portCloses   = 7779
	portNoise    = 7780
	portSome     = 7781 // SMTP, but every tenth is silent
)

var places = makePlaces()

func makePlaces() []place {
	of := func(protocol string, upgrades bool) (list []int) {
		for i, v := range voices {
			if v.protocol == protocol && (v.starts != "") == upgrades {
				list = append(list, i)
			}
		}
		return list
	}
	smtp, some := of("smtp", false), []int{}
	for i := range 9 {
		some = append(some, smtp[i%len(smtp)])
	}
	// Shares as on a mixed network: a quarter web, a fifth SMTP, …
	var mixed []int
	for _, s := range []struct {
		protocol string
		share    int
	}{{web, 6}, {"smtp", 6}, {"ftp", 3}, {"imap", 2}, {"pop3", 2}, {"nntp", 1}} {
		for i := range s.share {
			list := of(s.protocol, false)
			mixed = append(mixed, list[i%len(list)])
		}
	}
	return []place{
		{21, of("ftp", false)}, {25, smtp}, {110, of("pop3", false)}, {143, of("imap", false)}, {119, of("nntp", false)},
		{80, of(web, false)}, {3128, of(proxy, false)}, {portStartTLS, of("smtp", true)}, {portMixed, mixed},
		{portSilent, of(silent, false)}, {portCloses, of(closes, false)}, {portNoise, of(noise, false)},
		{portSome, append(some, of(silent, false)...)},
	}
}

// voiceAt is the voice of the n-th address at a port.
func voiceAt(port int, n uint32) *voice {
	for _, p := range places {
		if p.port == port {
			return &voices[p.voices[int(n)%len(p.voices)]]
		}
	}
	return nil
}
