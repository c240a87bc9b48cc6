//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The farm serves thousands of endpoints cheaply, so that what is measured is the scanner: one
// listener for each port on every address of 127.0.0.0/8, one epoll loop, some 25 µs a
// connection. Each line on its standard input is answered by one with its counts, which begin
// anew.
func farmMain(args []string) error {
	fs := flag.NewFlagSet("farm", flag.ExitOnError)
	delay := fs.Duration("delay", 0, "wait before each answer")
	fs.Parse(args)
	raiseFiles()
	f := &farm{delay: *delay, listeners: map[int32]int{}, open: map[int32]*guest{}}
	var err error
	if f.tls, err = selfSigned(); err != nil {
		return err
	}
	if f.epoll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	for _, p := range places {
		if err := f.listen(p.port); err != nil {
			return fmt.Errorf("port %d: %w", p.port, err)
		}
	}
	go f.loop()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		text, err := json.Marshal(counts{Connections: f.connections.Swap(0), MostOpen: f.mostOpen.Swap(0), Handshakes: f.handshakes.Swap(0)})
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	return nil
}

// counts are what the farm saw since it was asked last.
type counts struct {
	Connections int64
	MostOpen    int64
	Handshakes  int64
}

type farm struct {
	epoll     int
	delay     time.Duration
	tls       *tls.Config
	listeners map[int32]int // descriptor: port
	open      map[int32]*guest
	due       []answer // in order of their time
	buffer    [4096]byte

	connections, mostOpen, handshakes atomic.Int64
}

// guest is a connection.
type guest struct {
	fd      int32
	voice   *voice
	host    string
	pending []byte // the beginning of a line
	gone    bool
}

// answer is what is said when its time has come.
type answer struct {
	at   time.Time
	to   *guest
	text []byte
	then string // the command that was answered
}

func (f *farm) listen(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err // several farms may share the endpoints, where one has too few files
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 65535); err != nil {
		return err
	}
	f.listeners[int32(fd)] = port
	return unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (f *farm) loop() {
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, 512)
	for {
		n, err := unix.EpollWait(f.epoll, events, f.sayWhatIsDue())
		if err != nil && err != unix.EINTR {
			fmt.Fprintln(os.Stderr, "farm:", err)
			os.Exit(1)
		}
		for _, e := range events[:max(n, 0)] {
			if port, ok := f.listeners[e.Fd]; ok {
				f.accept(e.Fd, port)
			} else if g := f.open[e.Fd]; g != nil {
				f.hear(g)
			}
		}
	}
}

// sayWhatIsDue returns the milliseconds until the next answer, -1 for none.
func (f *farm) sayWhatIsDue() int {
	now := time.Now()
	done := 0
	for ; done < len(f.due) && !f.due[done].at.After(now); done++ {
		if a := &f.due[done]; !a.to.gone {
			f.say(a.to, a.text, a.then)
		}
	}
	clear(f.due[:done])
	if f.due = f.due[done:]; len(f.due) == 0 {
		f.due = nil
		return -1
	}
	return int(f.due[0].at.Sub(now)/time.Millisecond) + 1
}

func (f *farm) accept(listener int32, port int) {
	for {
		fd, _, err := unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		at, err := syscall.Getsockname(fd)
		in4, ok := at.(*syscall.SockaddrInet4)
		if err != nil || !ok || in4.Addr[0] != 127 { // loopback alone
			unix.Close(fd)
			continue
		}
		number := uint32(in4.Addr[1])<<16 | uint32(in4.Addr[2])<<8 | uint32(in4.Addr[3])
		g := &guest{fd: int32(fd), voice: voiceAt(port, number), host: fmt.Sprintf("mx%d.example.test", number)}
		f.open[g.fd] = g
		f.connections.Add(1)
		if n := int64(len(f.open)); n > f.mostOpen.Load() {
			f.mostOpen.Store(n)
		}
		if g.voice.closes == "*" {
			f.leave(g)
			continue
		}
		if g.voice.greeting != "" {
			f.answer(g, g.voice.greeting, "", "")
		}
		if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: g.fd}); err != nil {
			f.leave(g)
		}
	}
}

func (f *farm) answer(g *guest, text, tag, command string) {
	said := fill(text, g.host, tag)
	if f.delay == 0 {
		f.say(g, said, command)
		return
	}
	f.due = append(f.due, answer{time.Now().Add(f.delay), g, said, command})
}

// fill puts the names into a text and ends its lines as on the wire; content is left alone.
func fill(text, host, tag string) []byte {
	head, content, isWeb := strings.Cut(text, "\n\n")
	if isWeb {
		head += "\n\n"
	}
	head = strings.NewReplacer("{host}", host, "{tag}", tag, "\n", "\r\n").Replace(head)
	return append([]byte(head), content...)
}

func (f *farm) say(g *guest, text []byte, command string) {
	if _, err := unix.Write(int(g.fd), text); err != nil {
		f.leave(g)
		return
	}
	switch {
	case command != "" && command == g.voice.starts:
		f.upgrade(g)
	case command != "" && command == g.voice.closes, bytes.Contains(text, []byte("\r\nConnection: close\r\n")):
		f.leave(g)
	}
}

func (f *farm) leave(g *guest) {
	if !g.gone {
		g.gone = true
		delete(f.open, g.fd)
		unix.Close(int(g.fd))
	}
}

func (f *farm) hear(g *guest) {
	n, err := unix.Read(int(g.fd), f.buffer[:])
	if err == unix.EAGAIN {
		return
	}
	if n <= 0 {
		f.leave(g)
		return
	}
	data := append(g.pending, f.buffer[:n]...)
	if g.voice.protocol == web || g.voice.protocol == proxy {
		if g.pending = data; bytes.HasSuffix(data, []byte("\r\n\r\n")) {
			g.pending = nil
			f.answer(g, g.voice.page(data), "", "")
		}
		return
	}
	for !g.gone {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			break
		}
		data = rest
		if text, tag, command := g.voice.reply(line); text != "" {
			f.answer(g, text, tag, command)
		}
	}
	g.pending = append([]byte(nil), data...)
}

// reply is the answer to a line.
func (v *voice) reply(line []byte) (text, tag, command string) {
	words := strings.Fields(strings.ToUpper(string(line)))
	if v.protocol == "imap" && len(words) > 1 {
		tag, words = strings.Fields(string(line))[0], words[1:]
	}
	if len(words) > 0 {
		command = words[0]
	}
	text, known := v.answers[command]
	if !known {
		text = v.answers[""]
	}
	return text, tag, command
}

// page is the answer to a request.
func (v *voice) page(request []byte) string {
	if text, ok := v.answers[absolute]; ok && !bytes.HasPrefix(request, []byte("GET /")) {
		return text
	}
	return v.answers[""]
}

// upgrade goes on under TLS, in a goroutine of its own.
func (f *farm) upgrade(g *guest) {
	delete(f.open, g.fd)
	g.gone = true
	if err := unix.EpollCtl(f.epoll, unix.EPOLL_CTL_DEL, int(g.fd), nil); err != nil {
		unix.Close(int(g.fd))
		return
	}
	file := os.NewFile(uintptr(g.fd), "guest")
	go func() {
		defer file.Close()
		file.SetDeadline(time.Now().Add(30 * time.Second))
		session := tls.Server(fileConn{file}, f.tls)
		if session.Handshake() != nil {
			return
		}
		f.handshakes.Add(1)
		for lines := bufio.NewReader(session); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			text, tag, command := g.voice.reply(line)
			text = strings.ReplaceAll(text, "250-STARTTLS\n", "")
			if _, err := session.Write(fill(text, g.host, tag)); err != nil || command == g.voice.closes {
				return
			}
		}
	}()
}

func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.test"}, DNSNames: []string{"mail.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true}, err
}
