package probes

import (
	"bytes"

	"herald/wire"
)

// Beanstalkd asks for the server's statistics and takes no job.
var Beanstalkd = add(beanstalkd{})

type beanstalkd struct{}

var beanstalkdInfo = Info{
	Name:  "beanstalkd",
	Title: "beanstalkd work queue",
	Refs:  []string{"https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt"},
	Ports: []Port{{11300, wire.Plain}},
	Keys: []Key{
		{"beanstalkd.stats", "statistics, a YAML dictionary"},
		{"beanstalkd.version", "its version"},
	},
	Asks: true,
}

func (beanstalkd) Info() *Info { return &beanstalkdInfo }

func (beanstalkd) Recognize([]byte) Likeness { return Unlike }

func (beanstalkd) Overhear(_ string, answer []byte) Likeness {
	if bytes.HasPrefix(answer, []byte("UNKNOWN_COMMAND\r\n")) {
		return Sure
	}
	return Unlike
}

func (beanstalkd) Converse(c *wire.Conversation, o *Observation) error {
	head, err := c.Ask("stats")
	if err != nil {
		return err
	}
	size, _ := number(bytes.TrimPrefix(head, []byte("OK ")))
	if !bytes.HasPrefix(head, []byte("OK ")) || size < 1 || size > 16<<10 {
		return c.Malformed("stats are answered OK and a size", head)
	}
	stats, err := c.ReadFull(size + 2)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(stats, []byte("---\n")) {
		return c.Malformed("statistics are a dictionary", stats)
	}
	o.Note("beanstalkd.stats", stats)
	for line := range bytes.Lines(stats) {
		if version, ok := bytes.CutPrefix(line, []byte("version: ")); ok {
			o.Note("beanstalkd.version", bytes.Trim(version, "\"\n"))
		}
	}
	o.Confirmed = true
	c.Send("quit") // has no answer
	return nil
}
