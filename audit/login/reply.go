package login

import (
	"strconv"
	"strings"

	"herald/wire"
)

// reply is an answer of the family that FTP began: three digits, and lines that continue
// while a hyphen follows them (RFC 959, 4.2; RFC 5321, 4.2).
type reply struct {
	code  int
	lines []string // without line end
}

func (r reply) String() string {
	if len(r.lines) == 0 {
		return strconv.Itoa(r.code)
	}
	return r.lines[len(r.lines)-1]
}

// welcomed connects and waits for the reply that a server of this family greets with: 220,
// in FTP perhaps behind a 120 (RFC 959, 5.4: ready in a moment).
func (s *session) welcomed() error {
	if err := s.open(); err != nil {
		return err
	}
	s.doing("login", "waiting for the greeting")
	if _, err := s.c.Listen(0); err != nil {
		return err
	}
	greeting, err := readReply(s.c)
	if err == nil && greeting.code == 120 {
		greeting, err = readReply(s.c)
	}
	if err != nil {
		return err
	}
	if greeting.code != 220 {
		return s.turnedAway([]byte(greeting.String()))
	}
	return nil
}

// ask says a command and reads its reply.
func (s *session) ask(command string) (reply, error) {
	if err := s.c.Send(command); err != nil {
		return reply{}, err
	}
	return readReply(s.c)
}

func readReply(c *wire.Conversation) (reply, error) {
	var r reply
	for {
		raw, err := c.ReadLine()
		if err != nil {
			return r, err
		}
		line := strings.TrimRight(string(raw), "\r\n")
		code, more := codeOf(line)
		if len(r.lines) == 0 {
			if code == 0 {
				return r, c.Malformed("a reply begins with three digits", raw)
			}
			r.code = code
		}
		const most = 1000 // lines
		if r.lines = append(r.lines, line); len(r.lines) > most {
			return r, c.TooMuch("lines of a reply", most)
		}
		if code == r.code && !more {
			return r, nil
		}
	}
}

func codeOf(line string) (code int, more bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false
	}
	n, err := strconv.ParseUint(line[:3], 10, 16)
	if err != nil || n < 100 || n > 599 {
		return 0, false
	}
	return int(n), len(line) > 3 && line[3] == '-'
}

func trimmed(line []byte) string { return strings.TrimRight(string(line), "\r\n") }
