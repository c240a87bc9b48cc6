package probes

import (
	"regexp"

	"herald/wire"
)

// Daytime reads the time as a text, which is all that such a server says before it
// closes.
var Daytime = add(daytime{})

type daytime struct{}

var daytimeInfo = Info{
	Name:  "daytime",
	Title: "Daytime protocol",
	Refs:  []string{"RFC 867"},
	Ports: []Port{{13, wire.Plain}},
	Keys:  []Key{{"daytime.greeting", "date and time, as told"}},
}

// A time of day, and a year beside it: RFC 867 leaves the form open.
var (
	daytimeClock = regexp.MustCompile(`\b[0-2]?\d:[0-5]\d(:[0-5]\d)?\b`)
	daytimeDate  = regexp.MustCompile(`\b(19|20)\d\d\b|\b\d{5} \d\d-\d\d-\d\d\b|\b\d\d?[-/.]([A-Z][a-z]{2}|[A-Z]{3}|\d\d?)[-/.]\d\d(\d\d)?\b`)
)

func (daytime) Info() *Info { return &daytimeInfo }

func (daytime) Recognize(greeting []byte) Likeness {
	const most = 80 // a date is short; a log line or a banner with a date is not one
	if len(greeting) > most || !printable(greeting) || !daytimeClock.Match(greeting) || !daytimeDate.Match(greeting) {
		return Unlike
	}
	if code, _ := replyLine(firstLine(greeting)); code != 0 || greeting[0] == '*' || greeting[0] == '+' || greeting[0] == '-' || greeting[0] == '<' {
		return Unlike
	}
	return Likely
}

func (d daytime) Converse(c *wire.Conversation, o *Observation) error {
	told, err := c.ReadRest(1 << 10)
	if err != nil {
		return err
	}
	if d.Recognize(told) == Unlike || !closes(c) {
		return c.Malformed("the time of day, and the end", told)
	}
	o.Note("daytime.greeting", told)
	o.Confirmed = true
	return nil
}
