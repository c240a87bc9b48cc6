package probes

import (
	"bytes"

	"herald/wire"
)

// Rsync asks a daemon for the list of its modules, as rsync HOST:: does.
var Rsync = add(rsync{})

type rsync struct{}

var rsyncInfo = Info{
	Name:  "rsync",
	Title: "rsync daemon protocol",
	Refs:  []string{"https://download.samba.org/pub/rsync/rsyncd.conf.5", "https://github.com/RsyncProject/rsync/blob/master/csprotocol.txt"},
	Ports: []Port{{873, wire.Plain}, {874, wire.TLS}},
	Keys: []Key{
		{"rsync.greeting", "greeting, protocol version and digests"},
		{"rsync.modules", "message of the day and list of modules, without the closing line"},
		{"rsync.error", "line of @ERROR"},
	},
}

func (rsync) Info() *Info { return &rsyncInfo }

func (rsync) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, []byte("@RSYNCD: ")) {
		return Sure
	}
	return Unlike
}

func (rsync) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := c.ReadLine()
	o.Note("rsync.greeting", greeting)
	if err != nil {
		return err
	}
	words, ok := bytes.CutPrefix(greeting, []byte("@RSYNCD: "))
	if version, _ := number(words); !ok || version < 0 {
		return c.Malformed("a greeting has a version", greeting)
	}
	// Version 30 needs no list of digests (31.0 and newer do), and every server knows it.
	if err := c.Say([]byte("@RSYNCD: 30.0\n#list\n")); err != nil {
		return err
	}
	var modules []byte
	const most = 1000
	for range most {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("@RSYNCD: EXIT")):
			o.Note("rsync.modules", modules)
			o.Confirmed = true
			return nil
		case bytes.HasPrefix(line, []byte("@ERROR")):
			o.Note("rsync.modules", modules)
			o.Note("rsync.error", line)
			o.Confirmed, o.Declined = true, true
			return nil
		}
		modules = append(modules, line...)
	}
	return c.TooMuch("lines of a list", most)
}
