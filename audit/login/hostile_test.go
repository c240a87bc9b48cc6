package login

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"herald/audit"
	"herald/wire"
	"herald/wire/wiretest"
)

// Servers that mean ill, or are broken. None may hang, crash or bloat a check; and none may
// get a better verdict than it deserves.

// malformed are answers that fit no protocol, or one that was not asked for.
var malformed = map[string][]string{
	"imap": {
		"* FETCH\r\n", "* 1 FETCH\r\n", "* EXPUNGE\r\n", "* EXISTS\r\n", "* RECENT\r\n", "* 1 FETCH (\r\n", "* 1 FETCH (BODY[] {10}\r\n",
		"* 1 FETCH (BODY[] {99999999999999999999}\r\nx\r\n", "* 1 FETCH (FLAGS (\\Seen)) x\r\n", "* LIST\r\n", "* LIST (\\X \"/\" a\r\n", "* SEARCH x\r\n", "* STATUS\r\n",
		"* STATUS INBOX (MESSAGES x)\r\n", "* CAPABILITY\r\n", "* OK [CAPABILITY\r\n", "* 99999999999999999999999 EXISTS\r\n", "* -1 EXISTS\r\n", "* FLAGS\r\n", "* BYE\r\n",
		"*\r\n", "+\r\n", "\r\n", "T1\r\n", "T1 OK", "T99 OK\r\n", "* NAMESPACE\r\n", "* QUOTA r (STORAGE x y)\r\n", "* QUOTAROOT\r\n", "* QUOTA \"\" (((((\r\n",
		"* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 2500) + "\r\n", "* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 200000) + "\r\n", "* SEARCH" + falling(40000) + "\r\n",
		strings.Repeat("(", 60000) + "\r\n", "* " + strings.Repeat("(", 60000) + "\r\n", "\x00\xff\xfe\r\n", "* 1 FETCH (ENVELOPE ((((((\r\n", "* UNKNOWN thing\r\n",
	},
	"pop3": {
		"+OK\r\n", "+OK x\r\n", "+OK 1\r\n", "+OK -1 -1\r\n", "+OK 99999999999999999999 1\r\n", "-ERR\r\n", "-ERR [X]\r\n", "+\r\n", "\r\n", "OK\r\n", "+OK 1 1\r\nx\r\n.\r\n",
		"+OK\r\n1\r\n.\r\n", "+OK\r\nx y\r\n.\r\n", "+OK\r\n" + strings.Repeat("1 x\r\n", 20000) + ".\r\n", "\x00\r\n", "+OK\r\n..\r\n",
	},
	"ftp": {
		"257 \"\r\n", "257 \"\"\r\n", "257\r\n", "257 \"a\r\n", "227 (\r\n", "227 ()\r\n", "227 )(\r\n", "227 (1,2,3,4,5)\r\n", "227 (1,2,3,4,999,999)\r\n", "229 (|||)\r\n", "229 (|||x|)\r\n",
		"229 |||\r\n", "229 (|||99999|)\r\n", "229 (|||-1|)\r\n", "211-\r\n", "211-x\r\n 211\r\n211 \r\n", "213 x\r\n", "150\r\n", "226\r\n", "2\r\n", "999 x\r\n", "-1 x\r\n", "SSH-2.0-x\r\n", "\r\n", "\x00\r\n",
		"230-\r\n" + strings.Repeat("230-x\r\n", 30000),
	},
}

// falling are numbers with gaps, from the highest down.
func falling(n int) string {
	var b strings.Builder
	for ; n > 0; n-- {
		fmt.Fprint(&b, " ", 2*n)
	}
	return b.String()
}

// good are the answers until the one that is not.
var good = map[string]struct {
	greeting string
	answers  []string // in the order of the questions; the last is for all that follow
}{
	"imap": {"* OK\r\n", []string{"* CAPABILITY IMAP4rev1 QUOTA SPECIAL-USE\r\nT1 OK\r\n", "T2 OK [CAPABILITY IMAP4rev1 QUOTA SPECIAL-USE] in\r\n", "* 1 EXISTS\r\n* FLAGS ()\r\nT3 OK\r\n", "T4 OK\r\n", "T5 OK\r\n"}},
	"pop3": {"+OK\r\n", []string{"+OK\r\n", "+OK\r\n", "+OK 1 1\r\n", "+OK\r\n1 a\r\n.\r\n", "+OK\r\n.\r\n", "+OK\r\n"}},
	"ftp":  {"220 x\r\n", []string{"331 x\r\n", "230 x\r\n", "211 x\r\n", "200 x\r\n", "257 \"/\"\r\n", "229 (|||1|)\r\n", "227 (127,0,0,1,0,1)\r\n", "227 (127,0,0,1,0,1)\r\n", "500 x\r\n"}},
}

// goesWrong answers well until the nth question, 0 for the greeting.
func goesWrong(protocol string, n int, wrong func(net.Conn)) func(net.Conn) {
	g := good[protocol]
	return func(c net.Conn) {
		if n == 0 {
			wrong(c)
			return
		}
		asked := 0
		talk(c, g.greeting, func(string) string {
			asked++
			if asked == n {
				wrong(c)
				return ""
			}
			return g.answers[min(asked, len(g.answers))-1]
		})
	}
}

func say(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

var wrongWays = map[string]func(net.Conn){
	"silence": func(net.Conn) {},
	"closing": func(c net.Conn) { c.Close() },
	"a line without end": func(c net.Conn) {
		for line := bytes.Repeat([]byte("x"), 64<<10); ; {
			if _, err := c.Write(line); err != nil {
				return
			}
		}
	},
	"lines without end": func(c net.Conn) {
		for line := bytes.Repeat([]byte("* 1 x\r\n"), 8<<10); ; {
			if _, err := c.Write(line); err != nil {
				return
			}
		}
	},
}

func TestHostileServers(t *testing.T) {
	hostile := wire.DefaultLimits
	for protocol, lines := range malformed {
		ways := map[string]func(net.Conn){}
		for _, line := range lines {
			ways[wire.Escape([]byte(line[:min(len(line), 40)]))] = say(line)
		}
		for name, way := range wrongWays {
			ways[name] = way
		}
		meet := func(t *testing.T, name string, n int, way func(net.Conn)) {
			serve := goesWrong(protocol, n, way)
			network := wiretest.Net(func(e wire.Endpoint) func(net.Conn) {
				if e.Addr != home {
					return nil // there are no connections for data
				}
				return serve
			})
			l := Login{ID: "x", Protocol: protocol, Security: wire.Plain, Upload: protocol == "ftp"}
			began := time.Now()
			r := Try(t.Context(), wire.Caller{Transport: network, Limits: hostile}, wire.Endpoint{Addr: home}, l, alice, nil)
			if took := time.Since(began); took > hostile.Whole+time.Second {
				t.Errorf("%s at question %d: %v", name, n, took)
			}
			if len(r.Steps) == 0 || len(r.Transcript) > 8*hostile.Bytes {
				t.Errorf("%s at question %d: %d steps, %d bytes of transcript", name, n, len(r.Steps), len(r.Transcript))
			}
			if n < 2 && slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Kind == "mailbox" && s.State == audit.Pass }) && name == "silence" {
				t.Errorf("%s at question %d: the mailbox is said to open", name, n)
			}
			if name == "silence" && !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.State == audit.Unknown || s.State == audit.Fail }) && n < len(good[protocol].answers)-1 {
				t.Errorf("%s at question %d: all is said to be well: %+v", name, n, r.Steps)
			}
		}
		t.Run(protocol, func(t *testing.T) {
			for n := range len(good[protocol].answers) + 1 {
				synctest.Test(t, func(t *testing.T) {
					var all sync.WaitGroup
					for name, way := range ways {
						all.Go(func() { meet(t, name, n, way) })
					}
					all.Wait()
					time.Sleep(wiretest.Longest)
				})
			}
		})
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if most := uint64(256 << 20); m.HeapInuse > most {
		t.Errorf("%d bytes in use", m.HeapInuse)
	}
}

// A library that comes to no end is not called again, and what it hears is not read beside it.
func TestStuckLibraryIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller := wire.Caller{Transport: wiretest.Only(func(c net.Conn) { io.Copy(c, c) })}
		c, err := caller.Open(t.Context(), wire.Endpoint{Addr: home})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{caller: caller, c: c}
		lib, let := c.Conn(nil), make(chan struct{})
		err = s.guard(func() error {
			io.WriteString(lib, "word")
			_, err := io.ReadFull(lib, make([]byte, 4))
			<-let
			return err
		})
		if !errors.Is(err, ErrStuck) || len(s.heard(0)) != 0 {
			t.Errorf("%v, and %q is heard", err, s.heard(0))
		}
		if err := s.guard(func() error { t.Error("it is called again"); return nil }); !errors.Is(err, ErrStuck) {
			t.Error(err)
		}
		close(let)
		c.Close()
		time.Sleep(wiretest.Longest)
	})
}

// FuzzTry: whatever a server says, to whoever logs in.
func FuzzTry(f *testing.F) {
	for protocol, g := range good {
		f.Add(slices.Index(Protocols, protocol), g.greeting+strings.Join(g.answers, ""))
		for _, line := range malformed[protocol] {
			f.Add(slices.Index(Protocols, protocol), g.greeting+line)
		}
	}
	f.Add(slices.Index(Protocols, "smtp"), "220 x\r\n250-x\r\n250 AUTH PLAIN\r\n235 x\r\n")
	f.Add(slices.Index(Protocols, "nntp"), "200 x\r\n381 x\r\n281 x\r\n")
	f.Add(slices.Index(Protocols, "http"), "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic realm=x\r\n\r\n")
	f.Add(slices.Index(Protocols, "proxy"), "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=x\r\n\r\n")
	f.Fuzz(func(t *testing.T, which int, words string) {
		if which < 0 || len(words) > 1<<16 {
			return
		}
		x := wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte(words)}}, End: "read closed"}
		played := &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x, x, x}}, AnyWords: true}
		caller := wire.Caller{Transport: played, Limits: patient}
		l := Login{ID: "x", Protocol: Protocols[which%len(Protocols)], Security: wire.Plain, Upload: true, Connect: "example.org:1"}
		began := time.Now()
		r := Try(t.Context(), caller, wire.Endpoint{Addr: home}, l, alice, nil)
		if took := time.Since(began); took > patient.Whole/2 {
			t.Errorf("%v", took)
		}
		if len(r.Steps) == 0 {
			t.Error("no step")
		}
		for _, s := range r.Steps {
			if slices.IndexFunc(Kinds, func(k audit.Kind) bool { return k.ID == s.Kind }) < 0 {
				t.Errorf("a finding of no kind: %+v", s)
			}
			if strings.ContainsAny(s.Seen, "\x00\x1b\r\n") {
				t.Errorf("raw bytes: %q", s.Seen)
			}
		}
		for _, secret := range alice.Secrets() {
			if strings.Contains(r.Transcript, string(secret)) {
				t.Error("the password is in the record")
			}
		}
	})
}

// Whatever a file says of logins: it is refused with its place, or read.
func FuzzSection(f *testing.F) {
	f.Add("version: 1\nlogins:\n  checks: [{id: a, at: \"a.test:993\", protocol: imap, security: tls, credentials: alice}]\n")
	f.Add("version: 1\nlogins: {credentials_file: x.yaml, checks: [{id: a, at: \"[::1]:21\", protocol: ftp, security: plain, credentials: x, upload: true, active: true, expect: refused}]}\n")
	f.Add("version: 1\nlogins: [checks]\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/") {
			return // no file of this machine is read
		}
		_, err := audit.Parse("a.yaml", strings.NewReader(text), map[string]audit.Section{Name: Section(func(string) string { return "x" })})
		if err != nil && !strings.HasPrefix(err.Error(), "a.yaml:") {
			t.Errorf("an error without its file: %v", err)
		}
	})
}
