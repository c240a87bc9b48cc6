package login

import (
	"herald/wire"
)

// nntp logs in with AUTHINFO USER and PASS (RFC 4643, 2.3).
func (s *session) nntp() error {
	if err := s.open(); err != nil {
		return err
	}
	line, err := s.greeting()
	if err != nil {
		return err
	}
	switch code, _ := codeOf(trimmed(line)); code {
	case 200, 201:
	case 0:
		return s.c.Malformed("a response begins with three digits", line)
	default:
		return s.turnedAway(line)
	}
	if s.login.Security == wire.StartTLS {
		s.doing("login", "STARTTLS")
		r, err := s.askNews("STARTTLS")
		if err != nil {
			return err
		}
		if r.code == 382 { // RFC 4642, 2.2
			if err := s.c.StartTLS(); err != nil {
				return err
			}
		}
	}
	if err := s.mayBeTold(); err != nil {
		return err
	}
	s.doing("login", "AUTHINFO")
	r, err := s.askNews("AUTHINFO USER " + s.who.User)
	if err == nil && r.code == 381 {
		r, err = s.askNews("AUTHINFO PASS " + s.who.Password)
	}
	if err != nil {
		return err
	}
	defer s.askNews("QUIT")
	switch {
	case r.code == 281:
		return s.answered(true, r.String())
	case r.code/100 == 4 || r.code/100 == 5: // 481 refused, 482 out of order, 483 wants TLS, 502 not this way
		return s.answered(false, r.String())
	}
	return s.c.Malformed("AUTHINFO is not answered like this", []byte(r.String()))
}

// askNews says a command whose response is one line (RFC 3977, 3.2).
func (s *session) askNews(command string) (reply, error) {
	line, err := s.c.Ask(command)
	if err != nil {
		return reply{}, err
	}
	r := reply{lines: []string{trimmed(line)}}
	if r.code, _ = codeOf(r.lines[0]); r.code == 0 {
		return r, s.c.Malformed("a response begins with three digits", line)
	}
	return r, nil
}
