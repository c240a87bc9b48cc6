package mail

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-msgauth/dkim"

	"herald/audit/login"
)

// postOffice is the mail server of good.test with a mailbox: submission, exchanger, IMAP and
// POP3. A test plants a fault in one half of it.
type postOffice struct {
	config *tls.Config
	users  *imapmemserver.Server
	user   *imapmemserver.User

	refuse   map[string]string // replies of SMTP instead of its own, by command; "message" is what follows the dot
	hangs    string            // SMTP falls silent at this command
	drop     bool              // what is accepted is thrown away
	bounce   string            // what is accepted comes back with these words
	folder   string            // where mail is delivered; INBOX
	copies   int               // how often
	alter    func([]byte) []byte
	unsigned bool
	hop      string // the Received field's words; ESMTPSA and nobody's address
	caps     imap.CapSet
	wrap     func(imapserver.Session) imapserver.Session
	popOnly  bool                // nothing is delivered to where IMAP looks
	popDoes  func(string) string // replies of POP3 instead of its own; "" leaves its own
	popLies  bool                // all messages have one unique id
	popKeeps bool                // DELE is accepted and nothing deleted
	popFirst int                 // how many sessions find the mailbox locked
	came     func()              // called when a message was delivered

	mu   sync.Mutex
	pop  []popMail
	uids int
	said []string // by clients of IMAP and POP3, in lines
}

type popMail struct {
	uid  string
	raw  []byte
	imap imap.UID // 0 where IMAP has it not
}

var tripAlice = login.Credentials{User: "alice@good.test", Password: `s3cr"et word`}

// theirs are messages of the mailbox's owner: none may be touched. The last is marked as
// deleted, and a plain EXPUNGE would remove it.
var theirs = []string{"Subject: one\r\n\r\none\r\n", "Subject: two\r\nMessage-ID: <two@good.test>\r\n\r\ntwo\r\n", "Subject: three\r\n\r\nthree\r\n"}

func newPostOffice(t *testing.T, w *world) *postOffice {
	o := &postOffice{config: w.config, users: imapmemserver.New(), user: imapmemserver.NewUser(tripAlice.User, tripAlice.Password), copies: 1,
		folder: "INBOX", refuse: map[string]string{}, hop: "from herald by mx1.good.test with ESMTPSA id 1",
		caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapUIDPlus: {}, imap.CapSpecialUse: {}}}
	for _, name := range []string{"INBOX", "Junk"} {
		if err := o.user.Create(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	o.users.AddUser(o.user)
	for i, text := range theirs {
		var flags []imap.Flag
		if i == len(theirs)-1 {
			flags = []imap.Flag{imap.FlagDeleted}
		}
		o.toPOP([]byte(text), o.store("INBOX", []byte(text), flags))
	}
	w.replace(t, v6, "")
	// The password is said by the clock of this machine.
	w.certify(w.a.leaf(t, testKeys().ec, 300, 3000, "mx1.good.test"), w.a.leaf(t, testKeys().rsa, 300, 3000, "mx1.good.test"))
	secret := func(serve func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) { serve(tls.Server(c, o.config)) }
	}
	for port, serve := range map[int]func(net.Conn){25: o.smtp(false), 587: o.smtp(true), 465: secret(o.smtp(true)), 993: secret(o.imap), 995: secret(o.pop3)} {
		w.net.servers[fmt.Sprintf("192.0.2.25:%d", port)] = serve
	}
	w.gatherer.RoundTrip = &TripRequest{Who: tripAlice, Patience: time.Minute, Roots: w.options.Roots}
	w.gatherer.Documents = false
	return o
}

func (o *postOffice) store(folder string, raw []byte, flags []imap.Flag) imap.UID {
	data, err := o.user.Append(folder, literal{bytes.NewReader(raw)}, &imap.AppendOptions{Flags: flags})
	if err != nil {
		panic(err)
	}
	return data.UID
}

// remove takes a message that POP3 has deleted away from IMAP.
func (o *postOffice) remove(uid imap.UID) {
	if uid == 0 {
		return
	}
	session, set := imapmemserver.NewUserSession(o.user), imap.UIDSetNum(uid)
	if _, err := session.Select("INBOX", &imap.SelectOptions{}); err != nil {
		panic(err)
	}
	if err := session.Store(nil, set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil); err != nil {
		panic(err)
	}
	if err := session.Expunge(nil, &set); err != nil {
		panic(err)
	}
	session.Close()
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

func (o *postOffice) toPOP(raw []byte, where imap.UID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uids++
	uid := fmt.Sprintf("uid-%d", o.uids)
	if o.popLies {
		uid = "uid"
	}
	o.pop = append(o.pop, popMail{uid, raw, where})
}

// messages are those of INBOX, as IMAP shows them in the end.
func (o *postOffice) messages(t *testing.T) (list []string) {
	t.Helper()
	o.wrap = nil
	here, there := net.Pipe()
	go o.imap(there)
	c := imapclient.New(here, nil)
	defer c.Close()
	if err := c.Login(tripAlice.User, tripAlice.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		t.Fatal(err)
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	found, err := c.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range found {
		list = append(list, string(m.BodySection[0].Bytes))
	}
	return list
}

// signer is the key of s1._domainkey.good.test: RFC 8032, 7.1, test 1.
func signer() ed25519.PrivateKey {
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		panic(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

// deliver does with a message what the mail server does.
func (o *postOffice) deliver(raw []byte, submitted bool) {
	if submitted && !o.unsigned {
		var signed bytes.Buffer
		if err := dkim.Sign(&signed, bytes.NewReader(raw), &dkim.SignOptions{Domain: "good.test", Selector: "s1", Signer: signer()}); err != nil {
			panic(err)
		}
		raw = signed.Bytes()
	}
	if o.alter != nil {
		raw = o.alter(raw)
	}
	raw = slices.Concat([]byte("Received: "+o.hop+";\r\n\t"+time.Now().Format(time.RFC1123Z)+"\r\n"), raw)
	if o.bounce != "" {
		raw = slices.Concat([]byte("Subject: Undelivered Mail\r\n\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; "+o.bounce+"\r\n\r\n"), raw)
	}
	if o.drop {
		return
	}
	for range o.copies {
		var where imap.UID
		if !o.popOnly {
			where = o.store(o.folder, raw, nil)
		}
		if o.folder == "INBOX" {
			o.toPOP(raw, where)
		}
	}
	if o.came != nil {
		o.came()
	}
}

// smtp takes submissions, or mail from strangers.
func (o *postOffice) smtp(submission bool) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { c.Close() }()
		c.SetDeadline(time.Now().Add(time.Minute))
		_, inside := c.(*tls.Conn)
		r := bufio.NewReader(c)
		say := func(line string) { io.WriteString(c, line+"\r\n") }
		known := false
		say("220 mx1.good.test ESMTP Postfix")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			word, _, _ := strings.Cut(strings.ToUpper(line), " ")
			if word == o.hangs {
				io.Copy(io.Discard, r)
				return
			}
			if reply, ok := o.refuse[word]; ok && submission {
				say(reply)
				continue
			}
			switch word {
			case "EHLO":
				say("250-mx1.good.test\r\n250-SIZE 20480000")
				if !inside {
					say("250-STARTTLS")
				} else if submission {
					say("250-AUTH PLAIN")
				}
				say("250 8BITMIME")
			case "STARTTLS":
				say("220 go on")
				c, inside = tls.Server(c, o.config), true
				r = bufio.NewReader(c)
			case "AUTH":
				plain := base64.StdEncoding.EncodeToString([]byte("\x00" + tripAlice.User + "\x00" + tripAlice.Password))
				known = inside && line == "AUTH PLAIN "+plain
				say(map[bool]string{true: "235 2.7.0 yes", false: "535 5.7.8 no"}[known])
			case "MAIL", "RSET":
				say("250 ok")
			case "RCPT":
				to := strings.ToLower(line)
				say(map[bool]string{true: "250 ok", false: "550 5.1.1 no"}[known || strings.Contains(to, "alice@good.test") || strings.Contains(to, "postmaster@good.test")])
			case "DATA":
				say("354 go on")
				raw, err := readDotted(r)
				if err != nil {
					return
				}
				if reply, ok := o.refuse["message"]; ok {
					say(reply)
					continue
				}
				o.deliver(raw, submission)
				say("250 2.0.0 Ok: queued as 4711")
			case "QUIT":
				say("221 bye")
				return
			default:
				say("502 no")
			}
		}
	}
}

func readDotted(r *bufio.Reader) ([]byte, error) {
	var raw []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line == ".\r\n" {
			return raw, nil
		}
		raw = append(raw, strings.TrimPrefix(line, ".")...)
	}
}

// imap hands a connection to a real server, whose memory is the mailbox.
func (o *postOffice) imap(c net.Conn) {
	over := make(chan struct{})
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			session := imapserver.Session(telling{o.users.NewSession()})
			if o.wrap != nil {
				session = o.wrap(session)
			}
			return session, nil, nil
		},
		Caps: o.caps, InsecureAuth: true, Logger: log.New(io.Discard, "", 0), DebugWriter: (*overheard)(o),
	})
	s.Serve(&once{conn: &noted{Conn: c, closed: over}, over: over})
}

// telling tells in IDLE also of what came just before: the library's own server forgets that.
type telling struct{ imapserver.Session }

func (s telling) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-stop:
			tick.Stop()
			return nil
		case <-tick.C:
			if err := s.Poll(w, true); err != nil {
				return err
			}
		}
	}
}

// overheard keeps what clients and servers said.
type overheard postOffice

func (o *overheard) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.said = append(o.said, string(p))
	return len(p), nil
}

// once is a listener with one connection.
type once struct {
	conn net.Conn
	over chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.over
	return nil, net.ErrClosed
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

// noted tells of its end.
type noted struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *noted) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// pop3 shows the messages.
func (o *postOffice) pop3(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	say := func(line string) { io.WriteString(c, line+"\r\n") }
	o.mu.Lock()
	list := slices.Clone(o.pop)
	o.mu.Unlock()
	gone := map[string]bool{}
	say("+OK Dovecot ready.")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		(*overheard)(o).Write([]byte(line + "\r\n"))
		words := append(strings.Fields(line), "", "")
		if o.popDoes != nil {
			if reply := o.popDoes(line); reply != "" {
				io.WriteString(c, reply)
				continue
			}
		}
		n, _ := strconv.Atoi(words[1])
		there := n >= 1 && n <= len(list)
		switch word := strings.ToUpper(words[0]); {
		case word == "CAPA":
			say("+OK\r\nTOP\r\nUIDL\r\nUSER\r\n.")
		case word == "USER":
			say("+OK")
		case word == "PASS":
			o.mu.Lock()
			locked := o.popFirst > 0
			o.popFirst--
			o.mu.Unlock()
			switch {
			case strings.TrimPrefix(line, "PASS ") != tripAlice.Password:
				say("-ERR [AUTH] no")
			case locked:
				say("-ERR [IN-USE] another session")
			default:
				say("+OK")
			}
		case word == "UIDL":
			say("+OK")
			for i, m := range list {
				say(fmt.Sprintf("%d %s", i+1, m.uid))
			}
			say(".")
		case word == "TOP" && there:
			head, _, _ := bytes.Cut(list[n-1].raw, []byte("\r\n\r\n"))
			say("+OK\r\n" + string(head) + "\r\n\r\n.")
		case word == "RETR" && there:
			say("+OK")
			c.Write(dotted(list[n-1].raw))
		case word == "DELE" && there:
			gone[string(list[n-1].raw)] = true
			say("+OK")
		case word == "QUIT":
			o.mu.Lock()
			if !o.popKeeps {
				o.pop = slices.DeleteFunc(o.pop, func(m popMail) bool {
					if gone[string(m.raw)] {
						o.remove(m.imap)
					}
					return gone[string(m.raw)]
				})
			}
			o.mu.Unlock()
			say("+OK")
			return
		default:
			say("-ERR what?")
		}
	}
}
