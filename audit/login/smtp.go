package login

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/emersion/go-sasl"

	"herald/audit"
	"herald/probes"
	"herald/wire"
)

// smtp logs in as one who submits mail does (RFC 6409, RFC 4954), on 465 or 587. Nothing is
// submitted.
func (s *session) smtp() error {
	if err := s.welcomed(); err != nil {
		return err
	}
	extensions, err := s.ehlo()
	if err != nil {
		return err
	}
	if s.login.Security == wire.StartTLS {
		if offersPassword(mechanisms(extensions)) {
			s.add("login-cleartext", audit.Fail, "no AUTH for passwords in the clear", "AUTH "+strings.Join(mechanisms(extensions), " ")).Fix =
				"demand TLS before a login (Postfix: smtpd_tls_auth_only = yes)"
		} else {
			s.add("login-cleartext", audit.Pass, "no AUTH for passwords in the clear", "none is offered")
		}
		s.doing("login", "STARTTLS")
		r, err := s.ask("STARTTLS")
		if err != nil {
			return err
		}
		if r.code == 220 {
			if err := s.c.StartTLS(); err != nil {
				return err
			}
			if extensions, err = s.ehlo(); err != nil {
				return err
			}
		}
	}
	if err := s.mayBeTold(); err != nil {
		return err
	}
	err = s.smtpAuth(mechanisms(extensions))
	if err == nil || errors.Is(err, errStop) {
		s.ask("QUIT") // the answer changes nothing
	}
	return err
}

// ehlo introduces us and gives the extensions.
func (s *session) ehlo() ([]string, error) {
	s.doing("login", "EHLO")
	name := s.c.Manners().Hello
	if name == "" { // RFC 5321, 4.1.3: the address literal of our side
		a := s.c.Local().Addr()
		if name = "[" + a.String() + "]"; a.Is6() {
			name = "[IPv6:" + a.WithZone("").String() + "]"
		}
	}
	r, err := s.ask("EHLO " + name)
	if err != nil {
		return nil, err
	}
	if r.code != 250 {
		return nil, s.turnedAway([]byte(r.String()))
	}
	return probes.SMTPExtensions([]byte(strings.Join(r.lines, "\r\n") + "\r\n")), nil
}

func mechanisms(extensions []string) []string {
	for _, e := range extensions {
		if words := strings.Fields(strings.ToUpper(e)); len(words) > 0 && words[0] == "AUTH" {
			return words[1:]
		}
	}
	return nil
}

func offersPassword(mechanisms []string) bool {
	for _, m := range mechanisms {
		if m == sasl.Plain || m == sasl.Login {
			return true
		}
	}
	return false
}

func (s *session) smtpAuth(offered []string) error {
	s.doing("login", "AUTH")
	var client sasl.Client
	for _, m := range offered {
		switch {
		case m == sasl.Plain:
			client = sasl.NewPlainClient("", s.who.User, s.who.Password)
		case m == sasl.Login && client == nil:
			client = sasl.NewLoginClient(s.who.User, s.who.Password)
		}
	}
	if client == nil {
		s.decided = true
		s.add("login", audit.Unknown, s.wanted(), "neither AUTH PLAIN nor LOGIN is offered: "+strings.Join(offered, " "))
		return errStop
	}
	mechanism, initial, err := client.Start()
	if err != nil {
		return err
	}
	command := "AUTH " + mechanism
	if initial != nil {
		command += " " + base64.StdEncoding.EncodeToString(initial)
	}
	r, err := s.ask(command)
	const most = 4 // challenges; LOGIN has two
	for range most {
		if err != nil {
			return err
		}
		if r.code != 334 {
			break
		}
		challenge, bad := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.String(), "334 "))
		if bad != nil {
			return s.c.Malformed("a challenge that is not base64", []byte(r.String()))
		}
		answer, refuse := client.Next(challenge)
		if refuse != nil {
			if r, err = s.ask("*"); err != nil { // RFC 4954, 4: called off
				return err
			}
			return s.turnedAway([]byte("a challenge that " + mechanism + " does not have: " + string(challenge)))
		}
		r, err = s.ask(base64.StdEncoding.EncodeToString(answer))
	}
	switch {
	case err != nil:
		return err
	case r.code == 235:
		return s.answered(true, r.String())
	case r.code == 334:
		return s.c.TooMuch("challenges", most)
	case r.code/100 == 4: // 454, 421: not now
		return s.turnedAway([]byte(r.String()))
	}
	return s.answered(false, r.String())
}
