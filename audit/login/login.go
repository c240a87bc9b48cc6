// Package login checks what shows only after a login: whether it is accepted, what the
// mailbox offers, whether FTP's data channel works and is protected. It is done only where
// an expectations file asks for it, with credentials that the user gives (see
// [Credentials]), once each; nothing is guessed.
//
// A password is said in the clear only where the file says "security: plain", and inside
// TLS only to a server whose certificate is trusted and names the host, unless the file
// says "certificate: any". It is masked in records and findings.
//
// FTP, IMAP and POP3 are spoken by libraries (jlaffaye/ftp, go-imap, go-pop3), on
// connections that package wire opened, bounded, upgraded and records. They are called so
// that a panic or an endless wait in one is a finding. Begin with [Try].
package login

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"herald/audit"
	"herald/wire"
)

// Login is one login that must be accepted, or refused.
type Login struct {
	ID             string
	At             audit.Place
	Protocol       string        // one of [Protocols]
	Security       wire.Security // plain, starttls, tls
	Credentials    string        // name, see [Credentials]
	Refused        bool          // the login must be refused
	AnyCertificate bool          // say the password to whoever answers
	Active         bool          // FTP: also have the server connect to us
	Upload         bool          // FTP: also write, read back and delete a file
	Path           string        // HTTP: what is asked for, "/" where ""
	Connect        string        // PROXY: host:port that it is asked to connect to
	Line, Col      int           // in the file
}

// Protocols are those of which logins can be checked.
var Protocols = []string{"ftp", "http", "imap", "nntp", "pop3", "proxy", "smtp"}

// Kinds are the kinds of finding of this package.
var Kinds = []audit.Kind{
	{ID: "login", Severity: "high", About: "a login is accepted, or refused, as it must be"},
	{ID: "login-cleartext", Severity: "high", About: "no password is taken in the clear where TLS is offered"},
	{ID: "login-certificate", Severity: "high", About: "the server shows a certificate that a password may be said to"},
	{ID: "login-needed", Severity: "medium", About: "without a login, what needs one is refused"},
	{ID: "mailbox", Severity: "high", About: "the mailbox opens"},
	{ID: "mailbox-folders", Severity: "low", About: "folders for special use are marked (RFC 6154)"},
	{ID: "mailbox-quota", Severity: "medium", About: "the mailbox has room"},
	{ID: "message-list", Severity: "medium", About: "messages have unique ids, and their beginning can be asked for"},
	{ID: "directory", Severity: "medium", About: "the server says in which directory the user is"},
	{ID: "data-channel", Severity: "high", About: "data connections stand and carry the list of files"},
	{ID: "data-address", Severity: "high", About: "the address for data connections can be reached from where the user is"},
	{ID: "data-encryption", Severity: "high", About: "data connections are encrypted where the control connection is"},
	{ID: "data-active", Severity: "low", About: "in active mode the server connects from the port before its own (RFC 959, 3.2)"},
	{ID: "upload", Severity: "high", About: "a file that was written is read back unchanged, and deleted"},
	{ID: "clock", Severity: "low", About: "the server's clock is right"},
	{ID: "well-formed", Severity: "medium", About: "the server's answers fit its protocol"},
}

// Step is one thing that was tried.
type Step struct {
	Kind     string      `json:"finding"`
	State    audit.State `json:"state"`
	Expected string      `json:"expected,omitempty"`
	Seen     string      `json:"seen,omitempty"`
	Fix      string      `json:"fix,omitempty"`
}

// Report is what a login at one address taught.
type Report struct {
	ID         string `json:"id"`
	Where      string `json:"where"` // host:port, and the address behind a name
	Steps      []Step `json:"steps"`
	Transcript string `json:"transcript,omitempty"` // see wire.Transcript; secrets are masked
}

// Limits of a login's conversations, where the caller's own are not set: patient, since a
// wrong password is answered late on purpose.
var Limits = wire.Limits{
	Dial: 5 * time.Second, TLS: 8 * time.Second, Greeting: 8 * time.Second, Reply: 10 * time.Second, Whole: 60 * time.Second,
	Line: 8 << 10, Bytes: 1 << 20, Turns: 100,
}

// Try logs in once. What the server does wrong is in the report's steps; it has at least
// one.
func Try(ctx context.Context, caller wire.Caller, e wire.Endpoint, l Login, who Credentials, roots *x509.CertPool) *Report {
	s := &session{ctx: ctx, caller: caller, endpoint: e, login: l, who: who, roots: roots}
	if s.caller.Limits == (wire.Limits{}) {
		s.caller.Limits = Limits
	}
	s.caller.TLS.Sessions = &sessions{cache: tls.NewLRUClientSessionCache(4)}
	s.endpoint.Security = wire.Plain
	if l.Security == wire.TLS {
		s.endpoint.Security = wire.TLS
	}
	defer s.close()
	var err error
	switch l.Protocol {
	case "ftp":
		err = s.ftp()
	case "imap":
		err = s.imap()
	case "pop3":
		err = s.pop3()
	case "smtp":
		err = s.smtp()
	case "nntp":
		err = s.nntp()
	case "http":
		err = s.http()
	case "proxy":
		err = s.proxy()
	default:
		err = fmt.Errorf("no login is known for %q", l.Protocol)
	}
	if err != nil {
		s.broke(err)
	}
	return s.report()
}

// broke tells of what ended the check early.
func (s *session) broke(err error) {
	var f *wire.Failure
	switch {
	case errors.Is(err, errStop):
		if len(s.steps) > 0 {
			return
		}
	case errors.Is(err, ErrPanicked), errors.Is(err, ErrStuck):
		s.add("well-formed", audit.Fail, "answers that fit the protocol", s.during+": "+err.Error())
		if s.decided {
			return
		}
	case errors.As(err, &f) && (f.Kind == wire.Protocol || f.Kind == wire.Limit):
		s.add("well-formed", audit.Fail, "answers that fit the protocol", s.during+": "+f.Error())
	}
	if !s.decided {
		s.add("login", audit.Unknown, s.wanted(), s.during+": "+err.Error())
		return
	}
	s.add(s.kind, audit.Unknown, "", s.during+": "+err.Error())
}

// sessions are what a server gave to resume from. It is one server whatever its port, so
// that a data connection resumes the session of the control connection.
type sessions struct{ cache tls.ClientSessionCache }

func (s *sessions) Get(string) (*tls.ClientSessionState, bool)  { return s.cache.Get("") }
func (s *sessions) Put(_ string, state *tls.ClientSessionState) { s.cache.Put("", state) }

// Trusted says whether a password may be said to the peer that showed the chain, and why not;
// host is the name or address by which it was called, nil roots are the system's.
func Trusted(chain []*x509.Certificate, roots *x509.CertPool, host string) error {
	if len(chain) == 0 {
		return errors.New("no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.WithZone("").String()
	}
	return chain[0].VerifyHostname(host)
}
