package probes

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"herald/wire"
)

// IMAP speaks the Internet Message Access Protocol, version 4. It never logs in, and
// leaves mailboxes alone where the server takes it for logged in (PREAUTH).
//
// Commands whose answers do not depend on each other go out together (RFC 9051, 5.5).
var IMAP = add(imap{})

type imap struct{}

var imapInfo = Info{
	Name:  "imap",
	Title: "Internet Message Access Protocol",
	Refs:  []string{"RFC 9051", "RFC 3501", "RFC 2971", "RFC 8314"},
	Ports: []Port{{143, wire.Plain}, {993, wire.TLS}},
	Keys: []Key{
		{"imap.greeting", "greeting, often with the capabilities in a code"},
		{"imap.capability", "response to CAPABILITY, untagged and tagged; once in the clear where the greeting has none, and once inside TLS"},
		{"imap.id", "list of fields in the response to ID: (\"name\" \"…\"), or NIL"},
		{"imap.starttls", "tagged response to STARTTLS"},
		{"imap.logout", "response to LOGOUT, untagged and tagged"},
	},
}

func (imap) Info() *Info { return &imapInfo }

func (imap) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	named := containsWord(line, "IMAP", "IMAP4", "IMAP4rev1", "IMAP4rev2")
	switch imapStatus(line) {
	case "PREAUTH":
		return Sure
	case "OK":
		switch {
		case named:
			return Sure
		case containsWord(line, "MUPDATE"):
			return Possible // Cyrus' protocol between mail stores greets like this too
		}
		return Likely
	case "BYE":
		return Likely
	}
	return Unlike
}

func (imap) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := c.ReadLine()
	if err != nil {
		return err
	}
	o.Note("imap.greeting", greeting)
	t := imapTalk{c: c, o: o}
	switch imapStatus(greeting) {
	case "OK":
		return t.meet(greeting)
	case "PREAUTH":
		return t.farewell(IMAPCapabilities(greeting), false) // STARTTLS is not for those logged in (RFC 9051, 6.2.1)
	case "BYE":
		o.Declined = true // RFC 9051, 7.1.5: it closes now
		return nil
	}
	return c.Malformed("a greeting begins with * OK, * PREAUTH or * BYE", greeting)
}

// imapTalk is a conversation and the number of the last command.
type imapTalk struct {
	c     *wire.Conversation
	o     *Observation
	count int
}

func (t *imapTalk) meet(greeting []byte) error {
	offered := IMAPCapabilities(greeting)
	asked := offered == nil
	if asked {
		var err error
		if offered, err = t.capability(); err != nil {
			return err
		}
	}
	if t.c.TLS() == nil && !t.c.Manners().NoUpgrade && hasWordFirst(offered, "STARTTLS") {
		if err := t.say("STARTTLS"); err != nil {
			return err
		}
		_, agreed, err := t.hear("imap.starttls", tag(t.count))
		if err != nil {
			return err
		}
		t.o.Confirmed = true
		if agreed == "OK" {
			if err := t.c.StartTLS(); err != nil {
				return err
			}
			asked = false
		}
	}
	return t.farewell(offered, asked)
}

func (t *imapTalk) capability() ([]string, error) {
	if err := t.say("CAPABILITY"); err != nil {
		return nil, err
	}
	list, _, err := t.hear("imap.capability", tag(t.count))
	if err != nil {
		return nil, err
	}
	t.o.Confirmed = true
	return IMAPCapabilities(list), nil
}

// farewell asks what is left to ask, and logs out, in one message. CAPABILITY is asked
// also where the greeting tells: some servers tell less there, and it costs no round trip.
func (t *imapTalk) farewell(offered []string, asked bool) error {
	commands := []string{"CAPABILITY", "ID NIL", "LOGOUT"}
	if !hasWordFirst(offered, "ID") {
		commands = slices.Delete(commands, 1, 2)
	}
	if asked {
		commands = commands[1:]
	}
	first := t.count + 1
	if err := t.say(commands...); err != nil {
		return err
	}
	for i, command := range commands {
		switch command {
		case "CAPABILITY":
			if _, _, err := t.hear("imap.capability", tag(first+i)); err != nil {
				return err
			}
			t.o.Confirmed = true
		case "ID NIL":
			fields, _, err := t.hear("", tag(first+i))
			if err != nil {
				return err
			}
			t.o.Note("imap.id", imapID(fields))
		case "LOGOUT":
			_, _, err := t.hear("imap.logout", tag(first+i))
			return onlyMalformed(err)
		}
	}
	return nil
}

// tag is that of the nth command.
func tag(n int) string { return fmt.Sprintf("h%d", n) }

// say sends commands, each with a tag of its own, as one message.
func (t *imapTalk) say(commands ...string) error {
	var message strings.Builder
	for _, command := range commands {
		t.count++
		message.WriteString(tag(t.count) + " " + command + "\r\n")
	}
	return t.c.Say([]byte(message.String()))
}

// hear reads responses until the one with the tag, notes all of them under the key, and
// returns them with the final status. What came before a failure is noted too.
func (t *imapTalk) hear(key, tag string) (all []byte, status string, err error) {
	from := t.c.Consumed()
	defer func() {
		if key != "" {
			t.o.Note(key, all)
		}
	}()
	for {
		line, err := readWithLiterals(t.c)
		all = consumedSince(t.c, from)
		if err != nil {
			return all, "", err
		}
		switch rest, tagged := bytes.CutPrefix(line, []byte(tag+" ")); {
		case tagged:
			word, _, _ := bytes.Cut(bytes.TrimRight(rest, "\r\n"), []byte(" "))
			switch status := strings.ToUpper(string(word)); status {
			case "OK", "NO", "BAD":
				return all, status, nil
			}
			return all, "", t.c.Malformed("a tagged response is OK, NO or BAD", line)
		case bytes.HasPrefix(line, []byte("* ")), bytes.HasPrefix(line, []byte("+ ")):
		default:
			return all, "", t.c.Malformed("a response begins with *, + or our tag", line)
		}
	}
}

// imapStatus is the status of an untagged response: OK, PREAUTH, BYE; "" for others.
func imapStatus(line []byte) string {
	rest, ok := bytes.CutPrefix(line, []byte("* "))
	if !ok {
		return ""
	}
	word, _, _ := bytes.Cut(bytes.TrimRight(rest, "\r\n"), []byte(" "))
	for _, s := range []string{"OK", "PREAUTH", "BYE"} {
		if strings.EqualFold(string(word), s) {
			return s
		}
	}
	return ""
}

// imapID is the list in an untagged ID response as sent (RFC 2971, 3.2), nil without one.
func imapID(responses []byte) []byte {
	const begin = "* ID "
	for rest := responses; len(rest) > 0; {
		line := firstLine(rest)
		if len(line) >= len(begin) && bytes.EqualFold(line[:len(begin)], []byte(begin)) {
			if list := rest[len(begin):]; len(list) > 0 && list[0] == '(' {
				return list[:listEnd(list)] // may go on over lines, where it has literals
			}
			return line[len(begin):]
		}
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	return nil
}

// listEnd is the length of the parenthesised list of strings that the text begins with,
// all of the text where it does not end.
func listEnd(text []byte) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == ')':
			return i + 1
		case b == '{':
			line, _, ended := bytes.Cut(text[i:], []byte("\n"))
			if n, ok := literalLength(line); ok && ended {
				i += len(line) + n
			}
		}
	}
	return len(text)
}
