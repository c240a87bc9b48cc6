package login

import (
	"bytes"
	"fmt"
	"net"
	"strings"

	"github.com/knadh/go-pop3"

	"herald/audit"
	"herald/wire"
)

// dialer gives a library the connection that stands already.
type dialer struct{ conn net.Conn }

func (d dialer) Dial(_, _ string) (net.Conn, error) { return d.conn, nil }

// pop3 logs in (RFC 1939, 7), and asks for size, unique ids and the head of a message.
func (s *session) pop3() error {
	if err := s.open(); err != nil {
		return err
	}
	line, err := s.greeting()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("+OK")) {
		return s.turnedAway(line)
	}
	if s.login.Security == wire.StartTLS {
		s.doing("login", "STLS")
		if line, err = s.c.Ask("STLS"); err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("+OK")) {
			if err := s.c.StartTLS(); err != nil {
				return err
			}
		}
	}
	if err := s.mayBeTold(); err != nil {
		return err
	}
	s.doing("login", "logging in")
	client := pop3.New(pop3.Opt{Dialer: dialer{s.c.Conn([]byte("+OK\r\n"))}})
	c, err := guarded(s, func() (*pop3.Conn, error) {
		c, err := client.NewConn()
		if err == nil {
			err = c.User(s.who.User)
		}
		if err == nil {
			err = c.Pass(s.who.Password)
		}
		return c, err
	})
	last := lastLine(s.heard(0))
	switch {
	case err != nil && s.c.Failure() == nil && strings.HasPrefix(last, "-ERR"):
		return s.answered(false, last)
	case err != nil:
		return s.because(err)
	}
	if err := s.answered(true, last); err != nil {
		return err
	}
	return s.pop3Mailbox(c)
}

func (s *session) pop3Mailbox(c *pop3.Conn) error {
	s.doing("mailbox", "STAT")
	type stat struct{ count, size int }
	drop, err := guarded(s, func() (d stat, err error) { d.count, d.size, err = c.Stat(); return d, err })
	if err != nil {
		return s.pop3Step("mailbox", "STAT is answered", err)
	}
	seen := fmt.Sprintf("%d messages, %d bytes", drop.count, drop.size)
	if drop.count < 0 || drop.size < 0 {
		s.add("mailbox", audit.Fail, "STAT is answered", seen)
		return nil
	}
	s.add("mailbox", audit.Pass, "STAT is answered", seen)

	s.doing("message-list", "UIDL")
	ids, err := guarded(s, func() ([]pop3.MessageID, error) { return c.Uidl(0) })
	if err != nil {
		return s.pop3Step("message-list", "UIDL is answered", err)
	}
	unique := map[string]bool{}
	for _, id := range ids {
		unique[id.UID] = true
	}
	want := fmt.Sprintf("UIDL lists %d messages, each with an id of its own", drop.count)
	if len(ids) != drop.count || len(unique) != drop.count {
		s.add("message-list", audit.Fail, want, fmt.Sprintf("%d messages, %d ids", len(ids), len(unique)))
	} else {
		s.add("message-list", audit.Pass, want, fmt.Sprintf("%d ids", len(unique)))
	}
	if drop.count > 0 {
		s.doing("message-list", "TOP")
		err := s.guard(func() error { _, err := c.Cmd("TOP", true, 1, 0); return err })
		if err := s.pop3Step("message-list", "TOP is answered (RFC 1939, 7)", err); err != nil {
			return err
		}
	}
	s.guard(c.Quit) // the session's results stand whatever it says
	return nil
}

// pop3Step judges a command: refused, or answered in another way than it may be.
func (s *session) pop3Step(kind, expected string, err error) error {
	last := lastLine(s.heard(0))
	switch {
	case err == nil:
		s.add(kind, audit.Pass, expected, "answered")
		return nil
	case s.c.Failure() != nil:
		return s.c.Failure()
	case strings.HasPrefix(last, "-ERR"):
		s.add(kind, audit.Fail, expected, last)
		return nil
	}
	s.add("well-formed", audit.Fail, expected, s.during+": "+err.Error())
	return errStop
}

// turnedAway is a server that does not let anybody in now.
func (s *session) turnedAway(line []byte) error {
	s.decided = true
	s.add("login", audit.Unknown, s.wanted(), "turned away: "+string(line))
	return errStop
}

func lastLine(heard []byte) string {
	heard = bytes.TrimRight(heard, "\r\n")
	return string(heard[bytes.LastIndexByte(heard, '\n')+1:])
}
