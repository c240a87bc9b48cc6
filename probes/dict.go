package probes

import (
	"bytes"

	"herald/wire"
)

// Dict asks a dictionary server about itself and leaves.
var Dict = add(dict{})

type dict struct{}

var dictInfo = Info{
	Name:  "dict",
	Title: "Dictionary server protocol",
	Refs:  []string{"RFC 2229"},
	Ports: []Port{{2628, wire.Plain}},
	Keys: []Key{
		{"dict.greeting", "greeting"},
		{"dict.server", "answer to SHOW SERVER, every line"},
		{"dict.quit", "reply to QUIT"},
	},
}

func (dict) Info() *Info { return &dictInfo }

func (dict) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	code, _ := replyLine(line)
	switch {
	case code == 220 && bytes.HasSuffix(line, []byte(">")) && bytes.Count(line, []byte(" <")) >= 1:
		// RFC 2229, 3.1: "220 text <capabilities> msg-id"; two texts in angle brackets.
		words := bytes.Fields(line)
		if last := len(words) - 1; last > 1 && words[last][0] == '<' && words[last-1][0] == '<' && words[last-1][len(words[last-1])-1] == '>' {
			return Sure
		}
	case code == 530 && containsWord(line, "access denied"), code == 420 && containsWord(line, "server temporarily unavailable"):
		return Possible
	}
	return Unlike
}

func (d dict) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := c.ReadLine()
	o.Note("dict.greeting", greeting)
	if err != nil {
		return err
	}
	switch code, _ := replyLine(greeting); {
	case (code == 530 || code == 420 || code == 421) && d.Recognize(greeting) > Unlike:
		o.Declined = true
		return nil
	case code != 220:
		return c.Malformed("a greeting is 220", greeting)
	}
	about, err := c.Ask("SHOW SERVER")
	if err != nil {
		return err
	}
	if code, _ := replyLine(about); code == 114 {
		const most = 200
		for range most {
			line, err := c.ReadLine()
			if err != nil {
				return err
			}
			about = append(about[:len(about):len(about)], line...)
			// "." ends the text and 250 the answer (RFC 2229, 3.5.3, 2.4.1).
			if code, _ := replyLine(line); code == 250 && bytes.HasSuffix(about[:len(about)-len(line)], []byte("\n.\r\n")) {
				o.Confirmed = true
				break
			}
		}
	} else if code/100 != 5 {
		return c.Malformed("SHOW SERVER is answered 114 or refused", about)
	} else {
		o.Confirmed = d.Recognize(greeting) == Sure
	}
	o.Note("dict.server", about)
	return leave(c, o, "dict.quit")
}
