package probes

import (
	"bytes"

	"herald/wire"
)

// Gopher asks for the first menu.
var Gopher = add(gopher{})

type gopher struct{}

var gopherInfo = Info{
	Name:  "gopher",
	Title: "Internet Gopher",
	Refs:  []string{"RFC 1436"},
	Ports: []Port{{70, wire.Plain}},
	Keys:  []Key{{"gopher.answer", "first menu, 8 KiB at most"}},
	Asks:  true,
}

func (gopher) Info() *Info { return &gopherInfo }

func (gopher) Recognize([]byte) Likeness { return Unlike }

func (gopher) Overhear(_ string, answer []byte) Likeness {
	if bytes.IndexByte(answer, '\n') > 0 && gopherItem(firstLine(answer)) {
		return Sure
	}
	return Unlike
}

func (gopher) Converse(c *wire.Conversation, o *Observation) error {
	menu, err := askRaw(c, []byte("\r\n"), 8<<10)
	if err != nil {
		return err
	}
	if !gopherItem(firstLine(menu)) {
		return c.Malformed("a menu is made of items", menu)
	}
	o.Note("gopher.answer", menu)
	o.Confirmed = true
	return nil
}

// gopherItem says whether a line is type and text, selector, host and port (RFC 1436,
// 3.9), between tabs.
func gopherItem(line []byte) bool {
	parts := bytes.Split(line, []byte("\t"))
	if len(parts) < 4 || len(parts[0]) == 0 || bytes.IndexByte([]byte("0123456789+TgIihdsMpPrc:;<"), parts[0][0]) < 0 {
		return false
	}
	port, rest := number(parts[3])
	return port >= 0 && port < 1<<16 && len(rest) == 0
}
