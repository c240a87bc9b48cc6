package probes

import (
	"bytes"

	"herald/wire"
)

// Whois asks for a name that nobody can have (RFC 2606).
var Whois = add(whois{})

type whois struct{}

var whoisInfo = Info{
	Name:  "whois",
	Title: "WHOIS",
	Refs:  []string{"RFC 3912"},
	Ports: []Port{{43, wire.Plain}},
	Keys:  []Key{{"whois.answer", "answer about herald.invalid, 8 KiB at most"}},
	Asks:  true,
}

func (whois) Info() *Info { return &whoisInfo }

func (whois) Recognize([]byte) Likeness { return Unlike }

func (whois) Overhear(asked string, answer []byte) Likeness {
	if (asked == "http" || asked == "line") && whoisNothing(answer) && (answer[0] == '%' || answer[0] == '#') {
		return Likely
	}
	return Unlike
}

// RFC 3912 gives the answer no form but that the server closes after it. What all of
// them have is a way to say that there is nothing.
func (whois) Converse(c *wire.Conversation, o *Observation) error {
	const most = 8 << 10
	answer, err := askRaw(c, []byte("herald.invalid\r\n"), most)
	if err != nil {
		return err
	}
	if !whoisNothing(answer) || len(answer) < most && !closes(c) {
		return c.Malformed("a whois server says that it knows no such name, and closes", answer)
	}
	o.Note("whois.answer", answer)
	o.Confirmed = true
	return nil
}

func whoisNothing(answer []byte) bool {
	if len(answer) == 0 || bytes.IndexByte(answer, '\n') < 0 || bytes.HasPrefix(answer, []byte("HTTP/")) {
		return false
	}
	for _, words := range []string{
		"no match", "not found", "no entries found", "no data found", "no such domain", "no object", "nothing found",
		"domain unknown", "unknown domain", "no whois server", "invalid query", "invalid domain", "not registered", "unsupported tld", "tld is not supported",
		"malformed request", "no information",
	} {
		if indexFold(answer, words) >= 0 {
			return true
		}
	}
	return false
}
