package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// serve answers one connection on loopback with the given function.
func serve(t *testing.T, answer func(net.Conn)) Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			c.Close()
		}
	}()
	return Endpoint{Addr: l.Addr().(*net.TCPAddr).AddrPort()}
}

func TestConversationIsRecordedAndReplayed(t *testing.T) {
	e := serve(t, func(c net.Conn) {
		c.Write([]byte("+OK ready\r\n"))
		buf := make([]byte, 6)
		c.Read(buf)
		c.Write([]byte("+OK b\xffye\r\n"))
	})
	talk := func(caller Caller) *Conversation {
		c, err := caller.Open(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		if g, err := c.Listen(0); err != nil || string(g) != "+OK ready\r\n" {
			t.Fatalf("Listen = %q, %v", g, err)
		}
		if l, err := c.ReadLine(); err != nil || string(l) != "+OK ready\r\n" {
			t.Fatalf("ReadLine = %q, %v", l, err)
		}
		if l, err := c.Ask("QUIT"); err != nil || string(l) != "+OK b\xffye\r\n" {
			t.Fatalf("Ask = %q, %v", l, err)
		}
		c.Close()
		return c
	}
	c := talk(Caller{})
	var text bytes.Buffer
	tr := &Transcript{Notes: []string{"a server"}, Exchanges: []Exchange{c.Exchange()}, Conclusions: []string{"confirmed pop3"}}
	if _, err := tr.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	const want = `# a server
< +OK ready\r\n
> QUIT\r\n
< +OK b\xffye\r\n
. left
= confirmed pop3
`
	if text.String() != want {
		t.Fatalf("transcript:\n%s\nwant:\n%s", text.String(), want)
	}
	again, err := ReadTranscript("t", strings.NewReader(want), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []int{0, 1, 2, 3, 7} {
		talk(Caller{Transport: &Replay{Transcript: again, Piece: piece}})
	}
}

// What has come is not waited for: a settled silence ends it, be there bytes or none.
func TestReadSettledWaitsForNobody(t *testing.T) {
	let := make(chan bool)
	e := serve(t, func(c net.Conn) { c.Write([]byte("a\nb")); <-let })
	defer close(let)
	c, err := (&Caller{Limits: Limits{Settle: 20 * time.Millisecond, Reply: time.Minute}}).Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Peek(3); err != nil {
		t.Fatal(err)
	}
	if got := c.ReadSettled(2); string(got) != "a\n" {
		t.Fatalf("ReadSettled(2) = %q", got)
	}
	if got := c.ReadSettled(100); string(got) != "b" {
		t.Fatalf("ReadSettled = %q", got)
	}
	if got := c.ReadSettled(100); len(got) != 0 || c.Failure() != nil {
		t.Fatalf("ReadSettled of nothing = %q, %v", got, c.Failure())
	}
}

// A server that says a few bytes and closes is heard out, although listening for more
// met the end.
func TestLastWordsStayReadable(t *testing.T) {
	e := serve(t, func(c net.Conn) { c.Write([]byte("a line\nrest")) })
	c, err := (&Caller{}).Open(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Peek(100); KindOf(err) != Closed {
		t.Fatalf("Peek beyond the end: %v", err)
	}
	if line, err := c.ReadLine(); err != nil || string(line) != "a line\n" {
		t.Fatalf("ReadLine = %q, %v", line, err)
	}
	if some, err := c.ReadFull(2); err != nil || string(some) != "re" {
		t.Fatalf("ReadFull = %q, %v", some, err)
	}
	if rest, err := c.ReadRest(10); err != nil || string(rest) != "st" {
		t.Fatalf("ReadRest = %q, %v", rest, err)
	}
	if _, err := c.ReadRest(10); KindOf(err) != Closed {
		t.Fatalf("after the end: %v", err)
	}
}

// Two sides that speak at once: the client's word may come before the server's are read.
func TestReplayLetsBothSidesSpeakAtOnce(t *testing.T) {
	tr, err := ReadTranscript("t", strings.NewReader("< a\\nb\\n\n> mine\\r\\n\n< c\\n\n. left\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []int{0, 1, 3} {
		c, err := (&Caller{Transport: &Replay{Transcript: tr, Piece: piece}}).Open(context.Background(), Endpoint{})
		if err != nil {
			t.Fatal(err)
		}
		if line, err := c.ReadLine(); err != nil || string(line) != "a\n" {
			t.Fatalf("ReadLine = %q, %v", line, err)
		}
		if err := c.Send("mine"); err != nil {
			t.Fatalf("pieces of %d: %v", piece, err)
		}
		for _, want := range []string{"b\n", "c\n"} {
			if line, err := c.ReadLine(); err != nil || string(line) != want {
				t.Fatalf("pieces of %d: ReadLine = %q, %v, want %q", piece, line, err, want)
			}
		}
		if err := c.Send("more"); !errors.Is(err, ErrOtherWords) {
			t.Errorf("words that the record does not have: %v", err)
		}
	}
}
