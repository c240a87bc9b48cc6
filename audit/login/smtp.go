package login

import (
	"encoding/base64"
	"errors"
	"fmt"
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
	code, last, err := SMTPAuth(offered, s.who, func(line string) (int, string, error) {
		r, err := s.ask(line)
		return r.code, r.String(), err
	})
	switch {
	case errors.Is(err, ErrMechanism):
		s.decided = true
		s.add("login", audit.Unknown, s.wanted(), err.Error())
		return errStop
	case errors.Is(err, ErrChallenge):
		return s.turnedAway([]byte(err.Error()))
	case errors.Is(err, ErrMalformed):
		return s.c.Malformed(err.Error(), []byte(last))
	case err != nil:
		return err
	case code == 235:
		return s.answered(true, last)
	case code/100 == 4: // 454, 421: not now
		return s.turnedAway([]byte(last))
	}
	return s.answered(false, last)
}

// Why [SMTPAuth] ends before an answer.
var (
	ErrMechanism = errors.New("neither AUTH PLAIN nor LOGIN is offered")
	ErrChallenge = errors.New("it was called off")
	ErrMalformed = errors.New("no challenges of such an exchange")
)

// SMTPAuth logs in (RFC 4954, 4) by LOGIN or better PLAIN, if they are among the mechanisms
// that are offered. ask says a line and gives the code and the last line of the reply. The
// result is that of the last: 235 where the login was accepted. Errors are those of ask,
// [ErrMechanism], [ErrChallenge] and [ErrMalformed].
func SMTPAuth(offered []string, who Credentials, ask func(line string) (code int, last string, err error)) (code int, last string, err error) {
	var client sasl.Client
	for _, m := range offered {
		switch {
		case m == sasl.Plain:
			client = sasl.NewPlainClient("", who.User, who.Password)
		case m == sasl.Login && client == nil:
			client = sasl.NewLoginClient(who.User, who.Password)
		}
	}
	if client == nil {
		return 0, "", fmt.Errorf("%w: %s", ErrMechanism, strings.Join(offered, " "))
	}
	mechanism, initial, err := client.Start()
	if err != nil {
		return 0, "", err
	}
	command := "AUTH " + mechanism
	if initial != nil {
		command += " " + base64.StdEncoding.EncodeToString(initial)
	}
	code, last, err = ask(command)
	const most = 4 // challenges; LOGIN has two
	for range most {
		if err != nil || code != 334 {
			return code, last, err
		}
		challenge, bad := base64.StdEncoding.DecodeString(strings.TrimPrefix(last, "334 "))
		if bad != nil {
			return code, last, fmt.Errorf("%w: not base64", ErrMalformed)
		}
		answer, refuse := client.Next(challenge)
		if refuse != nil {
			if _, _, err := ask("*"); err != nil { // RFC 4954, 4: called off
				return code, last, err
			}
			return code, last, fmt.Errorf("a challenge that %s does not have: %s; %w", mechanism, challenge, ErrChallenge)
		}
		code, last, err = ask(base64.StdEncoding.EncodeToString(answer))
	}
	if err == nil && code == 334 {
		err = fmt.Errorf("%w: more than %d", ErrMalformed, most)
	}
	return code, last, err
}
