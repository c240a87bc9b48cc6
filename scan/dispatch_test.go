package scan

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"herald/wire"
)

func workAt(i int) *work {
	a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return &work{Target{Addr: a, Port: 25, Position: uint64(i)}, wire.Endpoint{Addr: netip.AddrPortFrom(a, 25)}, 1, 1}
}

// A scan that every address pushes back remembers those that are resting, and no others.
func TestHostsAreForgotten(t *testing.T) {
	d := newDispatcher(courtesy{perHost: 1, perMail: 1, pushed: time.Second})
	const n = 1000
	for i := range n {
		w := workAt(i)
		d.arrive(w)
		d.ready = d.ready[:0]
		d.leave(returned{w, true})
	}
	if len(d.hosts) != n || len(d.resting) != n {
		t.Fatalf("%d hosts, %d of them resting, not %d", len(d.hosts), len(d.resting), n)
	}
	at := d.alarm(time.Now())
	if at.IsZero() || at.After(time.Now().Add(time.Second)) {
		t.Errorf("the alarm is set to %v", at)
	}
	d.wake(time.Now().Add(2 * time.Second))
	if len(d.hosts) != 0 || len(d.resting) != 0 {
		t.Errorf("%d hosts are remembered, %d resting, when all have rested", len(d.hosts), len(d.resting))
	}
}

// A host that pushes back while it rests is woken up once, and later.
func TestPushedBackWhileResting(t *testing.T) {
	d := newDispatcher(courtesy{perHost: 2, perMail: 2, pushed: time.Second})
	w := workAt(1)
	d.arrive(w)
	d.arrive(w)
	d.ready = d.ready[:0]
	d.leave(returned{w, true})
	d.leave(returned{w, true}) // two seconds from now
	d.arrive(w)
	if len(d.resting) != 1 || d.waiting != 1 {
		t.Fatalf("%d rests, %d waiting", len(d.resting), d.waiting)
	}
	d.wake(time.Now().Add(1500 * time.Millisecond))
	if d.waiting != 1 || len(d.ready) != 0 || len(d.resting) != 1 {
		t.Errorf("woken up too early: %d waiting, %d ready, %d rests", d.waiting, len(d.ready), len(d.resting))
	}
	d.wake(time.Now().Add(2500 * time.Millisecond))
	if d.waiting != 0 || len(d.ready) != 1 || len(d.resting) != 0 {
		t.Errorf("not woken up: %d waiting, %d ready, %d rests", d.waiting, len(d.ready), len(d.resting))
	}
}

// Targets of which some addresses are excluded leave nothing behind.
func TestFamiliesAreForgotten(t *testing.T) {
	d := newDispatcher(courtesy{perHost: 1, perMail: 1})
	w := workAt(1)
	w.siblings, w.going = 3, 2
	d.began(w)
	if len(d.families) != 1 {
		t.Errorf("%d families under way, not 1", len(d.families))
	}
	d.began(w)
	w.going = 1
	d.began(w)
	if len(d.families) != 0 {
		t.Errorf("%d families under way", len(d.families))
	}
}

// Whatever comes and goes, what waits for room in a network gets it, and nothing is left
// behind.
func TestNetworksGiveRoom(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 2))
		d := newDispatcher(courtesy{perHost: 2, perMail: 1, perNet: 3, pushed: time.Second})
		const n = 400
		came, went := 0, 0
		var out []*work
		for now := time.Now(); went < n; now = now.Add(time.Second) {
			for came < n && random.IntN(3) > 0 {
				w := workAt(random.IntN(40) + 256*random.IntN(2)) // forty hosts in either of two networks
				w.target.Port = []uint16{25, 80}[random.IntN(2)]
				d.arrive(w)
				came++
			}
			for _, w := range d.ready {
				d.began(w)
			}
			out, d.ready = append(out, d.ready...), nil
			all := map[netip.Prefix]int{}
			for _, w := range out {
				all[networkOf(w.endpoint.Addr.Addr())]++
			}
			for at, under := range all {
				if under > d.perNet || d.nets[at].all != under {
					t.Fatalf("seed %d: %d under way in %s, %d counted", seed, under, at, d.nets[at].all)
				}
			}
			if len(out) == 0 && came == n && d.waiting > 0 && len(d.resting) == 0 {
				t.Fatalf("seed %d: %d wait, and nothing is under way", seed, d.waiting)
			}
			for range random.IntN(4) {
				if i := len(out); i > 0 {
					i = random.IntN(i)
					d.leave(returned{out[i], random.IntN(8) == 0})
					out = append(out[:i], out[i+1:]...)
					went++
				}
			}
			d.wake(now.Add(time.Minute))
		}
		if d.wake(time.Now().Add(time.Hour)); len(d.hosts) != 0 || len(d.nets) != 0 || d.waiting != 0 {
			t.Errorf("seed %d: %d hosts, %d networks and %d waiting are left", seed, len(d.hosts), len(d.nets), d.waiting)
		}
	}
}
