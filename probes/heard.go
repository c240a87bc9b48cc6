package probes

import (
	"bytes"
	"slices"

	"herald/wire"
)

// askRaw says a message and hears what comes until a silence, the end, or most bytes.
// For protocols whose answers have neither length nor line.
func askRaw(c *wire.Conversation, message []byte, most int) ([]byte, error) {
	if err := c.Say(message); err != nil {
		return nil, err
	}
	return c.ReadRest(most)
}

// hear consumes what comes until a silence. Unlike [wire.Conversation.ReadRest] it takes
// nothing at all for an answer too.
func hear(c *wire.Conversation) ([]byte, error) {
	const most = 32 << 10
	if _, err := c.Listen(0); len(c.Pending()) == 0 {
		return nil, err
	}
	return c.ReadSettled(most), nil
}

// readUntil consumes through the first of the ends that comes.
func readUntil(c *wire.Conversation, most int, ends ...string) ([]byte, error) {
	longest := 0
	for _, end := range ends {
		longest = max(longest, len(end))
	}
	for seen := 0; ; {
		got := c.Pending()
		from := max(0, seen-longest)
		last := -1
		for _, end := range ends {
			if i := bytes.Index(got[from:], []byte(end)); i >= 0 && (last < 0 || from+i+len(end) < last) {
				last = from + i + len(end)
			}
		}
		if last >= 0 {
			return c.ReadFull(last)
		}
		if len(got) >= most {
			return nil, c.TooMuch("bytes of one answer", most)
		}
		seen = len(got)
		if _, err := c.Peek(seen + 1); err != nil {
			return nil, err
		}
	}
}

// closes waits for the server's end of the connection; more bytes are not an end.
func closes(c *wire.Conversation) bool {
	if len(c.Pending()) > 0 {
		return false
	}
	_, err := c.Peek(1)
	return wire.KindOf(err) == wire.Closed
}

// printable says whether every byte is ASCII text, line ends and tabs included.
func printable(text []byte) bool {
	return !slices.ContainsFunc(text, func(b byte) bool {
		return (b < 0x20 || b > 0x7e) && b != '\r' && b != '\n' && b != '\t'
	})
}

// number reads the decimal digits at the beginning; -1 where there are none, or too many.
func number(text []byte) (n int, rest []byte) {
	i := 0
	for i < len(text) && i < 9 && text[i] >= '0' && text[i] <= '9' {
		n = 10*n + int(text[i]-'0')
		i++
	}
	if i == 0 {
		return -1, text
	}
	return n, text[i:]
}

// fitsKey says whether a name is fit to be a part of a key: letters, digits, hyphens.
func fitsKey(name []byte) bool {
	for _, b := range name {
		if !isLetter(b) && b != '-' && b != ';' && (b < '0' || b > '9') {
			return false
		}
	}
	return len(name) > 0 && len(name) < 64
}
