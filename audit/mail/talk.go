package mail

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"herald/wire"
)

// talk is a conversation whose every question and answer becomes a step.
type talk struct {
	c    *wire.Conversation
	s    *Service
	tags int
}

// hear reads an answer by the protocol's grammar and notes it.
func (t *talk) hear(name, said string, began time.Time, read func(*wire.Conversation) ([]byte, error)) (string, error) {
	text, err := read(t.c)
	step := Step{Name: name, Said: said, Reply: string(text), TLS: t.c.TLS() != nil, MS: ms(time.Since(began))}
	if err == nil || len(text) > 0 {
		t.s.Steps = append(t.s.Steps, step)
	}
	if err != nil && t.s.Failure == nil {
		t.s.Failure = failure(name, err)
	}
	return string(text), err
}

// ask says a line and hears the answer.
func (t *talk) ask(name, line string, read func(*wire.Conversation) ([]byte, error)) (string, error) {
	began := time.Now()
	if err := t.c.Send(line); err != nil {
		if t.s.Failure == nil {
			t.s.Failure = failure(name, err)
		}
		return "", err
	}
	return t.hear(name, line, began, read)
}

// command is ask with IMAP's tag.
func (t *talk) command(name, line string) (string, error) {
	t.tags++
	tag := fmt.Sprintf("h%d", t.tags)
	return t.ask(name, tag+" "+line, untilTag(tag))
}

// startTLS completes the handshake that the server agreed to, and notes it.
func (t *talk) startTLS() error {
	err := t.c.StartTLS()
	if err != nil && t.s.Failure == nil {
		t.s.Failure = failure("handshake", err)
	}
	return err
}

// smtpReply reads lines until one whose code is not followed by a hyphen (RFC 5321,
// 4.2.1).
func smtpReply(c *wire.Conversation) ([]byte, error) {
	var all []byte
	for {
		line, err := c.ReadLine()
		all = append(all, line...)
		if err != nil {
			return all, err
		}
		if code(string(line)) == 0 {
			return all, c.Malformed("a reply begins with three digits", line)
		}
		if len(line) < 4 || line[3] != '-' {
			return all, nil
		}
	}
}

// code is the reply code at a line's beginning, 0 without one.
func code(reply string) int {
	if len(reply) < 3 || reply[0] < '1' || reply[0] > '5' {
		return 0
	}
	n := 0
	for _, d := range []byte(reply[:3]) {
		if d < '0' || d > '9' {
			return 0
		}
		n = 10*n + int(d-'0')
	}
	if len(reply) > 3 && !strings.ContainsRune(" -\r\n\t", rune(reply[3])) {
		return 0
	}
	return n
}

func oneLine(c *wire.Conversation) ([]byte, error) { return c.ReadLine() }

// untilTag reads responses until the tagged one, or a continuation request (RFC 9051,
// 7.6), or a farewell that is not followed by more.
func untilTag(tag string) func(*wire.Conversation) ([]byte, error) {
	return func(c *wire.Conversation) ([]byte, error) {
		var all []byte
		for {
			line, err := readLiterals(c)
			all = append(all, line...)
			if err != nil {
				return all, err
			}
			switch {
			case bytes.HasPrefix(line, []byte(tag+" ")), bytes.HasPrefix(line, []byte("+")):
				return all, nil
			case !bytes.HasPrefix(line, []byte("* ")):
				return all, c.Malformed("a response begins with *, + or our tag", line)
			}
		}
	}
}

// popBlock reads a status line and, where it is positive, lines until the dot (RFC 1939,
// 3).
func popBlock(c *wire.Conversation) ([]byte, error) {
	all, err := c.ReadLine()
	if err != nil || !bytes.HasPrefix(all, []byte("+OK")) {
		return all, err
	}
	for {
		line, err := c.ReadLine()
		all = append(all[:len(all):len(all)], line...)
		if err != nil || string(bytes.TrimRight(line, "\r\n")) == "." {
			return all, err
		}
	}
}

// sieveResponse reads capability lines until OK, NO or BYE, or a string that asks for more
// of a SASL exchange (RFC 5804, 2.1).
func sieveResponse(c *wire.Conversation) ([]byte, error) { return sieveUntil(c, false) }

func sieveChallenge(c *wire.Conversation) ([]byte, error) { return sieveUntil(c, true) }

func sieveUntil(c *wire.Conversation, challenge bool) ([]byte, error) {
	var all []byte
	for {
		line, err := readLiterals(c)
		all = append(all, line...)
		if err != nil {
			return all, err
		}
		word := strings.ToUpper(string(bytes.TrimRight(line, "\r\n")))
		word, _, _ = strings.Cut(word, " ")
		switch {
		case word == "OK", word == "NO", word == "BYE":
			return all, nil
		case len(line) > 0 && (line[0] == '"' || line[0] == '{'):
			if challenge {
				return all, nil
			}
		default:
			return all, c.Malformed("a response is quoted strings, OK, NO or BYE", line)
		}
	}
}

// mostLiteral bounds a literal in a response, in bytes.
const mostLiteral = 32 << 10

// readLiterals reads a line and the literals that it announces at its end (RFC 9051, 4.3).
func readLiterals(c *wire.Conversation) ([]byte, error) {
	line, err := c.ReadLine()
	all := append([]byte(nil), line...)
	for err == nil {
		trimmed := bytes.TrimRight(line, "\r\n")
		open := bytes.LastIndexByte(trimmed, '{')
		if open < 0 || !bytes.HasSuffix(trimmed, []byte("}")) {
			break
		}
		n := 0
		digits := bytes.TrimSuffix(trimmed[open+1:len(trimmed)-1], []byte("+"))
		for _, d := range digits {
			if d < '0' || d > '9' || n > mostLiteral {
				return all, c.Malformed("a literal's length", line)
			}
			n = 10*n + int(d-'0')
		}
		if n > mostLiteral || len(all) > mostLiteral {
			return all, c.TooMuch("a literal's length in bytes", mostLiteral)
		}
		var literal []byte
		if literal, err = c.ReadFull(n); err != nil {
			return all, err
		}
		all = append(all, literal...)
		line, err = c.ReadLine()
		all = append(all, line...)
	}
	return all, err
}
