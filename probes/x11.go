package probes

import (
	"encoding/binary"
	"strconv"

	"herald/wire"
)

// X11 sets a connection up without a cookie, as a client does that has none. A display
// that lets everybody in tells its vendor and release; others say why not. It opens
// no window and asks for nothing.
var X11 = add(x11{})

type x11 struct{}

var x11Info = Info{
	Name:  "x11",
	Title: "X Window System",
	Refs:  []string{"X Window System Protocol, X11, chapter 8"},
	Ports: []Port{{6000, wire.Plain}, {6001, wire.Plain}, {6002, wire.Plain}, {6010, wire.Plain}},
	Keys: []Key{
		{"x11.answer", "reason of a refusal"},
		{"x11.vendor", "vendor of a display that lets us in"},
		{"x11.release", "its release number"},
	},
	Asks: true,
}

func (x11) Info() *Info { return &x11Info }

func (x11) Recognize([]byte) Likeness { return Unlike }

// Outcomes of a connection setup.
const (
	x11Failed       = 0
	x11Success      = 1
	x11Authenticate = 2
)

func (x11) Converse(c *wire.Conversation, o *Observation) error {
	if err := c.Say([]byte{'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil { // little-endian, 11.0
		return err
	}
	head, err := c.Peek(8)
	if err != nil {
		return err
	}
	major, words := binary.LittleEndian.Uint16(head[2:]), int(binary.LittleEndian.Uint16(head[6:]))
	const most = 16 << 10 // bytes; visuals of a display have some thousand
	if head[0] > x11Authenticate || 4*words > most || words == 0 || head[0] != x11Authenticate && major != 11 {
		return c.Malformed("a connection is set up, refused, or wants more", head)
	}
	whole, err := c.ReadFull(8 + 4*words)
	if err != nil {
		return err
	}
	switch head[0] {
	case x11Failed:
		n := min(int(head[1]), len(whole)-8)
		if !printable(whole[8 : 8+n]) {
			return c.Malformed("a refusal has a reason", whole)
		}
		o.Note("x11.answer", whole[8:8+n])
		o.Confirmed, o.Declined = true, true
	case x11Authenticate:
		if major != 11 && major != 0 || !printable(whole[8:8+1]) {
			return c.Malformed("a refusal has a reason", whole)
		}
		o.Note("x11.answer", trimZeros(whole[8:]))
		o.Confirmed, o.Declined = true, true
	case x11Success:
		t := taker{rest: whole[8:]}
		release := t.u32(binary.LittleEndian)
		t.bytes(12) // resource ids, motion buffer
		n := t.u16(binary.LittleEndian)
		t.bytes(14) // request length, counts, image and key formats
		vendor := t.bytes(n)
		if t.short || !printable(vendor) {
			return c.Malformed("a display has a vendor", whole)
		}
		o.Note("x11.vendor", vendor)
		o.Note("x11.release", strconv.AppendUint(nil, uint64(release), 10))
		o.Confirmed = true
	}
	return nil
}

func trimZeros(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}
