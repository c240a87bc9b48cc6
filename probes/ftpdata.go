package probes

import (
	"bytes"
	"fmt"

	"herald/wire"
)

// FTPData knows the other end of an FTP transfer: a listener that pushes the bytes of a
// directory listing or a file and closes. It says nothing at all. Anywhere but on port 20
// only a listing is told as that: a file may be anything, and so may who sends it.
var FTPData = add(ftpData{})

type ftpData struct{}

var ftpDataInfo = Info{
	Name:  "ftp-data",
	Title: "File Transfer Protocol, data connection",
	Refs:  []string{"RFC 959", "RFC 3659"},
	Ports: []Port{{20, wire.Plain}},
	Keys:  []Key{{"ftp-data.content", "what was pushed, the first 2 KiB"}},

	Formless: true,
}

func (ftpData) Info() *Info { return &ftpDataInfo }

func (ftpData) Recognize(greeting []byte) Likeness {
	if isListing(greeting) {
		return Likely
	}
	return Unlike
}

func (ftpData) Converse(c *wire.Conversation, o *Observation) error {
	const enough, kept = 64 << 10, 2 << 10
	pushed, err := c.ReadRest(enough)
	o.Note("ftp-data.content", pushed[:min(kept, len(pushed))])
	switch {
	case err != nil:
		return err
	case wire.KindOf(failureOf(c)) != wire.Closed:
		return fmt.Errorf("it goes on, or waits for an answer: %w", ErrOtherProtocol)
	case c.Endpoint().Addr.Port() == ftpDataInfo.Ports[0].Number, isListing(pushed):
		o.Confirmed = true
		return nil // to close is how a transfer ends (RFC 959, 3.2)
	}
	return fmt.Errorf("not a listing: %w", ErrOtherProtocol)
}

// failureOf is the conversation's failure as an error: nil where there is none.
func failureOf(c *wire.Conversation) error {
	if f := c.Failure(); f != nil {
		return f
	}
	return nil
}

// isListing says whether every line is one of a directory listing. An unfinished last
// line is let pass where another stands before it.
func isListing(text []byte) bool {
	lines := 0
	for line := range bytes.Lines(text) {
		ended := bytes.HasSuffix(line, []byte("\n"))
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case unixEntry(line) || dosEntry(line) || factsEntry(line):
			lines++
		case lines == 0 && bytes.HasPrefix(line, []byte("total ")) && ended:
			lines++
		case len(line) == 0 && lines > 0:
		case !ended && lines > 0:
		default:
			return false
		}
	}
	return lines > 0
}

// unixEntry is true for a line as of ls -l: "drwxr-xr-x   2 ftp ftp 4096 Nov 22 22:13 pub".
func unixEntry(line []byte) bool {
	if len(line) < 20 || bytes.IndexByte([]byte("-dlbcps"), line[0]) < 0 {
		return false
	}
	for i, b := range line[1:10] {
		if b != '-' && b != "rwx"[i%3] && bytes.IndexByte([]byte("sStT"), b) < 0 {
			return false
		}
	}
	return len(bytes.Fields(line)) >= 6
}

// dosEntry is true for a line as of IIS: "11-22-26  10:13PM       <DIR>          pub".
func dosEntry(line []byte) bool {
	fields := bytes.Fields(line)
	if len(fields) < 4 || len(fields[0]) < 8 || len(fields[1]) < 5 {
		return false
	}
	date, clock := fields[0], fields[1]
	return isDigit(date[0]) && isDigit(date[1]) && date[2] == '-' && isDigit(date[3]) && isDigit(date[4]) && date[5] == '-' &&
		isDigit(clock[0]) && isDigit(clock[1]) && clock[2] == ':' && isDigit(clock[3]) && isDigit(clock[4]) &&
		(string(fields[2]) == "<DIR>" || isDigit(fields[2][0]))
}

// factsEntry is true for a line as of MLSD (RFC 3659, 7.2): "type=dir;modify=20261122;
// pub".
func factsEntry(line []byte) bool {
	facts, name, ok := bytes.Cut(line, []byte("; "))
	return ok && len(name) > 0 && indexFold(facts, "type=") >= 0 && bytes.IndexByte(facts, ' ') < 0
}
