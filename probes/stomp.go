package probes

import (
	"bytes"

	"herald/wire"
)

// STOMP connects without a login; a broker that wants one says so, and tells what it is
// in either case. It sends and subscribes nothing.
var STOMP = add(stomp{})

type stomp struct{}

var stompInfo = Info{
	Name:  "stomp",
	Title: "Simple Text Oriented Messaging Protocol",
	Refs:  []string{"https://stomp.github.io/stomp-specification-1.2.html"},
	Ports: []Port{{61613, wire.Plain}, {61614, wire.TLS}},
	Keys: []Key{
		{"stomp.frame", "answer to CONNECT: CONNECTED or ERROR, headers and body, without the NUL"},
		{"stomp.server", "header \"server\""},
	},
	Asks: true,
}

func (stomp) Info() *Info { return &stompInfo }

func (stomp) Recognize([]byte) Likeness { return Unlike }

// Overhear: what is no frame is answered by an ERROR frame.
func (stomp) Overhear(_ string, answer []byte) Likeness {
	if command, _, ok := stompFrame(answer); ok && command == "ERROR" {
		return Sure
	}
	return Unlike
}

func (stomp) Converse(c *wire.Conversation, o *Observation) error {
	if err := c.Say([]byte("CONNECT\naccept-version:1.0,1.1,1.2\nhost:/\n\n\x00")); err != nil {
		return err
	}
	begin, err := c.Peek(2)
	if err != nil {
		return err
	}
	if string(begin) != "CO" && string(begin) != "ER" {
		return c.Malformed("CONNECT is answered CONNECTED or ERROR", begin)
	}
	frame, err := readUntil(c, 8<<10, "\x00")
	if err != nil {
		return err
	}
	command, headers, ok := stompFrame(frame)
	if !ok {
		return c.Malformed("a frame has a command and headers", frame)
	}
	o.Note("stomp.frame", frame[:len(frame)-1])
	for line := range bytes.Lines(headers) {
		if server, ok := bytes.CutPrefix(line, []byte("server:")); ok {
			o.Note("stomp.server", server)
		}
	}
	o.Confirmed = true
	if command == "ERROR" {
		o.Declined = true
		return nil
	}
	return nil // closing is enough: DISCONNECT is optional (1.2, "DISCONNECT")
}

// stompFrame takes an answer's frame apart; NUL ends it.
func stompFrame(frame []byte) (command string, headers []byte, ok bool) {
	line, rest, _ := bytes.Cut(frame, []byte("\n"))
	command = string(bytes.TrimSuffix(line, []byte("\r")))
	if command != "CONNECTED" && command != "ERROR" || bytes.IndexByte(frame, 0) < 0 {
		return "", nil, false
	}
	headers, _, ok = bytes.Cut(rest, []byte("\n\n"))
	if !ok {
		headers, _, ok = bytes.Cut(rest, []byte("\r\n\r\n"))
	}
	return command, headers, ok && (len(headers) == 0 || bytes.IndexByte(headers, ':') > 0)
}
