package login

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"herald/audit"
	"herald/wire"
)

// session is a login under way.
type session struct {
	ctx      context.Context
	caller   wire.Caller
	endpoint wire.Endpoint
	login    Login
	who      Credentials
	roots    *x509.CertPool

	c       *wire.Conversation   // with the service
	keeping sync.Mutex           // a library that hangs may still open data connections
	all     []*wire.Conversation // those, too
	ended   bool                 // and no more are wanted
	steps   []Step
	during  string // what is tried, for who reads of its failure
	kind    string // of the finding that it would give
	decided bool   // whether the login was accepted is known
	stuck   bool   // a library is still at it: whatever it has is its own
}

var (
	errStop = errors.New("nothing more can be tried") // a step says why
)

// What ends a call of a library that [Guard] makes.
var (
	ErrPanicked = errors.New("what the server said made the library fail")
	ErrStuck    = errors.New("no end")
)

// doing says what is tried next.
func (s *session) doing(kind, what string) { s.kind, s.during = kind, what }

func (s *session) add(kind string, state audit.State, expected, seen string) *Step {
	s.steps = append(s.steps, Step{Kind: kind, State: state, Expected: expected, Seen: s.clean(seen)})
	return &s.steps[len(s.steps)-1]
}

// clean makes words of a server fit for a report: masked, escaped, short.
func (s *session) clean(text string) string {
	for _, secret := range s.who.Secrets() {
		text = strings.ReplaceAll(text, string(secret), wire.Masked)
	}
	text = strings.TrimSpace(text)
	const most = 300
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(escape(text), "?")
}

func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			fmt.Fprintf(&b, `\x%02x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// open begins the conversation with the service.
func (s *session) open() error {
	s.doing("login", "connecting")
	c, err := s.dial(s.endpoint)
	s.c = c
	return err
}

// dial opens one more connection to the server, recorded with the others.
func (s *session) dial(e wire.Endpoint) (*wire.Conversation, error) {
	c, err := s.caller.Open(s.ctx, e)
	if c != nil {
		s.keep(c)
	}
	return c, err
}

func (s *session) keep(c *wire.Conversation) {
	c.Hide(s.who.Secrets()...)
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if s.ended {
		c.Close()
		return
	}
	s.all = append(s.all, c)
}

// close ends all conversations, and tells which there were.
func (s *session) close() []*wire.Conversation {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.ended = true
	for _, c := range s.all {
		c.Close()
	}
	return s.all
}

// greeting waits for the server's first line, as long as servers pause on purpose.
func (s *session) greeting() ([]byte, error) {
	s.doing("login", "waiting for the greeting")
	if _, err := s.c.Listen(0); err != nil {
		return nil, err
	}
	return s.c.ReadLine()
}

// mayBeTold decides whether the password may be said now. Where not, a step says why.
func (s *session) mayBeTold() error {
	t := s.c.TLS()
	switch {
	case t == nil && s.login.Security != wire.Plain:
		s.decided = true
		s.add("login", audit.Unknown, s.wanted(), "there is no TLS: no password is said").Fix = "have the server offer TLS"
		return errStop
	case t == nil || s.login.AnyCertificate:
		return nil
	}
	if err := Trusted(t.Chain, s.roots, s.endpoint.Host()); err != nil {
		s.decided = true
		s.add("login-certificate", audit.Fail, "a certificate for "+s.endpoint.Host()+" from a trusted authority", err.Error()+": no password is said").Fix =
			`put the authority into "trust", or write "certificate: any" where whoever answers may have the password`
		return errStop
	}
	s.add("login-certificate", audit.Pass, "a certificate for "+s.endpoint.Host()+" from a trusted authority", "trusted")
	return nil
}

func (s *session) wanted() string {
	if s.login.Refused {
		return "the login is refused"
	}
	return "the login is accepted"
}

// answered notes how a login was answered. It returns errStop where nothing can follow.
func (s *session) answered(accepted bool, words string) error {
	s.decided = true
	state, seen := audit.Pass, "accepted"
	if !accepted {
		seen = "refused"
	}
	if accepted == s.login.Refused {
		state = audit.Fail
	}
	if words = strings.TrimSpace(words); words != "" {
		seen += ": " + words
	}
	s.add("login", state, s.wanted(), seen)
	if !accepted {
		return errStop
	}
	return nil
}

// guard calls a library that tells nothing, as [Guard] does.
func (s *session) guard(f func() error) error {
	_, err := guarded(s, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// guarded calls a library, as [Guard] does, unless it is still at what it was called for.
func guarded[T any](s *session, f func() (T, error)) (told T, err error) {
	if s.stuck {
		return told, ErrStuck
	}
	whole := s.caller.Limits.Whole
	if whole == 0 {
		whole = wire.DefaultLimits.Whole
	}
	told, err = Guard(whole+time.Second, f)
	s.stuck = errors.Is(err, ErrStuck)
	return told, err
}

// heard is what the server has said from there on, nothing where a library still listens.
func (s *session) heard(from int) []byte {
	if s.stuck {
		return nil
	}
	return s.c.Heard()[from:]
}

// Guard calls a library and returns what it tells: a panic becomes [ErrPanicked], and a call
// that goes on though its time is over [ErrStuck]; it ends when its connection does, which
// the caller has to close. Until then f runs beside its caller: what f learns it returns,
// and never leaves in a variable of the caller's.
func Guard[T any](most time.Duration, f func() (T, error)) (T, error) {
	type told struct {
		what T
		err  error
	}
	done := make(chan told, 1)
	go func() {
		var t told
		defer func() {
			if v := recover(); v != nil {
				t.err = fmt.Errorf("%w: %v", ErrPanicked, v)
			}
			done <- t
		}()
		t.what, t.err = f()
	}()
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case t := <-done:
		return t.what, t.err
	case <-late.C:
		var none T
		return none, ErrStuck
	}
}

// because is the conversation's own failure, or failing that what a library said.
func (s *session) because(err error) error {
	if f := s.c.Failure(); f != nil {
		return f
	}
	return err
}

func (s *session) report() *Report {
	r := &Report{ID: s.login.ID, Where: s.where(), Steps: s.steps}
	if len(s.steps) == 0 {
		r.Steps = []Step{{Kind: "login", State: audit.Unknown, Expected: s.wanted(), Seen: "nothing was learnt"}}
	}
	t := &wire.Transcript{Notes: []string{"login " + s.login.ID + " as " + s.login.Protocol + " at " + r.Where}}
	for _, c := range s.close() {
		t.Exchanges = append(t.Exchanges, c.Exchange())
	}
	var text strings.Builder
	t.WriteTo(&text) // a strings.Builder takes everything
	r.Transcript = text.String()
	return r
}

func (s *session) where() string {
	key := s.login.At.Key()
	if a := s.endpoint.Addr; a.IsValid() && s.endpoint.Name != "" {
		key += " (" + a.Addr().String() + ")"
	}
	return key
}
