//go:build linux

package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The floor is what the kernel asks for one conversation: connect, read the greeting, say one
// command, read the answer, close by RST, write a JSON line. It is raw sockets and one epoll
// loop, knows nothing and keeps nothing; no scanner can be cheaper. On a port that tells nothing
// it asks for a page where no greeting comes within 150 ms.
func floorMain(args []string) error {
	fs := flag.NewFlagSet("floor", flag.ExitOnError)
	targets := fs.String("targets", "", "file of targets")
	workers := fs.Int("workers", 1000, "connections at once")
	unknown := fs.Bool("unknown", false, "the port tells nothing")
	fs.Parse(args)
	raiseFiles()
	file, err := os.Open(*targets)
	if err != nil {
		return err
	}
	defer file.Close()
	f := &floor{unknown: *unknown, lines: bufio.NewScanner(file), out: bufio.NewWriterSize(os.Stdout, 64<<10)}
	if f.epoll, err = unix.EpollCreate1(0); err != nil {
		return err
	}
	if err := f.run(*workers); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "floor: %d answered, %d not\n", f.good, f.bad)
	return f.out.Flush()
}

type floor struct {
	unknown   bool
	lines     *bufio.Scanner
	out       *bufio.Writer
	epoll     int
	open      int
	calls     []call // by descriptor
	waits     []wait
	buffer    [16 << 10]byte
	line      []byte
	good, bad int
}

type call struct {
	to       netip.AddrPort
	state    int // of these
	serial   int // tells calls over one descriptor apart
	greeting []byte
}

const (
	idle = iota
	connecting
	listening
	asking
)

// wait is when a silent server is asked.
type wait struct {
	at         time.Time
	fd, serial int
}

var pageRequest = []byte("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: floor\r\nAccept: */*\r\nConnection: close\r\n\r\n")

func command(port uint16, greeting []byte) []byte {
	starts := func(s string) bool { return bytes.HasPrefix(greeting, []byte(s)) }
	switch {
	case port == 80 || port == 3128:
		return pageRequest
	case starts("+OK"):
		return []byte("CAPA\r\n")
	case starts("* OK"):
		return []byte("a CAPABILITY\r\n")
	case starts("200"), starts("201"):
		return []byte("CAPABILITIES\r\n")
	case port == 21, starts("220") && bytes.Contains(greeting, []byte("FTP")):
		return []byte("FEAT\r\n")
	}
	return []byte("EHLO floor.example.test\r\n")
}

func (f *floor) run(workers int) error {
	events := make([]unix.EpollEvent, 256)
	more := true
	for more || f.open > 0 {
		for begun := 0; more && f.open < workers && begun < 64; begun++ {
			if more = f.lines.Scan(); !more {
				break
			}
			to, err := netip.ParseAddrPort(f.lines.Text())
			if err != nil {
				return err
			}
			f.begin(to)
		}
		patience := 0
		if !more || f.open >= workers {
			patience = 5
		}
		n, err := unix.EpollWait(f.epoll, events, patience)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, e := range events[:max(n, 0)] {
			f.ready(int(e.Fd))
		}
		f.timeUp()
	}
	return f.lines.Err()
}

func (f *floor) begin(to netip.AddrPort) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		f.bad++
		return
	}
	for len(f.calls) <= fd {
		f.calls = append(f.calls, call{})
	}
	c := &f.calls[fd]
	c.to, c.state, c.greeting, c.serial = to, listening, c.greeting[:0], c.serial+1
	events := uint32(unix.EPOLLIN)
	if !f.unknown && (to.Port() == 80 || to.Port() == 3128) {
		c.state, events = connecting, unix.EPOLLOUT
	}
	f.open++
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err != nil && err != unix.EINPROGRESS {
		f.end(fd, nil, false)
		return
	}
	unix.EpollCtl(f.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	if f.unknown {
		f.waits = append(f.waits, wait{time.Now().Add(150 * time.Millisecond), fd, c.serial})
	}
}

func (f *floor) ready(fd int) {
	c := &f.calls[fd]
	if c.state == connecting {
		unix.EpollCtl(f.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
		f.ask(fd, pageRequest)
		return
	}
	n, err := unix.Read(fd, f.buffer[:])
	switch {
	case err == unix.EAGAIN:
	case n <= 0:
		f.end(fd, nil, false)
	case c.state == asking:
		f.end(fd, f.buffer[:n], true)
	default:
		c.greeting = append(c.greeting, f.buffer[:n]...)
		f.ask(fd, command(c.to.Port(), c.greeting))
	}
}

func (f *floor) ask(fd int, message []byte) {
	f.calls[fd].state = asking
	unix.Write(fd, message)
}

func (f *floor) timeUp() {
	now := time.Now()
	for len(f.waits) > 0 && !f.waits[0].at.After(now) {
		w := f.waits[0]
		f.waits = f.waits[1:]
		if c := &f.calls[w.fd]; c.serial == w.serial && c.state == listening {
			f.ask(w.fd, pageRequest)
		}
	}
}

func (f *floor) end(fd int, answer []byte, good bool) {
	c := &f.calls[fd]
	if good {
		f.good++
	} else {
		f.bad++
	}
	b := append(f.line[:0], `{"address":"`...)
	b = c.to.Addr().AppendTo(b)
	b = append(b, `","port":`...)
	b = strconv.AppendUint(b, uint64(c.to.Port()), 10)
	b = append(b, `,"greeting":`...)
	b = strconv.AppendQuoteToASCII(b, string(c.greeting))
	b = append(b, `,"answer":`...)
	b = strconv.AppendQuoteToASCII(b, string(answer[:min(len(answer), 2<<10)]))
	f.line = append(b, "}\n"...)
	f.out.Write(f.line)
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
	c.state = idle
	f.open--
}
