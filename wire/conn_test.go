package wire_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"herald/wire"
	"herald/wire/wiretest"
)

func handOver(t *testing.T, limits wire.Limits, serve func(net.Conn)) (*wire.Conversation, error) {
	t.Helper()
	c, err := (&wire.Caller{Limits: limits}).Open(t.Context(), wiretest.Start(t, serve))
	if c != nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// A library reads the made up greeting, then what was unread, then the server; afterwards
// the conversation goes on, and secrets are masked in the record.
func TestConversationIsHandedOverAndComesBack(t *testing.T) {
	c, err := handOver(t, wire.Limits{}, func(s net.Conn) {
		in := bufio.NewReader(s)
		io.WriteString(s, "real greeting\r\nunread\r\n")
		for range 2 {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(s, "you said "+line)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Hide([]byte("hunter2"), nil)
	if _, err := c.ReadLine(); err != nil {
		t.Fatal(err)
	}
	conn := c.Conn([]byte("made up\r\n"))
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || a.AddrPort() != c.Endpoint().Addr {
		t.Errorf("remote address %#v", conn.RemoteAddr())
	}
	in := bufio.NewReader(conn)
	read := func(want string) {
		t.Helper()
		if got, err := in.ReadString('\n'); err != nil || got != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	read("made up\r\n")
	read("unread\r\n")
	if _, err := io.WriteString(conn, "PASS hunter2\r\n"); err != nil {
		t.Fatal(err)
	}
	read("you said PASS hunter2\r\n")
	if got, err := c.Ask("again"); err != nil || string(got) != "you said again\r\n" {
		t.Fatalf("%q, %v", got, err)
	}
	c.Close()
	x := c.Exchange()
	text := ""
	for _, e := range x.Events {
		text += string(e.Mark) + string(e.Data)
	}
	want := "<real greeting\r\nunread\r\n>PASS <masked>\r\n<you said PASS <masked>\r\n>again\r\n<you said again\r\n"
	if text != want {
		t.Errorf("record %q, want %q", text, want)
	}
}

func TestLimitsHoldForLibraries(t *testing.T) {
	hold := func(s net.Conn) { io.Copy(io.Discard, s) }
	for _, test := range []struct {
		name  string
		serve func(net.Conn)
		use   func(net.Conn) error
		want  wire.Kind
	}{
		{"silence", hold, func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }, wire.Timeout},
		{"silence, though the library would wait", hold, func(c net.Conn) error {
			c.SetReadDeadline(time.Now().Add(time.Hour))
			_, err := c.Read(make([]byte, 1))
			return err
		}, wire.Timeout},
		{"endless", func(s net.Conn) {
			for line := strings.Repeat("x", 4096); ; {
				if _, err := io.WriteString(s, line); err != nil {
					return
				}
			}
		}, func(c net.Conn) error { _, err := io.Copy(io.Discard, c); return err }, wire.Limit},
		{"turns", hold, func(c net.Conn) error {
			for {
				if _, err := c.Write([]byte("x")); err != nil {
					return err
				}
			}
		}, wire.Limit},
	} {
		t.Run(test.name, func(t *testing.T) {
			short := wire.Limits{Dial: time.Minute, Reply: time.Minute, Whole: time.Minute, Bytes: 64 << 10, Turns: 3}
			if test.want == wire.Timeout {
				short.Reply = 50 * time.Millisecond // the others end by themselves
			}
			c, err := handOver(t, short, test.serve)
			if err != nil {
				t.Fatal(err)
			}
			var f *wire.Failure
			if err := test.use(c.Conn(nil)); !errors.As(err, &f) || f.Kind != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			if received, _ := c.Traffic(); received > short.Bytes {
				t.Errorf("%d bytes kept", received)
			}
		})
	}
}

func TestEndIsEndForLibraries(t *testing.T) {
	c, err := handOver(t, wire.Limits{}, func(s net.Conn) { io.WriteString(s, "all") })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c.Conn(nil)); err != nil || string(got) != "all" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDoorLetsTheHostIn(t *testing.T) {
	e := wiretest.Start(t, func(net.Conn) {})
	door, err := wire.Caller{Limits: wire.Limits{Dial: time.Minute}}.OpenDoor(e.Addr.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	out, err := net.Dial("tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	io.WriteString(out, "hello\n")
	c, err := door.Take(t.Context(), e.Addr.Addr(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := c.ReadLine(); err != nil || string(got) != "hello\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got := out.LocalAddr().(*net.TCPAddr).AddrPort(); c.Endpoint().Addr != got {
		t.Errorf("came from %s, the conversation says %s", got, c.Endpoint().Addr)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var f *wire.Failure
	if _, err := door.Take(ended, e.Addr.Addr(), ""); !errors.As(err, &f) || f.Kind != wire.Canceled {
		t.Errorf("after the end: %v", err)
	}
}
