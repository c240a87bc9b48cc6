package probes

import (
	"herald/wire"
)

// LPD asks for the state of a queue that there is none of (RFC 1179, 5.3). It prints,
// removes and starts nothing.
var LPD = add(lpd{})

type lpd struct{}

var lpdInfo = Info{
	Name:  "lpd",
	Title: "Line Printer Daemon protocol",
	Refs:  []string{"RFC 1179"},
	Ports: []Port{{515, wire.Plain}},
	Keys:  []Key{{"lpd.answer", "answer about the state of queue herald"}},
	Asks:  true,
}

func (lpd) Info() *Info { return &lpdInfo }

func (lpd) Recognize([]byte) Likeness { return Unlike }

func (lpd) Overhear(_ string, answer []byte) Likeness {
	if printable(answer) && (containsWord(answer, "lpd", "lpsched") || indexFold(answer, "illegal service request") >= 0) {
		return Likely
	}
	return Unlike
}

func (lpd) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := askRaw(c, []byte("\x03herald\n"), 4<<10)
	if err != nil {
		return err
	}
	// RFC 1179 leaves the words open.
	if !printable(trimZeros(answer)) || !containsWord(answer, "printer", "queue", "lpd", "entries", "lp", "lpsched", "spool") {
		return c.Malformed("a printer daemon tells the state of its queue", answer)
	}
	o.Note("lpd.answer", answer)
	o.Confirmed = true
	return nil
}
