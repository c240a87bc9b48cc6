//go:build integration

package integration

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/jlaffaye/ftp"
	"github.com/knadh/go-pop3"

	"herald/probes"
	"herald/scan"
)

// The clients here are others' work, and dial by themselves: what they are told is what
// herald has to have noted of the same servers.

const clientPatience = 20 * time.Second

var anyCertificate = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}

// crossCheck scans the zoo's servers of a protocol and compares.
func crossCheck(t *testing.T, protocol string, compare func(t *testing.T, s Served, f *scan.Service)) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	zoo = slices.DeleteFunc(zoo, func(s Served) bool { return s.Protocol != protocol })
	if len(zoo) < 5 {
		t.Fatalf("only %d servers of %s", len(zoo), protocol)
	}
	found := scanZoo(t, zoo)
	for _, s := range zoo {
		t.Run(s.String(), func(t *testing.T) {
			if f := found[s.Published]; f == nil || f.Protocol != protocol {
				t.Fatal("not found for what it is")
			} else {
				compare(t, s, f)
			}
		})
	}
}

// noted are the capabilities in herald's evidence.
func noted(f *scan.Service) (clear, protected []string) {
	for _, o := range f.Seen {
		if o.Speaks() != f.Protocol {
			continue
		}
		c, p := probes.Capabilities(o)
		if c != nil {
			clear = c
		}
		if p != nil {
			protected = p
		}
	}
	return clear, protected
}

// sameWords compares two lists of capabilities without regard to their order and case.
func sameWords(t *testing.T, where string, herald, client []string) {
	t.Helper()
	tidy := func(list []string) []string {
		var out []string
		for _, s := range list {
			out = append(out, strings.ToUpper(strings.Join(strings.Fields(s), " ")))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	h, c := tidy(herald), tidy(client)
	if len(c) == 0 {
		t.Errorf("%s: the client was told nothing", where)
	}
	if !slices.Equal(h, c) {
		t.Errorf("%s: herald noted %q, the client was told %q", where, h, c)
	}
}

func TestIMAPClientSeesTheSame(t *testing.T) {
	crossCheck(t, "imap", func(t *testing.T, s Served, f *scan.Service) {
		asked := map[bool]bool{} // by whether inside TLS
		for _, e := range f.Evidence() {
			asked[e.TLS] = asked[e.TLS] || e.Key == "imap.capability"
		}
		// Both have asked, or both have it from the greeting, which may name but a few.
		told := func(inTLS bool, c *imapclient.Client, err error) []string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			caps := c.Caps()
			if asked[inTLS] {
				if caps, err = c.Capability().Wait(); err != nil {
					t.Fatal(err)
				}
			}
			var list []string
			for name := range caps {
				list = append(list, string(name))
			}
			return list
		}
		o := &imapclient.Options{TLSConfig: anyCertificate, Dialer: &net.Dialer{Timeout: clientPatience}}
		clear, protected := noted(f)
		where := s.Published.String()
		if s.Security == "tls" {
			c, err := imapclient.DialTLS(where, o)
			sameWords(t, "inside TLS", protected, told(true, c, err))
			return
		}
		c, err := imapclient.DialInsecure(where, o)
		sameWords(t, "in the clear", clear, told(false, c, err))
		if s.Security == "starttls" {
			c, err := imapclient.DialStartTLS(where, o)
			sameWords(t, "after STARTTLS", protected, told(true, c, err))
		}
	})
}

func TestPOP3ClientSeesTheSame(t *testing.T) {
	crossCheck(t, "pop3", func(t *testing.T, s Served, f *scan.Service) {
		capa := func(dial func() (net.Conn, error)) []string {
			t.Helper()
			c, err := pop3.New(pop3.Opt{Dialer: dialer(dial)}).NewConn()
			if err != nil {
				t.Fatal(err)
			}
			reply, err := c.Cmd("CAPA", true)
			if err != nil {
				c.Quit()
				return nil // a server without CAPA (RFC 2449)
			}
			c.Quit()
			return strings.FieldsFunc(reply.String(), func(r rune) bool { return r == '\r' || r == '\n' })
		}
		plain := func() (net.Conn, error) { return dial(s) }
		inTLS := func() (net.Conn, error) {
			c, err := dial(s)
			if err != nil {
				return nil, err
			}
			return tls.Client(c, anyCertificate), nil
		}
		clear, protected := noted(f)
		if s.Security == "tls" {
			sameWords(t, "inside TLS", protected, capa(inTLS))
			return
		}
		if told := capa(plain); told != nil || clear != nil {
			sameWords(t, "in the clear", clear, told)
		}
		if s.Security == "starttls" {
			sameWords(t, "after STLS", protected, capa(func() (net.Conn, error) { return stls(s) }))
		}
	})
}

// TestFTPClientSeesTheSame logs in to users of our own: the library asks FEAT only then,
// and shows what it was told to a debug writer.
func TestFTPClientSeesTheSame(t *testing.T) {
	anonymous := [2]string{"anonymous", "herald@zoo.example"}
	logins := map[string][2]string{"vsftpd": anonymous, "proftpd": newUser, "pure-ftpd": anonymous, "python": anonymous}
	asked := 0
	crossCheck(t, "ftp", func(t *testing.T, s Served, f *scan.Service) {
		var said bytes.Buffer
		options := []ftp.DialOption{ftp.DialWithDebugOutput(&said), ftp.DialWithDialFunc(func(_, _ string) (net.Conn, error) {
			c, err := dial(s)
			if err == nil && s.Security == "tls" {
				return tls.Client(c, anyCertificate), nil
			}
			return c, err
		})}
		c, err := ftp.Dial(s.Published.String(), options...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Quit()
		greeting := evidence(f, "ftp.greeting")
		if got := strings.TrimRight(said.String(), "\r\n"); got != greeting {
			t.Errorf("greeting: herald noted %q, the client was told %q", greeting, got)
		}
		who, ok := logins[s.Service]
		if !ok || s.Security == "tls" { // vsftpd lets nobody anonymous in inside TLS
			return
		}
		if who == newUser {
			makeUser(t, s)
		}
		said.Reset()
		if err := c.Login(who[0], who[1]); err != nil {
			t.Fatalf("login: %v, after %q", err, said.String())
		}
		_, feat, ok := strings.Cut(said.String(), "FEAT\r\n") // the library's question; the reply follows
		if !ok {
			t.Fatalf("FEAT was not asked: %q", said.String())
		}
		if at := strings.Index(feat, "\n211 "); at >= 0 {
			end := strings.IndexByte(feat[at+1:], '\n')
			feat = feat[:at+1+end+1]
		}
		clear, _ := noted(f)
		asked++
		sameWords(t, "FEAT", clear, probes.FTPFeatures([]byte(feat)))
	})
	if asked < 3 {
		t.Errorf("FEAT was compared on %d servers only", asked)
	}
}

// newUser is a user that is made in the containers of servers that know the system's.
var newUser = [2]string{"heraldtest", "zoo-only-7c1f"}

func makeUser(t *testing.T, s Served) {
	t.Helper()
	script := fmt.Sprintf("id %[1]s >/dev/null 2>&1 || useradd -m -s /bin/sh %[1]s; echo %[1]s:%[2]s | chpasswd", newUser[0], newUser[1])
	if out, err := exec.Command("docker", "exec", s.Container, "sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: useradd: %v: %s", s.Service, err, out)
	}
}

func evidence(f *scan.Service, key string) string {
	for _, e := range f.Evidence() {
		if e.Key == key {
			return string(e.Text)
		}
	}
	return ""
}

type dialer func() (net.Conn, error)

func (d dialer) Dial(_, _ string) (net.Conn, error) { return d() }

func dial(s Served) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", s.Published.String(), clientPatience)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(clientPatience))
}

// stls upgrades by hand, since the library can not, and puts a greeting in front, since it
// wants one.
func stls(s Served) (net.Conn, error) {
	c, err := dial(s)
	if err != nil {
		return nil, err
	}
	line := func() error {
		for b := make([]byte, 1); b[0] != '\n'; {
			if _, err := io.ReadFull(c, b); err != nil {
				return err
			}
		}
		return nil
	}
	if err := line(); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "STLS\r\n"); err != nil {
		return nil, err
	}
	if err := line(); err != nil {
		return nil, err
	}
	return &greeted{tls.Client(c, anyCertificate), strings.NewReader("+OK\r\n")}, nil
}

type greeted struct {
	net.Conn
	greeting *strings.Reader
}

func (g *greeted) Read(p []byte) (int, error) {
	if g.greeting.Len() > 0 {
		return g.greeting.Read(p)
	}
	return g.Conn.Read(p)
}
