package probes

import (
	"fmt"
	"slices"
	"strings"

	"herald/wire"
)

// RLogin sends the NUL with which a client begins, and no user: a server that looks at
// our port, which is no privileged one, refuses at once and is known by that.
var RLogin = add(rlogin{})

type rlogin struct{}

var rloginInfo = Info{
	Name:  "rlogin",
	Title: "BSD remote login",
	Refs:  []string{"RFC 1282"},
	Ports: []Port{{513, wire.Plain}},
	Keys:  []Key{{"rlogin.answer", "refusal, without the byte 1 before it"}},
	Asks:  true,
}

func (rlogin) Info() *Info { return &rloginInfo }

func (rlogin) Recognize(words []byte) Likeness { return refusedByOne(words, "rlogind", "rlogin") }

func (rlogin) Converse(c *wire.Conversation, o *Observation) error {
	return refusal(c, o, "rlogin.answer", []byte{0})
}

// refusal says the beginning and reads what both protocols say to strangers: a byte 1
// and a sentence.
func refusal(c *wire.Conversation, o *Observation, key string, begin []byte) error {
	if len(c.Pending()) == 0 {
		if err := c.Say(begin); err != nil {
			return err
		}
	}
	one, err := c.Peek(1)
	if err != nil {
		return err
	}
	if one[0] != 1 {
		return c.Malformed("a refusal begins with a byte 1", c.Pending())
	}
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	if !printable(line[1:]) || !containsWord(line, "denied", "refused", "allowed", "permission", "malformed", "hostname", "user", "where") {
		return c.Malformed("a refusal", line)
	}
	if protocol, _, _ := strings.Cut(key, "."); !containsWord(line, protocol, protocol+"d") && !slices.ContainsFunc(Named(protocol).Info().Ports, func(p Port) bool {
		return p.Number == c.Endpoint().Addr.Port()
	}) {
		// The three r-services refuse alike: without a name, only their port tells which.
		return fmt.Errorf("a refusal of rlogin, rsh or exec: %w", ErrOtherProtocol)
	}
	o.Note(key, line[1:])
	o.Confirmed, o.Declined = true, true
	return nil
}

func refusedByOne(words []byte, names ...string) Likeness {
	switch {
	case len(words) < 8 || words[0] != 1 || !printable(words[1:]):
		return Unlike
	case containsWord(words, names...):
		return Sure
	}
	return Possible
}
