package scan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"herald/resolve"
	"herald/wire"
)

// doorbell is a transport that plays the same short conversation to everybody and keeps
// when each connection was opened, and how many stood at once.
type doorbell struct {
	words string // the server's first words
	after string // its answer to whatever is said then
	end   string
	stays time.Duration // before the first words

	mu   sync.Mutex
	rung []time.Time
	open int
	most int
}

func (d *doorbell) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	x := wire.Exchange{End: d.end}
	if d.words != "" {
		x.Events = append(x.Events, wire.Event{Mark: '<', Data: []byte(d.words)})
	}
	if d.after != "" {
		x.Events = append(x.Events, wire.Event{Mark: '>'}, wire.Event{Mark: '<', Data: []byte(d.after)})
	}
	c, err := (&wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{x}}, AnyWords: true}).Dial(ctx, e)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rung = append(d.rung, time.Now())
	d.open++
	d.most = max(d.most, d.open)
	return &counted{Conn: c, of: d}, err
}

type counted struct {
	net.Conn
	of    *doorbell
	heard bool
	once  sync.Once
}

func (c *counted) Read(b []byte) (int, error) {
	if !c.heard {
		c.heard = true
		time.Sleep(c.of.stays) // a fake clock's
	}
	return c.Conn.Read(b)
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		c.of.open--
		c.of.mu.Unlock()
	})
	return c.Conn.Close()
}

func portsOf(address string, ports ...uint16) (all []Target) {
	for i, port := range ports {
		all = append(all, Target{Host: address, Addr: netip.MustParseAddr(address), Port: port, Position: uint64(i)})
	}
	return all
}

// An address that says 421 or 429, or resets, is left alone for a while, twice as long
// each time; another address is not kept waiting.
func TestPushedBackIsHonoured(t *testing.T) {
	for name, d := range map[string]*doorbell{
		"421":    {words: "421 4.7.0 too many connections\r\n", end: "read closed"},
		"429":    {after: "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", end: "read closed"},
		"resets": {end: "read reset"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := New(Options{Caller: wire.Caller{Transport: d}, Workers: 4, PerHost: 1})
				var written []*Service
				const mail, web = uint16(2525), uint16(8080)
				port := mail
				if name == "429" {
					port = web
				}
				ports := []uint16{port, port + 1, port + 2, port + 3}
				if err := s.Run(t.Context(), sourceOf(portsOf("192.0.2.1", ports...)...), sinkOf(&written)); err != nil || len(written) != len(ports) {
					t.Fatalf("%d services, %v", len(written), err)
				}
				first := map[uint16]time.Time{}
				for _, w := range written {
					first[w.Target.Port] = w.Started
				}
				var at []time.Duration
				for _, p := range ports {
					at = append(at, first[p].Sub(began).Round(time.Second))
				}
				if want := fmt.Sprint([]time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}); fmt.Sprint(at) != want {
					t.Errorf("it is visited at %v, not at %s", at, want)
				}
			})
		})
	}
}

// One conversation at a time goes to the mail ports of an address; other ports and other
// addresses do not wait.
func TestOneConversationAtATimeOnMailPorts(t *testing.T) {
	mail := []uint16{25, 110, 143, 465, 587, 993, 995, 4190}
	run := func(targets []Target) (most int, took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			d := &doorbell{words: "421 busy\r\n", end: "read closed", stays: 50 * time.Millisecond}
			began := time.Now()
			s := New(Options{Caller: wire.Caller{Transport: d}})
			var written []*Service
			if err := s.Run(t.Context(), sourceOf(targets...), sinkOf(&written)); err != nil || len(written) != len(targets) {
				t.Fatalf("%d services, %v", len(written), err)
			}
			most, took = d.most, time.Since(began)
		})
		return most, took
	}
	if most, _ := run(portsOf("192.0.2.1", mail...)); most != 1 {
		t.Errorf("%d conversations at once with the mail ports of one address", most)
	}
	var many []Target
	for i := range 8 {
		many = append(many, portsOf(fmt.Sprintf("192.0.2.%d", i+1), 25)...)
	}
	for i := range many {
		many[i].Position = uint64(i)
	}
	if most, _ := run(many); most != 8 {
		t.Errorf("%d conversations at once with eight addresses", most)
	}
}

// When the context ends, Run ends with it, in whatever stage its endpoints are; when it
// is drained, what is under way is finished and nothing new is begun.
func TestRunEnds(t *testing.T) {
	silent := func() *doorbell { return &doorbell{stays: 5 * time.Second} }
	endlessTargets := func(yield func(Target, error) bool) {
		for i := uint64(0); ; i++ {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if !yield(Target{Host: addr.String(), Addr: addr, Port: 2525, Position: i}, nil) {
				return
			}
		}
	}
	t.Run("canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var written []*Service
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			err := New(Options{Caller: wire.Caller{Transport: silent()}, Workers: 16}).Run(ctx, endlessTargets, sinkOf(&written))
			if err != context.Canceled {
				t.Errorf("it ends with %v", err)
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("it takes %s", took)
			}
			for _, s := range written {
				if s.Failure != nil && s.Failure.Kind == wire.Canceled {
					t.Errorf("what was broken off is written: %v", s.Failure)
				}
			}
		})
	})
	t.Run("drained", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			drain := make(chan struct{})
			var written []*Service
			time.AfterFunc(time.Second, func() { close(drain) })
			d := silent()
			err := New(Options{Caller: wire.Caller{Transport: d}, Workers: 16, Drain: drain}).Run(t.Context(), endlessTargets, sinkOf(&written))
			if !errors.Is(err, ErrDrained) || len(written) < 16 || len(written) > 16+64 {
				t.Errorf("%d services, %v", len(written), err)
			}
			for _, s := range written {
				if s.Failure != nil && s.Failure.Kind == wire.Canceled || s.Started.After(time.Now()) {
					t.Errorf("what was under way was not finished: %v", s.Failure)
				}
			}
		})
	})
	t.Run("what the sink holds back cannot be written", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			full := errors.New("no space left on device")
			sink := unflushable{sinkOf(new([]*Service)), full}
			began := time.Now()
			err := New(Options{Caller: wire.Caller{Transport: silent()}, Workers: 16}).Run(t.Context(), endlessTargets, sink)
			if took := time.Since(began); err != full || took > 6*time.Second {
				t.Errorf("it ends with %v after %s", err, took)
			}
		})
	})
	t.Run("drained when all was begun", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			drain := make(chan struct{})
			var written []*Service
			time.AfterFunc(time.Second, func() { close(drain) })
			targets := portsOf("192.0.2.1", 2525, 2526, 2527)
			err := New(Options{Caller: wire.Caller{Transport: silent()}, Drain: drain}).Run(t.Context(), sourceOf(targets...), sinkOf(&written))
			if err != nil || len(written) != len(targets) {
				t.Errorf("%d services, %v", len(written), err)
			}
		})
	})
	t.Run("drained amid targets of several addresses", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			names := resolve.Map{Names: map[string][]netip.Addr{}}
			var targets []Target
			for i := range 200 {
				name := fmt.Sprintf("host%d.example.org", i)
				for k := range 3 {
					names.Names[name] = append(names.Names[name], netip.AddrFrom4([4]byte{10, byte(i % 4), 0, byte(k + 1)}))
				}
				targets = append(targets, Target{Host: name, Port: 2525, Position: uint64(i)})
			}
			drain := make(chan struct{})
			var written []*Service
			time.AfterFunc(time.Second, func() { close(drain) })
			s := New(Options{Caller: wire.Caller{Transport: silent()}, Resolver: names, Workers: 5, PerHost: 2, PerNet: 3, Drain: drain})
			if err := s.Run(t.Context(), sourceOf(targets...), sinkOf(&written)); !errors.Is(err, ErrDrained) || len(written) == 0 || len(written) > 60 {
				t.Errorf("%d services, %v", len(written), err)
			}
			family := map[string]int{}
			for _, s := range written {
				family[s.Target.Host]++
			}
			for name, n := range family {
				if n != 3 {
					t.Errorf("%s: %d of 3 endpoints are written", name, n)
				}
			}
		})
	})
}

// unflushable is a sink that takes services and cannot hand them on.
type unflushable struct {
	Sink
	err error
}

func (u unflushable) Flush() error { return u.err }

// What becomes due between two looks at the clock is woken up for all the same: with
// nothing else under way a scan with a rate would stand still for ever.
func TestAlarmForWhatBecameDueMeanwhile(t *testing.T) {
	d := newDispatcher(courtesy{rate: 1000})
	now := time.Now()
	d.ready, d.due = []*work{{}}, now.Add(1) // over by the time that alarm is called
	for !time.Now().After(d.due) {
	}
	if at := d.alarm(now); !at.Equal(d.due) {
		t.Errorf("the alarm is set to %v, not to %v", at, d.due)
	}
}
