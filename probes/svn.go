package probes

import (
	"bytes"
	"regexp"
	"strconv"

	"herald/wire"
)

// SVN answers the greeting of a Subversion server with an address that is no repository,
// which is refused, or with an offer to log in that it leaves.
var SVN = add(svn{})

type svn struct{}

var svnInfo = Info{
	Name:  "svn",
	Title: "Subversion network protocol",
	Refs:  []string{"https://svn.apache.org/repos/asf/subversion/trunk/subversion/libsvn_ra_svn/protocol"},
	Ports: []Port{{3690, wire.Plain}},
	Keys: []Key{
		{"svn.greeting", "greeting: versions and capabilities"},
		{"svn.answer", "answer to an address"},
	},
}

var (
	svnGreeting = regexp.MustCompile(`^\( success \( \d+ \d+ \( [^)]*\) \( [^)]*\) \) \) ?\n?`)
	svnAnswer   = regexp.MustCompile(`^\( (success|failure) \( `)
)

func (svn) Info() *Info { return &svnInfo }

func (svn) Recognize(greeting []byte) Likeness {
	switch {
	case svnGreeting.Match(greeting):
		return Sure
	case svnAnswer.Match(greeting):
		return Likely
	}
	return Unlike
}

func (svn) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := svnList(c)
	o.Note("svn.greeting", greeting)
	if err != nil {
		return err
	}
	if !svnGreeting.Match(greeting) {
		return c.Malformed("a greeting is a list of versions and capabilities", greeting)
	}
	url := "svn://" + c.Endpoint().Host() + "/herald"
	if err := c.Say([]byte("( 2 ( edit-pipeline ) " + strconv.Itoa(len(url)) + ":" + url + " ) ")); err != nil {
		return err
	}
	answer, err := svnList(c)
	o.Note("svn.answer", answer)
	if err != nil {
		return err
	}
	if !svnAnswer.Match(answer) {
		return c.Malformed("an address is taken or refused", answer)
	}
	o.Confirmed = true
	return nil
}

// svnList reads one list, and the space before it. Strings in it, which have their length
// before them, are bridged.
func svnList(c *wire.Conversation) ([]byte, error) {
	const most = 8 << 10
	depth := 0
	for i := 0; i < most; i++ {
		got, err := c.Peek(i + 1)
		if err != nil {
			return nil, err
		}
		switch b := got[i]; {
		case depth == 0 && (b == ' ' || b == '\n'):
		case depth == 0 && b != '(':
			return nil, c.Malformed("a list begins with a parenthesis", got)
		case b == '(':
			depth++
		case b == ')':
			if depth--; depth == 0 {
				list, err := c.ReadFull(i + 1)
				return bytes.TrimLeft(list, " \n"), err
			}
		case b == ':':
			from := bytes.LastIndexByte(got[:i], ' ') + 1
			if n, rest := number(got[from:i]); n >= 0 && len(rest) == 0 {
				i += n
			}
		}
	}
	return nil, c.TooMuch("bytes of a list", most)
}
