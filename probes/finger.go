package probes

import (
	"bytes"

	"herald/wire"
)

// Finger asks about a user that nobody has, not who is logged in: what a server says of
// strangers tells as much about it and nothing about people.
var Finger = add(finger{})

type finger struct{}

var fingerInfo = Info{
	Name:  "finger",
	Title: "Finger user information",
	Refs:  []string{"RFC 1288"},
	Ports: []Port{{79, wire.Plain}},
	Keys:  []Key{{"finger.answer", "answer about a user named herald-nobody"}},
	Asks:  true,
}

const fingerNobody = "herald-nobody"

func (finger) Info() *Info { return &fingerInfo }

func (finger) Recognize([]byte) Likeness { return Unlike }

// An HTTP request asks for users named GET, / and HTTP/1.1; a bare line for its word.
func (finger) Overhear(asked string, answer []byte) Likeness {
	switch {
	case bytes.HasPrefix(answer, []byte("HTTP/")):
		return Unlike
	case asked == "http" && fingerUnknown(answer, "GET", "HTTP/1.1"), asked == "line" && fingerUnknown(answer, "HELP"):
		return Likely
	}
	return Unlike
}

func (finger) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := askRaw(c, []byte(fingerNobody+"\r\n"), 8<<10)
	if err != nil {
		return err
	}
	if !printable(answer) || !fingerUnknown(answer, fingerNobody) {
		return c.Malformed("a finger server names the user that it does not know", answer)
	}
	o.Note("finger.answer", answer)
	o.Confirmed = true
	return nil
}

// fingerUnknown says whether an answer tells that there is no such user. RFC 1288 leaves
// the words open; these are the ones in use.
func fingerUnknown(answer []byte, users ...string) bool {
	known := false
	for _, user := range users {
		known = known || indexFold(answer, user) >= 0
	}
	if !known {
		return false
	}
	for _, words := range []string{"no such user", "???", "not found", "unknown user", "no user", "not exist", "no match", "no information"} {
		if indexFold(answer, words) >= 0 {
			return true
		}
	}
	return false
}
