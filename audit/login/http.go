package login

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"

	"herald/audit"
	"herald/wire"
)

// http asks for a page without and with a login (RFC 7617): the first must be 401 with a
// realm, the second not.
func (s *session) http() error {
	return s.asked(http.StatusUnauthorized, "WWW-Authenticate", "Authorization", func() (*http.Request, error) {
		scheme := "http"
		if s.login.Security == wire.TLS {
			scheme = "https"
		}
		return http.NewRequestWithContext(s.ctx, http.MethodGet, scheme+"://"+s.login.At.Key()+cmp.Or(s.login.Path, "/"), nil)
	})
}

// asked sends a request without a login, then with one, on a connection each.
func (s *session) asked(demand int, challenge, authorization string, request func() (*http.Request, error)) error {
	s.doing("login-needed", "asking without a login")
	r, err := s.request(request, "")
	if err != nil {
		return err
	}
	realm := r.Header.Get(challenge)
	want := fmt.Sprintf("without a login %d and a realm", demand)
	seen := fmt.Sprintf("%d %s", r.StatusCode, realm)
	switch {
	case r.StatusCode == demand && realm != "":
		s.add("login-needed", audit.Pass, want, seen)
	case r.StatusCode == demand:
		s.add("login-needed", audit.Warn, want, seen+"without "+challenge+" (RFC 9110, 11.6.1)")
	case r.StatusCode/100 == 2:
		s.add("login-needed", audit.Fail, want, seen+"anybody is let in")
	default:
		s.add("login-needed", audit.Unknown, want, seen)
	}
	if realm != "" && !strings.EqualFold(strings.SplitN(realm, " ", 2)[0], "basic") {
		s.decided = true
		s.add("login", audit.Unknown, s.wanted(), "only Basic is spoken here, the server wants "+realm)
		return errStop
	}
	s.c.Close()
	s.doing("login", "asking with a login")
	if r, err = s.request(request, authorization); err != nil {
		return err
	}
	words := fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode))
	switch {
	case r.StatusCode == demand, r.StatusCode == http.StatusForbidden:
		return s.answered(false, words)
	case r.StatusCode/100 == 5:
		return s.turnedAway([]byte(words))
	}
	return s.answered(true, words)
}

// request sends a request on a connection of its own and reads the head of the response.
func (s *session) request(make func() (*http.Request, error), authorization string) (*http.Response, error) {
	if err := s.openAgain(); err != nil {
		return nil, err
	}
	q, err := make()
	if err != nil {
		return nil, err
	}
	q.Header.Set("User-Agent", cmp.Or(s.c.Manners().UserAgent, wire.DefaultUserAgent))
	q.Close = true
	if authorization != "" {
		if err := s.mayBeTold(); err != nil {
			return nil, err
		}
		basic := http.Header{}
		(&http.Request{Header: basic}).SetBasicAuth(s.who.User, s.who.Password)
		q.Header.Set(authorization, basic.Get("Authorization"))
	}
	conn := s.c.Conn(nil)
	r, err := guarded(s, func() (*http.Response, error) {
		if err := q.Write(conn); err != nil {
			return nil, err
		}
		return http.ReadResponse(bufio.NewReader(conn), q)
	})
	if err != nil {
		return nil, s.broken(err)
	}
	r.Body = io.NopCloser(strings.NewReader("")) // what follows is not read
	return r, nil
}

// openAgain opens the conversation and keeps what is said to be tried.
func (s *session) openAgain() error {
	kind, during := s.kind, s.during
	err := s.open()
	s.doing(kind, during)
	return err
}
