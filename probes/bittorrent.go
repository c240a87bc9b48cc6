package probes

import (
	"bytes"

	"herald/wire"
)

// BitTorrent shakes hands about a torrent that there is none of. Most peers close then;
// one that answers, or that greets, is known by its own handshake.
var BitTorrent = add(bittorrent{})

type bittorrent struct{}

var bittorrentInfo = Info{
	Name:  "bittorrent",
	Title: "BitTorrent peer protocol",
	Refs:  []string{"https://www.bittorrent.org/beps/bep_0003.html", "https://www.bittorrent.org/beps/bep_0020.html"},
	Ports: []Port{{6881, wire.Plain}, {51413, wire.Plain}},
	Keys:  []Key{{"bittorrent.peer", "peer id, whose beginning names the client (BEP 20)"}},
	Asks:  true,
}

const bittorrentHello = "\x13BitTorrent protocol"

func (bittorrent) Info() *Info { return &bittorrentInfo }

func (bittorrent) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, []byte(bittorrentHello)) {
		return Sure
	}
	return Unlike
}

func (bittorrent) Converse(c *wire.Conversation, o *Observation) error {
	// Nothing reserved, a name of zeros, and who we are in the form of BEP 20.
	hello := append([]byte(bittorrentHello), make([]byte, 8+20)...)
	if err := c.Say(append(hello, "-HE0100-herald000000"...)); err != nil {
		return err
	}
	begin, err := c.Peek(len(bittorrentHello))
	if err != nil {
		return err
	}
	if string(begin) != bittorrentHello {
		return c.Malformed("a handshake", begin)
	}
	o.Confirmed = true
	shake, err := c.ReadFull(len(bittorrentHello) + 8 + 20 + 20)
	if err != nil {
		return err
	}
	o.Note("bittorrent.peer", shake[len(shake)-20:])
	return nil
}
