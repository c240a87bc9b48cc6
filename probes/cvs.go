package probes

import (
	"bytes"

	"herald/wire"
)

// CVS says what no client says: a pserver's proper beginning is a login, and its refusal
// of any other names the program.
var CVS = add(cvs{})

type cvs struct{}

var cvsInfo = Info{
	Name:  "cvs",
	Title: "CVS pserver",
	Refs:  []string{"https://www.gnu.org/software/trans-coord/manual/cvs/cvs.html#Password-authentication"},
	Ports: []Port{{2401, wire.Plain}},
	Keys:  []Key{{"cvs.answer", "refusal"}},
	Asks:  true,
}

func (cvs) Info() *Info { return &cvsInfo }

func (cvs) Recognize(words []byte) Likeness {
	line := firstLine(words)
	switch {
	case containsWord(line, "pserver") && containsWord(line, "aborted", "failed") && bytes.IndexByte(line, ':') > 0:
		return Sure
	case bytes.HasPrefix(line, []byte("cvs ")), bytes.HasPrefix(line, []byte("cvs: ")):
		return Likely
	}
	return Unlike
}

func (p cvs) Overhear(_ string, answer []byte) Likeness { return p.Recognize(answer) }

func (p cvs) Converse(c *wire.Conversation, o *Observation) error {
	if len(c.Pending()) == 0 {
		if err := c.Say([]byte("HERALD\n")); err != nil {
			return err
		}
	}
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	if p.Recognize(line) != Sure {
		return c.Malformed("a pserver aborts by its name", line)
	}
	o.Note("cvs.answer", line)
	o.Confirmed, o.Declined = true, true
	return nil
}
