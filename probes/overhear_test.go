package probes_test

import (
	"testing"

	"herald/probes"
	"herald/wire"
)

// What servers say to an HTTP request. Those marked "seen" were heard from the server itself
// (Debian bookworm); the others stand in the protocol's documentation.
var overheard = []struct {
	probe  string // "" where the words are nobody's
	least  probes.Likeness
	answer string
}{
	{"redis", probes.Sure, `-ERR wrong number of arguments for 'get' command\r\n`},
	{"redis", probes.Sure, `-ERR unknown command 'HELP', with args beginning with: \r\n`},                                                                   // seen, to HELP: Redis 7.0.15
	{"redis", probes.Sure, `-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user.\r\n`}, // seen: Redis 7.0.15
	{"redis", probes.Sure, `-NOAUTH Authentication required.\r\n`},                                                                                          // seen: Redis 7.0.15
	{"memcached", probes.Likely, `ERROR\r\nERROR\r\nERROR\r\n`},
	{"mongodb", probes.Sure, `HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 85\r\n\r\nIt looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n`},
	{"mysql", probes.Sure, `E\x00\x00\x00\xffj\x04Host '172.17.0.1' is not allowed to connect to this MariaDB server`},                                                                                                                                                 // seen: MariaDB 10.11.19
	{"xmpp", probes.Sure, `<?xml version='1.0'?><stream:stream id='' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en'><stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`}, // seen: Prosody 0.12.3
	{"xmpp", probes.Sure, `<?xml version='1.0'?><stream:stream id='13308208931507267699' version='1.0' xml:lang='en' xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'><stream:error>`},                                                            // seen: ejabberd 23.01
	{"rsync", probes.Sure, `@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n@ERROR: protocol startup error\n`},                                                                                                                                                               // seen: rsync 3.5.0
	{"telnet", probes.Sure, `\xff\xfb%\xff\xfb&\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'\xff\xfd$`},                                                                                                                                                                      // seen: GNU inetutils telnetd 2.4
	{"finger", probes.Likely, `finger: GET: no such user.\r\nfinger: /: no such user.\r\nfinger: HTTP/1.1: no such user.\r\n`},                                                                                                                                         // seen: netkit fingerd 0.17
	{"echo", probes.Likely, `GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`},                                                                                                                                                                          // seen: xinetd 2.3.15
	{"daytime", probes.Possible, `22 NOV 2026 22:44:56 UTC\r\n`},                                                                                                                                                                                                       // seen: xinetd 2.3.15
	{"ident", probes.Sure, `0, 0 : ERROR : INVALID-PORT\r\n`},
	{"svn", probes.Sure, `( success ( 2 2 ( ) ( edit-pipeline svndiff1 accepts-svndiff2 absent-entries commit-revprops depth log-revprops atomic-revprops partial-replay inherited-props ephemeral-txnprops file-revs-reverse list ) ) ) `}, // seen: Subversion 1.14.2
	{"nats", probes.Sure, `INFO {"server_id":"NBXQ","version":"2.9.10","proto":1,"go":"go1.19.8","host":"0.0.0.0","port":4222}\r\n-ERR 'Unknown Protocol Operation'\r\n`},                                                                   // seen: nats-server 2.9.10
	{"irc", probes.Likely, `ERROR :"Oops, HTTP request received? This is IRC!"\r\n`},                                                                                                                                                        // seen: ngIRCd 26.1
	{"irc", probes.Sure, `:irc.local NOTICE * :*** Looking up your hostname...\r\n`},                                                                                                                                                        // seen: InspIRCd 3.15.0
	{"irc", probes.Sure, `:irc.example.net 451 * GET :You have not registered.\r\n`},
	{"vnc", probes.Sure, `RFB 003.008\n`}, // seen: TigerVNC 1.12.0
	{"rtsp", probes.Sure, `RTSP/1.0 400 Bad Request\r\nServer: x\r\n\r\n`},
	{"sip", probes.Sure, `SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/TCP 192.0.2.1\r\n\r\n`},
	{"beanstalkd", probes.Sure, `UNKNOWN_COMMAND\r\nUNKNOWN_COMMAND\r\n`},                                                            // seen: beanstalkd 1.12
	{"gearman", probes.Sure, `ERR UNKNOWN_COMMAND Unknown+server+commandGET\r\nERR UNKNOWN_COMMAND Unknown+server+commandHost:\r\n`}, // seen: gearmand 1.1.20
	{"amqp", probes.Sure, `AMQP\x00\x00\x09\x01`},                                                                                    // seen: RabbitMQ 3.10.8
	{"amqp", probes.Sure, `AMQP\x03\x01\x00\x00`},
	{"cvs", probes.Sure, `cvs [pserver aborted]: bad auth protocol start: GET / HTTP/1.1\r\n`},                                   // seen: CVS 1.12.13
	{"gopher", probes.Sure, `3Error: File or directory not found! (null)\tTITLE\tnull.host\t1\r\n.\r\n`},                         // seen: Gophernicus 3.1.1
	{"drda", probes.Sure, `\x00\x1b\xd0\x02\x00\x01\x00\x15\x12L\x00\x06\x11I\x00\x08\x00\x06\x00\x0c\x00\x00\x00\x05\x11J\x03`}, // seen: Apache Derby 10.14.2.0
	{"git", probes.Sure, `002bERR access denied or repository not exported`},
	{"stomp", probes.Sure, `ERROR\ncontent-type:text/plain\nmessage:Unknown STOMP action\n\nGET\n\x00`},
	{"ldap", probes.Sure, `0\x24\x02\x01\x00x\x1f\n\x01\x02\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036`},
	{"dict", probes.Sure, `220 more.zoo.example dictd 1.13.0/rf on Linux 6.1.0 <auth.mime> <1.15446.1795387958@more.zoo.example>\r\n500 unknown command\r\n`}, // seen: dictd 1.13.0
	{"postgresql", probes.Sure, `E\x00\x00\x00\x5aSFATAL\x00VFATAL\x00C0A000\x00Munsupported frontend protocol 255.0: server supports 3.0 \x00FL\x00R\x00\x00`},
	{"lpd", probes.Likely, `host lpd: illegal service request\n`},
	{"ami", probes.Sure, `Asterisk Call Manager/5.0.2\r\nResponse: Error\r\nMessage: Missing action in request\r\n\r\n`},
	{"cassandra", probes.Sure, `\x84\x00\x00\x00\x00\x00\x00\x004\x00\x00\x00\n\x00.Invalid or unsupported protocol version (71); x`},

	{"", 0, `HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n`},
	{"", 0, `HTTP/1.1 404 Not Found\r\nServer: SIP/2.0 look-alike\r\n\r\nGET / HTTP/1.1 was not found`},
	{"", 0, `500 Syntax error, command unrecognized\r\n`},
	{"", 0, `-ERR Unknown command.\r\n`}, // POP3
	{"", 0, `\x15\x03\x01\x00\x02\x02\x16`},
	{"", 0, `?\r\n`},
}

func TestAnswersToHTTPAreOverheard(t *testing.T) {
	for _, test := range overheard {
		answer, err := wire.Unescape(test.answer)
		if err != nil {
			t.Fatal(err)
		}
		best, like := "", probes.Unlike
		for _, p := range probes.All() {
			l := p.Recognize(answer)
			if o, ok := p.(probes.Overhearer); ok {
				l = max(l, o.Overhear("http", answer))
			}
			if name := p.Info().Name; l > like && !ofText[name] {
				best, like = name, l
			}
		}
		if test.probe == "" {
			if like >= probes.Likely {
				t.Errorf("%s: taken for %s (%d)", test.answer, best, like)
			}
			continue
		}
		if best != test.probe || like < test.least {
			t.Errorf("%s: taken for %q (%d), not for %s", test.answer, best, like, test.probe)
		}
	}
}

// What a bare line, and a ClientHello, are answered.
func TestOtherAnswersAreOverheard(t *testing.T) {
	for _, test := range []struct {
		asked  string
		probe  probes.Probe
		answer string
		likely bool
	}{
		{"line", probes.Memcached, "ERROR\r\n", true}, // seen: memcached 1.6.18
		{"http", probes.Memcached, "ERROR\r\n", false},
		{"line", probes.Finger, "finger: HELP: no such user.\r\n", true}, // seen: netkit fingerd 0.17
		{"http", probes.Finger, "HTTP/1.1 404 GET not found\r\n", false},
		{"line", probes.Echo, "HELP\r\n", true}, // seen: xinetd 2.3.15
		{"line", probes.Echo, "HELP\r\nHELP\r\n", false},
		{"tls", probes.Echo, "\x16\x03\x01\x00.\x01\x00\x00*\x03\x03", true}, // seen: xinetd 2.3.15
		{"tls", probes.Echo, "\x16\x03\x03\x00.\x02\x00\x00*\x03\x03", false},
		{"line", probes.Redis, "-ERR unknown command\r\n", false}, // POP3
	} {
		like := test.probe.(probes.Overhearer).Overhear(test.asked, []byte(test.answer))
		if (like >= probes.Likely) != test.likely {
			t.Errorf("%s to %s: taken for %s with %d", test.answer, test.asked, test.probe.Info().Name, like)
		}
	}
}

// ofText are the probes with tables of their own, which take the answers above that are
// theirs: HTTP, mail, news and file transfer.
var ofText = map[string]bool{"http": true, "http-proxy": true, "tls": true, "smtp": true, "lmtp": true, "ftp": true, "pop3": true, "imap": true, "nntp": true, "sieve": true}
