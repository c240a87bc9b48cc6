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

// consumedSince is what was consumed behind the first from bytes: a part of the record.
func consumedSince(c *wire.Conversation, from int) []byte {
	return c.Heard()[from:c.Consumed():c.Consumed()]
}

// readReply reads one whole reply of FTP's kind. RFC 959, 4.2 lets lines of any form
// stand between the first and the last, digits and all.
func readReply(c *wire.Conversation) (reply, error) { return readReplyOf(c, false) }

// readStrictReply reads one whole reply of SMTP's kind, where every line repeats the code
// (RFC 5321, 4.2.1). Another code in the middle is the beginning of another reply: who
// waited for the end of the first would wait in vain.
func readStrictReply(c *wire.Conversation) (reply, error) { return readReplyOf(c, true) }

func readReplyOf(c *wire.Conversation, strict bool) (reply, error) {
	from := c.Consumed()
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
		r.Text = consumedSince(c, from)
		again, goesOn := replyLine(line)
		switch {
		case again == code:
			more = goesOn
		case strict && again != 0:
			return r, c.Malformed("another code inside a reply", line)
		}
	}
	return r, nil
}

// cutReply takes the reply that the text begins with, lines of the same code, and gives
// what follows. An unfinished one goes to the end of the text.
func cutReply(text []byte) (r reply, rest []byte) {
	for len(r.Text) < len(text) {
		line := text[len(r.Text):]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end+1]
		}
		code, more := replyLine(line)
		if len(r.Text) == 0 {
			r.Code = code
		}
		r.Text = text[:len(r.Text)+len(line)]
		if code == r.Code && !more {
			break
		}
	}
	return r, text[len(r.Text):]
}

// ask says a command and reads its reply.
func ask(c *wire.Conversation, command string) (reply, error) {
	if err := c.Send(command); err != nil {
		return reply{}, err
	}
	return readReply(c)
}

// readDotLines reads a block of lines up to the line that is a single dot, which is
// included (RFC 1939, 3; RFC 3977, 3.1.1). Dots that were doubled stay doubled.
func readDotLines(c *wire.Conversation) ([]byte, error) {
	from := c.Consumed()
	for {
		line, err := c.ReadLine()
		if err != nil {
			return consumedSince(c, from), err
		}
		if string(bytes.TrimRight(line, "\r\n")) == "." {
			return consumedSince(c, from), nil
		}
	}
}

// longestLiteral bounds the bytes of one literal, and of the response that holds it.
const longestLiteral = 64 << 10

// readWithLiterals reads a line, and where it ends in a literal's length ({42}, {42+}) the
// literal and the rest of the line too, as often as that happens (RFC 9051, 4.3; RFC 5804,
// 1.6).
func readWithLiterals(c *wire.Conversation) ([]byte, error) {
	line, err := c.ReadLine()
	if err != nil {
		return nil, err
	}
	for n, ok := literalLength(line); ok; {
		if n > longestLiteral || len(line)+n > longestLiteral {
			return line, c.TooMuch("a literal's length in bytes", longestLiteral)
		}
		literal, err := c.ReadFull(n)
		if err != nil {
			return line, err
		}
		line = append(line, literal...)
		rest, err := c.ReadLine()
		if err != nil {
			return line, err
		}
		line = append(line, rest...)
		n, ok = literalLength(rest)
	}
	return line, nil
}

// literalLength is the length that a line announces at its end.
func literalLength(line []byte) (n int, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	open := bytes.LastIndexByte(line, '{')
	if open < 0 || !bytes.HasSuffix(line, []byte("}")) {
		return 0, false
	}
	digits := bytes.TrimSuffix(line[open+1:len(line)-1], []byte("+"))
	if len(digits) == 0 {
		return 0, false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		if n = 10*n + int(d-'0'); n > longestLiteral {
			n = longestLiteral + 1 // no overflow: too long is too long
		}
	}
	return n, true
}
