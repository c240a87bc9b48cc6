package probes

import (
	"bytes"

	"herald/wire"
)

// Ident asks for the owner of a connection between ports 1 and 1, which there is none of.
var Ident = add(ident{})

type ident struct{}

var identInfo = Info{
	Name:  "ident",
	Title: "Identification protocol",
	Refs:  []string{"RFC 1413"},
	Ports: []Port{{113, wire.Plain}},
	Keys:  []Key{{"ident.answer", "answer to the query \"1, 1\""}},
	Asks:  true,
}

func (ident) Info() *Info { return &identInfo }

func (ident) Recognize([]byte) Likeness { return Unlike }

// Overhear: a server that is asked for something else says so in its own form.
func (ident) Overhear(_ string, answer []byte) Likeness {
	if identReply(firstLine(answer)) {
		return Sure
	}
	return Unlike
}

func (ident) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := c.Ask("1, 1")
	if err != nil {
		return err
	}
	if !identReply(firstLine(answer)) {
		return c.Malformed("an answer has two ports and ERROR or USERID", answer)
	}
	o.Note("ident.answer", answer)
	o.Confirmed = true
	return nil
}

// identReply says whether a line is "PORT, PORT : ERROR : …" or "… : USERID : …".
func identReply(line []byte) bool {
	ports, rest, _ := bytes.Cut(line, []byte(":"))
	kind, _, ok := bytes.Cut(rest, []byte(":"))
	one, other, two := bytes.Cut(ports, []byte(","))
	if kind = bytes.TrimSpace(kind); !ok || !two || string(kind) != "ERROR" && string(kind) != "USERID" {
		return false
	}
	a, restA := number(bytes.TrimSpace(one))
	b, restB := number(bytes.TrimSpace(other))
	return a >= 0 && b >= 0 && len(restA) == 0 && len(restB) == 0
}
