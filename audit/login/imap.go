package login

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"herald/audit"
	"herald/probes"
	"herald/wire"
)

// imap logs in (RFC 9051, 6.2), opens INBOX without changing it, and asks for special-use
// folders and the quota.
func (s *session) imap() error {
	if err := s.open(); err != nil {
		return err
	}
	line, err := s.greeting()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("* OK")) {
		return s.turnedAway(line) // BYE; and PREAUTH, where there is nothing to log in to
	}
	if s.login.Security == wire.StartTLS {
		if err := s.imapUpgrade(); err != nil {
			return err
		}
	}
	if err := s.mayBeTold(); err != nil {
		return err
	}
	s.doing("login", "logging in")
	client := imapclient.New(Careful(s.c.Conn([]byte("* OK\r\n"))), nil)
	err = s.guard(func() error {
		caps := client.Caps() // nil where it could not be asked
		switch {
		case !caps.Has(imap.CapLoginDisabled):
			return client.Login(s.who.User, s.who.Password).Wait()
		case caps.Has(imap.AuthCap(sasl.Plain)):
			return client.Authenticate(sasl.NewPlainClient("", s.who.User, s.who.Password))
		}
		return errNoLogin // the library would say the password all the same
	})
	defer func() { s.guard(client.Close) }()
	var refused *imap.Error
	switch {
	case errors.Is(err, errNoLogin):
		s.decided = true
		s.add("login", audit.Unknown, s.wanted(), "LOGINDISABLED, and no AUTH=PLAIN: no password is said")
		return errStop
	case errors.As(err, &refused) && refused.Type == imap.StatusResponseTypeNo:
		return s.answered(false, refused.Text)
	case err != nil:
		return s.broken(err)
	}
	if err := s.answered(true, ""); err != nil {
		return err
	}
	caps, err := guarded(s, func() (imap.CapSet, error) { return client.Caps(), nil })
	if err != nil {
		return err
	}
	return s.imapMailbox(client, caps)
}

var errNoLogin = errors.New("no way to log in")

// broken is an error of a library that is no refusal: of the connection where that failed,
// or else a reply that the library could not read.
func (s *session) broken(err error) error {
	if errors.Is(err, ErrPanicked) || errors.Is(err, ErrStuck) {
		return err
	}
	if f := s.c.Failure(); f != nil && f.Kind != wire.Canceled {
		return f
	}
	s.add("well-formed", audit.Fail, "answers that fit the protocol", s.during+": "+err.Error())
	return err
}

// imapUpgrade begins TLS. Before, it looks whether a password would be taken in the clear:
// LOGINDISABLED must be listed (RFC 9051, 6.2.3), and AUTHENTICATE PLAIN be refused. What
// is asked ends before anything secret would be said.
func (s *session) imapUpgrade() error {
	s.doing("login-cleartext", "CAPABILITY in the clear")
	text, _, err := s.imapAsk("h1", "CAPABILITY")
	if err != nil {
		return err
	}
	caps := probes.IMAPCapabilities(text)
	listed := func(name string) bool {
		return slices.ContainsFunc(caps, func(c string) bool { return strings.EqualFold(c, name) })
	}
	const want = "LOGINDISABLED in the clear, and AUTHENTICATE PLAIN refused"
	if !listed("LOGINDISABLED") {
		s.add("login-cleartext", audit.Fail, want, "LOGINDISABLED is not listed in the clear").Fix = "demand TLS before a login (Dovecot: disable_plaintext_auth = yes)"
	} else {
		if err := s.c.Send("h2 AUTHENTICATE PLAIN"); err != nil {
			return err
		}
		line, err := s.c.ReadLine()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("+")) {
			s.add("login-cleartext", audit.Fail, want, "LOGINDISABLED is listed, yet AUTHENTICATE PLAIN goes on: "+string(line)).Fix = "demand TLS before a login"
			if err := s.c.Send("*"); err != nil { // RFC 9051, 6.2.2: called off
				return err
			}
			line, err = s.c.ReadLine()
			if err != nil {
				return err
			}
		} else {
			s.add("login-cleartext", audit.Pass, want, string(line))
		}
		if _, _, err := s.imapRest("h2", line); err != nil {
			return err
		}
	}
	s.doing("login", "STARTTLS")
	_, status, err := s.imapAsk("h3", "STARTTLS")
	if err != nil || status != "OK" {
		return err // mayBeTold says what comes of it
	}
	return s.c.StartTLS()
}

// imapAsk says a command and reads on to its tagged response.
func (s *session) imapAsk(tag, command string) (text []byte, status string, err error) {
	if err := s.c.Send(tag + " " + command); err != nil {
		return nil, "", err
	}
	line, err := s.c.ReadLine()
	if err != nil {
		return nil, "", err
	}
	return s.imapRest(tag, line)
}

// imapRest reads on from a line to the tagged response.
func (s *session) imapRest(tag string, line []byte) (text []byte, status string, err error) {
	const most = 200 // lines
	for range most {
		text = append(text, line...)
		if rest, ok := bytes.CutPrefix(line, []byte(tag+" ")); ok {
			word, _, _ := strings.Cut(string(bytes.TrimRight(rest, "\r\n")), " ")
			return text, strings.ToUpper(word), nil
		}
		if line, err = s.c.ReadLine(); err != nil {
			return text, "", err
		}
	}
	return text, "", s.c.TooMuch("lines before a tagged response", most)
}

func (s *session) imapMailbox(c *imapclient.Client, caps imap.CapSet) error {
	s.doing("mailbox", "EXAMINE INBOX")
	box, err := guarded(s, func() (*imap.SelectData, error) {
		return c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	})
	if err != nil {
		if err := s.imapRefused("mailbox", "INBOX opens", err); err != nil {
			return err
		}
	} else {
		s.add("mailbox", audit.Pass, "INBOX opens", fmt.Sprintf("%d messages", box.NumMessages))
	}
	if err := s.imapFolders(c, caps); err != nil {
		return err
	}
	if err := s.imapQuota(c, caps); err != nil {
		return err
	}
	s.guard(c.Logout().Wait) // the session's results stand whatever it says
	return nil
}

// imapRefused tells of a command that was refused; other errors end the session.
func (s *session) imapRefused(kind, expected string, err error) error {
	var refused *imap.Error
	if errors.As(err, &refused) {
		s.add(kind, audit.Fail, expected, string(refused.Type)+" "+refused.Text)
		return nil
	}
	return s.broken(err)
}

// special are the folders that a mail program looks for (RFC 6154, 2).
var special = []imap.MailboxAttr{imap.MailboxAttrDrafts, imap.MailboxAttrSent, imap.MailboxAttrJunk, imap.MailboxAttrTrash}

func (s *session) imapFolders(c *imapclient.Client, caps imap.CapSet) error {
	const want = "folders are marked for drafts, sent, junk and trash"
	if !caps.Has(imap.CapSpecialUse) {
		s.add("mailbox-folders", audit.Warn, want, "SPECIAL-USE is not offered")
		return nil
	}
	s.doing("mailbox-folders", "LIST")
	list, err := guarded(s, func() ([]*imap.ListData, error) { return c.List("", "*", nil).Collect() })
	if err != nil {
		return s.imapRefused("mailbox-folders", want, err)
	}
	var has, lacks []string
	for _, a := range special {
		if slices.ContainsFunc(list, func(d *imap.ListData) bool { return slices.Contains(d.Attrs, a) }) {
			has = append(has, string(a))
		} else {
			lacks = append(lacks, string(a))
		}
	}
	if lacks != nil {
		s.add("mailbox-folders", audit.Warn, want, "none is marked "+strings.Join(lacks, ", "))
		return nil
	}
	s.add("mailbox-folders", audit.Pass, want, strings.Join(has, ", "))
	return nil
}

// fullAt is from which part of its quota on a mailbox counts as full.
const fullAt = 0.9

func (s *session) imapQuota(c *imapclient.Client, caps imap.CapSet) error {
	const want = "less than 90 % of the quota is used"
	if !caps.Has(imap.CapQuota) {
		s.add("mailbox-quota", audit.NA, want, "QUOTA is not offered (RFC 9208)")
		return nil
	}
	s.doing("mailbox-quota", "GETQUOTAROOT INBOX")
	roots, err := guarded(s, func() ([]imapclient.QuotaData, error) { return c.GetQuotaRoot("INBOX").Wait() })
	if err != nil {
		return s.imapRefused("mailbox-quota", want, err)
	}
	state, seen := audit.NA, []string{}
	for _, root := range roots {
		for name, r := range root.Resources {
			if r.Limit <= 0 {
				continue
			}
			if state == audit.NA {
				state = audit.Pass
			}
			if float64(r.Usage) >= fullAt*float64(r.Limit) {
				state = audit.Fail
			}
			seen = append(seen, fmt.Sprintf("%s %d of %d", name, r.Usage, r.Limit))
		}
	}
	slices.Sort(seen)
	if len(seen) == 0 {
		seen = []string{"no limit is told"}
	}
	s.add("mailbox-quota", state, want, strings.Join(seen, ", "))
	return nil
}
