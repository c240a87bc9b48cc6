package probes

import (
	"bytes"
	"fmt"

	"herald/wire"
)

// NNTP speaks the Network News Transfer Protocol as a reader would. It never
// authenticates, and neither posts nor transfers an article.
//
// Commands whose answers do not depend on each other go out together where the server
// speaks the protocol's version 2, which must take that (RFC 3977, 3.5).
var NNTP = add(nntp{})

type nntp struct{}

var nntpInfo = Info{
	Name:  "nntp",
	Title: "Network News Transfer Protocol",
	Refs:  []string{"RFC 3977", "RFC 4642", "RFC 4643", "RFC 8143"},
	Ports: []Port{{119, wire.Plain}, {563, wire.TLS}, {433, wire.Plain}},
	Keys: []Key{
		{"nntp.greeting", "greeting"},
		{"nntp.capabilities", "reply to CAPABILITIES, every line; again after MODE READER and inside TLS"},
		{"nntp.implementation", "argument of the capability IMPLEMENTATION"},
		{"nntp.mode-reader", "reply to MODE READER, asked where the capabilities call for it or are refused"},
		{"nntp.starttls", "reply to STARTTLS"},
		{"nntp.help", "reply to HELP, every line"},
		{"nntp.date", "reply to DATE"},
		{"nntp.overview", "reply to LIST OVERVIEW.FMT, every line"},
		{"nntp.quit", "reply to QUIT"},
	},
}

func (nntp) Info() *Info { return &nntpInfo }

func (nntp) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	code, more := replyLine(line)
	if more {
		return Unlike // NNTP has no such continuation
	}
	named := containsWord(line, "NNTP", "NNRP", "news", "Netnews", "usenet", "InterNetNews") ||
		containsWord(line, "posting", "reader", "transit")
	switch code {
	case 200, 201:
		if named {
			return Likely
		}
		return Possible
	case 400, 502:
		if named {
			return Likely
		}
		return Possible // RFC 3977, 5.1.1: temporarily and for good
	}
	return Unlike
}

func (nntp) Converse(c *wire.Conversation, o *Observation) error {
	t := nntpTalk{c: c, o: o}
	greeting, err := t.hear("nntp.greeting")
	if err != nil {
		return err
	}
	switch greeting.Code {
	case 200, 201:
		return t.meet()
	case 400, 502, 480, 483:
		o.Declined = true
		return t.quit()
	}
	return fmt.Errorf("NNTP does not greet with %d: %w", greeting.Code, ErrOtherProtocol)
}

// nntpTalk is a conversation and what the server says that it can do.
type nntpTalk struct {
	c       *wire.Conversation
	o       *Observation
	offered []string
}

func (t *nntpTalk) meet() error {
	list, err := t.ask("nntp.capabilities", "CAPABILITIES")
	if err != nil {
		return err
	}
	refused := list.Code != 101 // older than RFC 3977; it may know all the rest
	if refused || hasWordFirst(t.offered, "MODE-READER") {
		mode, err := t.ask("nntp.mode-reader", "MODE READER")
		if err != nil {
			return err
		}
		if !refused && mode.positive() {
			if _, err := t.ask("nntp.capabilities", "CAPABILITIES"); err != nil {
				return err
			}
		}
		if refused && !t.o.Confirmed {
			if err := t.settle(); err != nil {
				return err
			}
		}
	}
	asked := true
	if t.c.TLS() == nil && !t.c.Manners().NoUpgrade && (refused || hasWordFirst(t.offered, "STARTTLS")) {
		agreed, err := t.ask("nntp.starttls", "STARTTLS")
		if err != nil {
			return err
		}
		if agreed.Code == 382 {
			if err := t.c.StartTLS(); err != nil {
				return err
			}
			asked = false
		}
	}
	return t.farewell(asked)
}

// settle asks a server that has refused two commands for the one that all know.
func (t *nntpTalk) settle() error {
	if _, err := t.ask("nntp.help", "HELP"); err != nil {
		return err
	}
	if !t.o.Confirmed {
		t.c.Send("QUIT")
		return fmt.Errorf("neither CAPABILITIES nor HELP is answered as NNTP does: %w", ErrOtherProtocol)
	}
	return nil
}

// farewell asks what is left to ask, and leaves.
func (t *nntpTalk) farewell(asked bool) error {
	var questions [][2]string
	if !asked {
		questions = append(questions, [2]string{"nntp.capabilities", "CAPABILITIES"})
	}
	if t.o.Text("nntp.help") == nil {
		questions = append(questions, [2]string{"nntp.help", "HELP"})
	}
	old := t.offered == nil
	if old || hasWordFirst(t.offered, "READER") {
		questions = append(questions, [2]string{"nntp.date", "DATE"}) // RFC 3977, 7.1: every reader's server has it
	}
	if lists, _ := argument(t.offered, "LIST"); old || containsWord([]byte(lists), "OVERVIEW.FMT") {
		questions = append(questions, [2]string{"nntp.overview", "LIST OVERVIEW.FMT"})
	}
	if old {
		for _, q := range questions {
			r, err := t.ask(q[0], q[1])
			if err != nil {
				return err
			}
			if r.Code == 480 || r.Code == 502 {
				break // it wants a login for such: the rest would be refused alike
			}
		}
		return t.quit()
	}
	var message bytes.Buffer
	for _, q := range questions {
		message.WriteString(q[1] + "\r\n")
	}
	message.WriteString("QUIT\r\n")
	if err := t.c.Say(message.Bytes()); err != nil {
		return err
	}
	for _, q := range questions {
		if _, err := t.hear(q[0]); err != nil {
			return err
		}
	}
	_, err := t.hear("nntp.quit")
	return onlyMalformed(err)
}

func (t *nntpTalk) quit() error {
	_, err := t.ask("nntp.quit", "QUIT")
	return onlyMalformed(err)
}

func (t *nntpTalk) ask(key, command string) (reply, error) {
	if err := t.c.Send(command); err != nil {
		return reply{}, err
	}
	return t.hear(key)
}

// nntpConfirms are the codes that only NNTP gives to these questions (RFC 3977, appendix
// C; RFC 4642, 2.2): the rest of the family has others or none.
var nntpConfirms = map[string][]int{
	"nntp.capabilities": {101},
	"nntp.mode-reader":  {200, 201},
	"nntp.starttls":     {382},
	"nntp.help":         {100},
	"nntp.date":         {111},
	"nntp.quit":         {205},
}

// hear reads and notes a reply: a line, and for some codes a block of lines (RFC 3977,
// 3.2 and appendix C).
func (t *nntpTalk) hear(key string) (reply, error) {
	from := t.c.Consumed()
	line, err := t.c.ReadLine()
	if err != nil {
		return reply{}, err
	}
	code, more := replyLine(line)
	r := reply{Code: code, Text: line}
	if code == 0 || more {
		t.o.Note(key, line)
		return r, t.c.Malformed("a reply is three digits and a text", line)
	}
	switch {
	case code == 100 && key == "nntp.help", code == 101 && key == "nntp.capabilities", code == 215 && key == "nntp.overview":
		_, err := readDotLines(t.c)
		r.Text = consumedSince(t.c, from)
		if err != nil {
			t.o.Note(key, r.Text)
			return r, err
		}
	}
	t.o.Note(key, r.Text)
	for _, own := range nntpConfirms[key] {
		t.o.Confirmed = t.o.Confirmed || code == own
	}
	if code == 101 && key == "nntp.capabilities" {
		t.offered = NNTPCapabilities(r.Text)
		if what, ok := argument(t.offered, "IMPLEMENTATION"); ok {
			t.o.Note("nntp.implementation", []byte(what))
		}
	}
	return r, nil
}
