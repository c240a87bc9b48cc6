package probes

import (
	"bytes"

	"herald/wire"
)

// Memcached asks for the version, in the text protocol.
var Memcached = add(memcached{})

type memcached struct{}

var memcachedInfo = Info{
	Name:  "memcached",
	Title: "memcached text protocol",
	Refs:  []string{"https://github.com/memcached/memcached/blob/master/doc/protocol.txt"},
	Ports: []Port{{11211, wire.Plain}, {11212, wire.Plain}},
	Keys: []Key{
		{"memcached.version", "version, without the word VERSION"},
		{"memcached.error", "error in answer to version"},
	},
	Asks: true,
}

func (memcached) Info() *Info { return &memcachedInfo }

func (memcached) Recognize([]byte) Likeness { return Unlike }

// Every line of an HTTP request is an unknown command, and answered ERROR.
func (memcached) Overhear(asked string, answer []byte) Likeness {
	switch {
	case bytes.HasPrefix(answer, []byte("ERROR\r\nERROR\r\n")):
		return Likely
	case asked == "line" && bytes.Equal(answer, []byte("ERROR\r\n")):
		return Likely
	case bytes.Equal(answer, []byte("ERROR\r\n")), bytes.HasPrefix(answer, []byte("CLIENT_ERROR ")):
		return Possible
	}
	return Unlike
}

func (memcached) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := c.Ask("version")
	if err != nil {
		return err
	}
	version, ok := bytes.CutPrefix(answer, []byte("VERSION "))
	switch {
	case ok && bytes.HasSuffix(answer, []byte("\r\n")):
		o.Note("memcached.version", version)
	case bytes.HasPrefix(answer, []byte("CLIENT_ERROR unauthenticated")): // text protocol with --auth-file
		o.Note("memcached.error", answer)
		o.Declined = true
	default:
		return c.Malformed("version is answered VERSION and a number", answer)
	}
	o.Confirmed = true
	c.Send("quit") // has no answer
	return nil
}
