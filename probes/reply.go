package probes

import (
	"bytes"

	"herald/wire"
)

// reply is an answer of the family that FTP began (RFC 959, 4.2; RFC 5321, 4.2): three
// digits, and lines that continue while a hyphen follows them.
type reply struct {
	Code int    // 100 to 599
	Text []byte // every line as received, line ends included
}

// positive is true for 2xx.
func (r reply) positive() bool { return r.Code/100 == 2 }

// lines are the reply's lines without code, separator and line end.
func (r reply) lines() [][]byte {
	var out [][]byte
	for line := range bytes.Lines(r.Text) {
		line = bytes.TrimRight(line, "\r\n")
		if code, _ := replyLine(line); code == r.Code {
			line = line[min(4, len(line)):]
		}
		out = append(out, line)
	}
	return out
}

// replyLine takes a line's code apart: 0 where it has none. more is true where a hyphen
// says that lines follow.
func replyLine(line []byte) (code int, more bool) {
	if len(line) < 3 {
		return 0, false
	}
	for _, d := range line[:3] {
		if d < '0' || d > '9' {
			return 0, false
		}
		code = 10*code + int(d-'0')
	}
	if code < 100 || code > 599 {
		return 0, false
	}
	if len(line) == 3 {
		return code, false // RFC 5321, 4.2: the text after the code may be missing
	}
	switch line[3] {
	case '-':
		return code, true
	case ' ', '\r', '\n', '\t':
		return code, false
	}
	return 0, false
}

// readReply reads one whole reply. RFC 959 lets lines without a code stand between the
// first and the last; SMTP repeats it on each. Both are taken.
func readReply(c *wire.Conversation) (reply, error) {
	first, err := c.ReadLine()
	if err != nil {
		return reply{}, err
	}
	code, more := replyLine(first)
	if code == 0 {
		return reply{Text: first}, c.Malformed("a reply begins with three digits", first)
	}
	r := reply{Code: code, Text: first}
	for more {
		line, err := c.ReadLine()
		if err != nil {
			return r, err
		}
		r.Text = append(r.Text[:len(r.Text):len(r.Text)], line...)
		if again, goesOn := replyLine(line); again == code {
			more = goesOn
		}
	}
	return r, nil
}

// ask says a command and reads its reply.
func ask(c *wire.Conversation, command string) (reply, error) {
	if err := c.Send(command); err != nil {
		return reply{}, err
	}
	return readReply(c)
}
