package wire_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whoever reads lines from a nasty server ends in time, in bounds, and with the right
// kind of failure: on real sockets.
func TestNastyServersEndAsTheyMust(t *testing.T) {
	const busy = time.Minute   // what a busy machine may take for what ends by itself
	var meeting sync.WaitGroup // not t.Parallel, which allows as many as there are processors: here everybody waits
	defer meeting.Wait()
	for _, s := range wiretest.Servers() {
		e := wiretest.Start(t, s.Serve)
		meeting.Go(func() {
			endsAsItMust(t, s, func(security wire.Security) (wire.Caller, wire.Endpoint) {
				limits := wire.Limits{Dial: busy, TLS: busy, Reply: busy, Whole: busy, Bytes: 64 << 10}
				switch {
				case security == wire.TLS && s.Handshake == wire.Timeout:
					limits.TLS = 100 * time.Millisecond
				case s.Reading == wire.Timeout:
					limits.Reply = 200 * time.Millisecond
				case s.Slow: // in the clear: in a handshake it would be a timeout
					limits.Whole = time.Second
				}
				e.Security = security
				return wire.Caller{Limits: limits}, e
			})
		})
	}
}

// In memory they end alike, by the limits that hold where nobody says otherwise. So tests of
// others, who meet them there, meet what they would on a network.
func TestNastyServersEndAsTheyMustInMemory(t *testing.T) {
	for _, s := range wiretest.Servers() {
		synctest.Test(t, func(t *testing.T) {
			endsAsItMust(t, s, func(security wire.Security) (wire.Caller, wire.Endpoint) {
				return wire.Caller{Transport: wiretest.Only(s.Serve), Limits: wire.Limits{Bytes: 64 << 10}}, wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Security: security}
			})
			time.Sleep(wiretest.Longest)
		})
	}
}

// endsAsItMust reads lines from a server until it ends, and looks at the kinds of that.
func endsAsItMust(t *testing.T, s wiretest.Server, call func(wire.Security) (wire.Caller, wire.Endpoint)) {
	kind := func(security wire.Security) wire.Kind {
		caller, e := call(security)
		c, err := caller.Open(context.Background(), e)
		if c == nil { // a reset may come before the dial has returned
			return wire.KindOf(err)
		}
		defer c.Close()
		if err == nil {
			err = c.Send("HELLO")
		}
		for err == nil {
			_, err = c.ReadLine()
		}
		if received, _ := c.Traffic(); received > caller.Limits.Bytes {
			t.Errorf("%s: %d bytes were taken", s.Name, received)
		}
		if c.TLS() == nil && wire.KindOf(err) == wire.NotTLS && len(c.Heard()) == 0 {
			t.Errorf("%s: what was said instead of TLS is lost", s.Name)
		}
		return wire.KindOf(err)
	}
	reading := wire.Plain
	if s.TLS && s.Handshake == "" {
		reading = wire.TLS
	} else if s.TLS {
		if got := kind(wire.TLS); got != s.Handshake {
			t.Errorf("%s: the handshake ends as %q, not %q", s.Name, got, s.Handshake)
		}
	}
	got := kind(reading)
	if got == wire.Reset && s.Reading == wire.Closed {
		got = wire.Closed // who closes before our word has come, and who after it, unread
	}
	if got != s.Reading {
		t.Errorf("%s: reading ends as %q, not %q", s.Name, got, s.Reading)
	}
}

// A reset may come behind any byte: what was said before it is heard, and it is told
// from an end.
func TestResetBehindEachByte(t *testing.T) {
	const words = "220 mx.example.org\r\n"
	for n := range len(words) + 1 {
		e := wiretest.Start(t, wiretest.ResetAfter(words, n))
		c, err := (&wire.Caller{Limits: wire.Limits{Dial: time.Minute, Greeting: time.Minute, Settle: time.Minute, Reply: time.Minute, Whole: time.Minute}}).Open(context.Background(), e)
		if c == nil {
			if wire.KindOf(err) != wire.Reset {
				t.Errorf("after %d bytes it does not open: %v", n, err)
			}
			continue
		}
		_, err = c.Peek(len(words) + 1)
		if wire.KindOf(err) != wire.Reset {
			t.Errorf("after %d bytes: %v", n, err)
		}
		if heard := string(c.Heard()); !strings.HasPrefix(words, heard) {
			t.Errorf("after %d bytes it heard %q", n, heard)
		}
		c.Close()
	}
}

// A handshake may be reset behind any byte that the server has sent of it: that is a reset,
// or an end of TLS, and never a session.
func TestResetBehindEachByteOfTheHandshake(t *testing.T) {
	whole := wiretest.Handshake()
	limits := wire.Limits{Dial: time.Minute, TLS: time.Minute, Greeting: time.Minute, Settle: time.Minute, Reply: time.Minute, Whole: time.Minute}
	for n := range whole {
		e := wiretest.Start(t, wiretest.ResetAmidHandshake(n))
		e.Security = wire.TLS
		c, err := (&wire.Caller{Limits: limits}).Open(context.Background(), e)
		if kind := wire.KindOf(err); kind != wire.Reset {
			t.Errorf("after %d of %d bytes: %v", n, whole, err)
		}
		if c != nil {
			c.Close()
		}
	}
}

// Whoever says more than a server takes that never reads is not kept for ever.
func TestShutWindow(t *testing.T) {
	i := slices.IndexFunc(wiretest.Servers(), func(s wiretest.Server) bool { return s.Name == "never reads, its window is shut" })
	e := wiretest.Start(t, wiretest.Servers()[i].Serve)
	limits := wire.Limits{Dial: time.Minute, Reply: 200 * time.Millisecond, Whole: time.Minute, Turns: 1 << 20}
	c, err := (&wire.Caller{Limits: limits}).Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	piece := make([]byte, 1<<20)
	for range 64 { // more than any kernel keeps for us
		if err = c.Say(piece); err != nil {
			break
		}
	}
	if f := new(wire.Failure); !errors.As(err, &f) || f.Op != wire.OpWrite || f.Kind != wire.Timeout {
		t.Errorf("it ends with %v", err)
	}
}

// When the caller gives up, whatever was under way ends as canceled, and at once.
func TestCanceledInEveryStage(t *testing.T) {
	hold := wiretest.Servers()[0].Serve
	long := wire.Limits{Dial: time.Minute, Greeting: time.Minute, Settle: time.Minute, Reply: time.Minute, Whole: time.Minute, TLS: time.Minute}
	for _, test := range []struct {
		name     string
		security wire.Security
		talk     func(*wire.Conversation) error
	}{
		{name: "handshake", security: wire.TLS},
		{name: "listening", talk: func(c *wire.Conversation) error { _, err := c.Listen(time.Minute); return err }},
		{name: "reading a line", talk: func(c *wire.Conversation) error { _, err := c.ReadLine(); return err }},
		{name: "reading bytes", talk: func(c *wire.Conversation) error { _, err := c.ReadFull(10); return err }},
		{name: "reading the rest", talk: func(c *wire.Conversation) error { _, err := c.ReadRest(10); return err }},
		{name: "upgrading", talk: func(c *wire.Conversation) error { return c.StartTLS() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			arrived := make(chan struct{})
			e := wiretest.Start(t, wiretest.Announce(arrived, hold))
			e.Security = test.security
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-arrived; cancel() }()
			c, err := (&wire.Caller{Limits: long}).Open(ctx, e)
			if err == nil {
				err = test.talk(c)
			}
			if wire.KindOf(err) != wire.Canceled {
				t.Errorf("it ends with %v", err)
			}
			if c != nil {
				c.Close()
			}
		})
	}
	t.Run("before dialling", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e := wiretest.Start(t, hold)
		if c, err := (&wire.Caller{}).Open(ctx, e); c != nil || wire.KindOf(err) != wire.Canceled {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("the context's own deadline is a timeout", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		c, err := (&wire.Caller{Limits: long}).Open(ctx, wiretest.Start(t, hold))
		if err == nil {
			_, err = c.ReadLine()
			c.Close()
		}
		if f := new(wire.Failure); !errors.As(err, &f) || f.Kind != wire.Timeout {
			t.Errorf("it ends with %v", err)
		}
	})
}

// What a server that wants another handshake gets is the alert no_renegotiation (RFC 5246,
// 7.2.2): it asked by the rules, and was understood.
func TestRenegotiationIsRefused(t *testing.T) {
	i := slices.IndexFunc(wiretest.Servers(), func(s wiretest.Server) bool { return s.Name == "asks to renegotiate" })
	e := wiretest.Start(t, wiretest.Servers()[i].Serve)
	e.Security = wire.TLS
	long := wire.Limits{Dial: time.Minute, TLS: time.Minute, Reply: time.Minute, Whole: time.Minute}
	c, err := (&wire.Caller{Limits: long}).Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.ReadLine()
	var op *net.OpError
	if !errors.As(err, &op) || wire.KindOf(err) != wire.TLSFailed {
		t.Fatalf("it ends with %v", err)
	}
	const noRenegotiation = 100
	if v := reflect.ValueOf(op.Err); op.Op != "local error" || v.Kind() != reflect.Uint8 || v.Uint() != noRenegotiation {
		t.Errorf("we say %v", op)
	}
}
