package probes

import (
	"bytes"

	"herald/wire"
)

// Gearman asks a job server for its version, in the administrative text protocol.
var Gearman = add(gearman{})

type gearman struct{}

var gearmanInfo = Info{
	Name:  "gearman",
	Title: "Gearman job server",
	Refs:  []string{"http://gearman.org/protocol/"},
	Ports: []Port{{4730, wire.Plain}},
	Keys:  []Key{{"gearman.version", "version, without OK"}},
	Asks:  true,
}

func (gearman) Info() *Info { return &gearmanInfo }

func (gearman) Recognize([]byte) Likeness { return Unlike }

func (gearman) Overhear(_ string, answer []byte) Likeness {
	if bytes.HasPrefix(answer, []byte("ERR UNKNOWN_COMMAND Unknown+server+command")) {
		return Sure
	}
	return Unlike
}

func (gearman) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := c.Ask("version")
	if err != nil {
		return err
	}
	version, ok := bytes.CutPrefix(answer, []byte("OK "))
	if n, _ := number(version); !ok || n < 0 {
		return c.Malformed("version is answered OK and a number", answer)
	}
	// memcached, beanstalkd and others do not know this word of Gearman's.
	again, err := c.Ask("show jobs herald")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(again, []byte("ERR ")) && string(again) != ".\n" {
		return c.Malformed("an error, or an empty list", again)
	}
	o.Note("gearman.version", version)
	o.Confirmed = true
	return nil
}
