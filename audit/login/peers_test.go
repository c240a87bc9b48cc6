package login

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"herald/audit"
	"herald/wire"
	"herald/wire/wiretest"
)

// Servers that behave, and what the tests ask of them.

var alice = Credentials{User: "alice@example.org", Password: `s3cr"et word`}

// patient are limits for servers that behave, however busy the machine.
var patient = wire.Limits{
	Dial: time.Minute, TLS: time.Minute, Greeting: time.Minute, Settle: 10 * time.Millisecond,
	Reply: time.Minute, Whole: time.Minute, Line: 8 << 10, Bytes: 256 << 10, Turns: 100,
}

// identity is a certificate for 127.0.0.1, and the pool that trusts it.
var identity = sync.OnceValues(func() (*tls.Config, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
})

// upgrade is an answer after which TLS begins: what stands before it is said in the clear.
const upgrade = "\x00TLS"

// scripted answers lines; an answer of "" says nothing.
func scripted(greeting string, answer func(line string) string) func(net.Conn) {
	return func(c net.Conn) { talk(c, greeting, answer) }
}

func talk(c net.Conn, greeting string, answer func(line string) string) {
	io.WriteString(c, greeting)
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		said := answer(strings.TrimRight(line, "\r\n"))
		clear, secure := strings.CutSuffix(said, upgrade)
		if _, err := io.WriteString(c, clear); err != nil {
			return
		}
		if secure {
			config, _ := identity()
			c = tls.Server(c, config)
			in = bufio.NewReader(c)
		}
	}
}

// words are answers by the command they begin with.
type words map[string]string

func (w words) answer(line string) string {
	best := ""
	for command := range w {
		if strings.HasPrefix(line, command) && len(command) > len(best) {
			best = command
		}
	}
	return w[best]
}

// try logs in at a server.
func try(t *testing.T, l Login, serve func(net.Conn)) *Report {
	t.Helper()
	e := wiretest.Start(t, serve)
	l.At = audit.Place{Host: e.Addr.Addr().String(), Port: e.Addr.Port()}
	if l.ID == "" {
		l.ID = "test"
	}
	_, roots := identity()
	r := Try(t.Context(), wire.Caller{Limits: patient}, e, l, alice, roots)
	for _, s := range r.Steps {
		for _, text := range []string{s.Expected, s.Seen, s.Fix} {
			if strings.Contains(text, alice.Password) {
				t.Errorf("the password is in a finding: %s", text)
			}
		}
	}
	for _, secret := range alice.Secrets() {
		if strings.Contains(r.Transcript, wire.Escape(secret)) {
			t.Errorf("the password is in the record:\n%s", r.Transcript)
		}
	}
	return r
}

// wantSteps compares steps, "login pass" each, and where it is given a part of what was
// seen: "login pass: welcome".
func wantSteps(t *testing.T, r *Report, want ...string) {
	t.Helper()
	var got []string
	same := len(r.Steps) == len(want)
	for i, s := range r.Steps {
		got = append(got, fmt.Sprintf("%s %s: %s", s.Kind, s.State, s.Seen))
		if same {
			head, part, _ := strings.Cut(want[i], ": ")
			same = head == s.Kind+" "+string(s.State) && strings.Contains(s.Seen, part)
		}
	}
	if !same {
		t.Errorf("got\n  %s\nwant\n  %s\n%s", strings.Join(got, "\n  "), strings.Join(want, "\n  "), r.Transcript)
	}
}

// ftpServer is an FTP server with one user and files in memory.
type ftpServer struct {
	passive string // what PASV tells instead of 127,0,0,1
	noProt  bool   // refuses PROT P
	clear   bool   // accepts PROT P, and sends in the clear all the same
	mu      sync.Mutex
	files   map[string]string
}

func (f *ftpServer) serve(c net.Conn) {
	s := &ftpTalk{server: f, conn: c}
	defer s.hangUp()
	s.tls, _ = identity() // one for control and data, so that sessions resume
	talk(c, "220 ready\r\n", s.answer)
}

type ftpTalk struct {
	server  *ftpServer
	conn    net.Conn
	tls     *tls.Config
	data    net.Listener
	active  string
	protect bool
}

func (s *ftpTalk) hangUp() {
	if s.data != nil {
		s.data.Close()
	}
}

func (s *ftpTalk) listen() (port int) {
	s.hangUp()
	s.active = ""
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	s.data = l
	return l.Addr().(*net.TCPAddr).Port
}

// carry moves bytes over the data connection. It answers itself: the first reply must be
// out before the second can be.
func (s *ftpTalk) carry(move func(net.Conn)) string {
	io.WriteString(s.conn, "150 here it comes\r\n")
	data, active := s.data, s.active
	go func() {
		var c net.Conn
		var err error
		if active != "" {
			c, err = net.Dial("tcp", active)
		} else {
			data.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
			c, err = data.Accept()
		}
		if err != nil {
			io.WriteString(s.conn, "425 no data connection\r\n")
			return
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		if s.protect && !s.server.clear {
			c = tls.Server(c, s.tls)
		}
		move(c)
		if raw, ok := c.(*net.TCPConn); ok { // what is unread at the close would be a reset, which overtakes what we said
			raw.CloseWrite()
			io.Copy(io.Discard, raw)
		}
		c.Close()
		io.WriteString(s.conn, "226 done\r\n")
	}()
	return ""
}

func (s *ftpTalk) answer(line string) string {
	f := s.server
	f.mu.Lock()
	defer f.mu.Unlock()
	command, argument, _ := strings.Cut(line, " ")
	switch command {
	case "USER":
		return "331 password\r\n"
	case "PASS":
		if argument == alice.Password {
			return "230 welcome\r\n"
		}
		return "530 no\r\n"
	case "FEAT":
		return "211-Features\r\n EPSV\r\n MLST type*;\r\n MDTM\r\n211 End\r\n"
	case "PWD":
		return "257 \"/home/\"\"alice\"\"\" is here\r\n"
	case "PROT":
		if f.noProt {
			return "534 no\r\n"
		}
		s.protect = true
		return "200 ok\r\n"
	case "TYPE", "PBSZ":
		return "200 ok\r\n"
	case "EPSV":
		return fmt.Sprintf("229 here (|||%d|)\r\n", s.listen())
	case "PASV":
		port := s.listen()
		host := f.passive
		if host == "" {
			host = "127,0,0,1"
		}
		return fmt.Sprintf("227 here (%s,%d,%d).\r\n", host, port>>8, port&255)
	case "PORT":
		var b [6]int
		fmt.Sscanf(argument, "%d,%d,%d,%d,%d,%d", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5])
		s.active = fmt.Sprintf("%d.%d.%d.%d:%d", b[0], b[1], b[2], b[3], b[4]<<8|b[5])
		return "200 ok\r\n"
	case "LIST", "MLSD":
		return s.carry(func(c net.Conn) { io.WriteString(c, "type=file;size=3; a\r\ntype=file;size=4; b\r\n") })
	case "STOR":
		return s.carry(func(c net.Conn) {
			data, _ := io.ReadAll(c)
			f.mu.Lock()
			defer f.mu.Unlock()
			f.files[argument] = string(data)
		})
	case "RETR":
		data := f.files[argument]
		return s.carry(func(c net.Conn) { io.WriteString(c, data) })
	case "MDTM":
		return "213 " + time.Now().UTC().Format("20060102150405") + "\r\n"
	case "DELE":
		delete(f.files, argument)
		return "250 gone\r\n"
	case "QUIT":
		return "221 bye\r\n"
	}
	return "502 what\r\n"
}

var noRoots = x509.NewCertPool()

func start(t *testing.T, serve func(net.Conn)) wire.Endpoint { return wiretest.Start(t, serve) }

var home = netip.MustParseAddrPort("127.0.0.1:21")
