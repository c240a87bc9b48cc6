package mail

import (
	"slices"
	"time"

	"herald/wire"
)

// enumerate asks by hellos of our own which versions and suites are taken, on fresh
// connections, paced: each version is offered all suites, then all but those chosen.
func (v *visit) enumerate() {
	const most = 60 // connections for one service
	used := 0
	for version := uint16(0x0304); version >= 0x0300; version-- {
		offer := suitesOf(version)
		for len(offer) > 0 && used < most && v.ctx.Err() == nil {
			used++
			a, err := v.hello(version, offer)
			h := Hello{Version: version, Suite: a.Suite, Group: a.Group}
			if err != nil {
				h.Unknown = failure("hello", err).String()
			}
			switch {
			case a.Refused || a.Version != version:
				h.Suite = 0
			case h.Suite != 0 && !slices.Contains(offer, h.Suite):
				h.Unknown, h.Suite = "it chose "+suiteName(h.Suite)+", which was not offered", 0
			}
			v.s.Hellos = append(v.s.Hellos, h)
			if h.Suite == 0 {
				break
			}
			offer = without(offer, h.Suite)
		}
	}
}

func (v *visit) hello(version uint16, offer []uint16) (wire.HelloAnswer, error) {
	if v.s.custom() != 25 { // those on 25 are spaced by open
		select {
		case <-time.After(100 * time.Millisecond):
		case <-v.ctx.Done():
		}
	}
	caller := v.caller()
	caller.Limits.Reply = min(caller.Limits.Reply, 15*time.Second)
	c, err := v.toTLS(caller)
	defer func() { v.close(c) }()
	if err != nil {
		return wire.HelloAnswer{}, err
	}
	return c.SayHello(wire.Hello{Version: version, Suites: offer})
}

func without(list []uint16, one uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(list), func(v uint16) bool { return v == one })
}
