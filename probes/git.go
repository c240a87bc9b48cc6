package probes

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"herald/wire"
)

// Git asks a git daemon for a repository that there is none of.
var Git = add(git{})

type git struct{}

var gitInfo = Info{
	Name:  "git",
	Title: "Git pack protocol",
	Refs:  []string{"https://git-scm.com/docs/gitprotocol-pack"},
	Ports: []Port{{9418, wire.Plain}},
	Keys:  []Key{{"git.answer", "first packet line without its length: \"ERR access denied …\""}},
	Asks:  true,
}

func (git) Info() *Info { return &gitInfo }

func (git) Recognize([]byte) Likeness { return Unlike }

func (git) Overhear(_ string, answer []byte) Likeness {
	if size, ok := gitLength(answer); ok && size > 8 && len(answer) >= 8 && string(answer[4:8]) == "ERR " {
		return Sure
	}
	return Unlike
}

func (git) Converse(c *wire.Conversation, o *Observation) error {
	request := "git-upload-pack /herald\x00host=" + c.Endpoint().Host() + "\x00"
	if err := c.Say(fmt.Appendf(nil, "%04x%s", len(request)+4, request)); err != nil {
		return err
	}
	head, err := c.Peek(4)
	if err != nil {
		return err
	}
	size, ok := gitLength(head)
	if !ok {
		return c.Malformed("a packet line begins with its length, four hexadecimal digits", head)
	}
	line, err := c.ReadFull(size)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line[4:], []byte("ERR ")) && !gitRef(line[4:]) {
		return c.Malformed("a request is answered by an error or a reference", line)
	}
	o.Note("git.answer", line[4:])
	o.Confirmed = true
	return nil
}

// gitLength reads a packet line's length, which counts its own four digits.
func gitLength(line []byte) (int, bool) {
	if len(line) < 4 {
		return 0, false
	}
	var b [2]byte
	if _, err := hex.Decode(b[:], line[:4]); err != nil {
		return 0, false
	}
	size := int(b[0])<<8 | int(b[1])
	return size, size > 4
}

// gitRef says whether a line is an object's name and that of a reference.
func gitRef(line []byte) bool {
	if len(line) < 42 || line[40] != ' ' {
		return false
	}
	_, err := hex.DecodeString(string(line[:40]))
	return err == nil
}
