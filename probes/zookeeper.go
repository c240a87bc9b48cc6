package probes

import (
	"bytes"

	"herald/wire"
)

// ZooKeeper asks srvr, the one of the four letter words that is allowed by default.
var ZooKeeper = add(zookeeper{})

type zookeeper struct{}

var zookeeperInfo = Info{
	Name:  "zookeeper",
	Title: "Apache ZooKeeper",
	Refs:  []string{"https://zookeeper.apache.org/doc/current/zookeeperAdmin.html#sc_4lw"},
	Ports: []Port{{2181, wire.Plain}, {2182, wire.Plain}},
	Keys: []Key{
		{"zookeeper.answer", "answer to srvr, every line"},
		{"zookeeper.version", "version, without what it was built from and when"},
	},
	Asks: true,
}

func (zookeeper) Info() *Info { return &zookeeperInfo }

func (zookeeper) Recognize([]byte) Likeness { return Unlike }

func (zookeeper) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := askRaw(c, []byte("srvr"), 4<<10)
	if err != nil {
		return err
	}
	version, ok := bytes.CutPrefix(answer, []byte("Zookeeper version: "))
	refused := bytes.HasPrefix(answer, []byte("srvr is not executed because it is not in the whitelist")) ||
		bytes.HasPrefix(answer, []byte("This ZooKeeper instance is not currently serving requests"))
	if !ok && !refused {
		return c.Malformed("srvr is answered by the version", answer)
	}
	o.Note("zookeeper.answer", answer)
	if ok {
		version, _, _ = bytes.Cut(firstLine(version), []byte("-"))
		version, _, _ = bytes.Cut(version, []byte(","))
		o.Note("zookeeper.version", version)
	}
	o.Confirmed = true
	return nil
}
