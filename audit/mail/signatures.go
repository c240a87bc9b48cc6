package mail

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"herald/audit/login"
)

// verify looks at the DKIM signatures of what has come, with the keys that the DNS has now.
func (t *trip) verify() {
	done := map[string]bool{}
	for _, b := range t.out.Boxes {
		for _, a := range b.Arrivals {
			if !done[a.ID] {
				a.Signatures = t.signatures(a.Raw)
			}
			done[a.ID] = true
		}
	}
}

var errKey = errors.New("the key could not be looked up")

// signatures verifies each signature of a message, few at most. Each is put on top and the
// library asked for the first: with several it would verify in goroutines of its own, where
// a panic could not be contained.
func (t *trip) signatures(raw []byte) (list []Signature) {
	header, _ := split(raw)
	const most = 5
	for i, text := range values(header, "DKIM-Signature") {
		if i == most {
			break
		}
		tags := tagList(text)
		s := Signature{Domain: tags["d"], Selector: tags["s"], Result: "fail"}
		v, err := login.Guard(30*time.Second, func() (verified, error) { return t.first(onTop(raw, i)) })
		if errors.Is(err, dkim.ErrTooManySignatures) {
			err = nil
		}
		if err == nil && len(v.found) == 1 {
			err = v.found[0].Err
		}
		switch {
		case err == nil && len(v.found) == 1:
			s.Result = "pass"
		case v.keyless:
			s.Result, s.Reason = "permerror", "the DNS that was asked has no such key"
		case err == nil:
			s.Reason = "no signature that could be read"
		case dkim.IsTempFail(err), errors.Is(err, errKey):
			s.Result, s.Reason = "temperror", err.Error()
		default:
			s.Reason = strings.TrimPrefix(clip(err.Error(), 300), "dkim: ")
		}
		list = append(list, s)
	}
	return list
}

// verified is what the library says of a signature.
type verified struct {
	found   []*dkim.Verification
	keyless bool // the DNS has no key of that name
}

// first verifies a message's first signature.
func (t *trip) first(raw []byte) (v verified, err error) {
	v.found, err = dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{MaxVerifications: 1, LookupTXT: func(name string) ([]string, error) {
		a := t.dns.Lookup(t.life, name, dns.TypeTXT)
		if !a.Known() {
			return nil, errKey
		}
		v.keyless = len(a.Texts()) == 0
		return a.Texts(), nil
	}})
	return v, err
}

// tagList are the tags of a signature or a key (RFC 6376, 3.2), without white space.
func tagList(text string) map[string]string {
	tags := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		if k, v, ok := strings.Cut(part, "="); ok {
			tags[strings.TrimSpace(k)] = strings.Join(strings.Fields(v), "")
		}
	}
	return tags
}

// onTop is a message with the n-th of its DKIM-Signature fields as its first field.
func onTop(raw []byte, n int) []byte {
	var top, rest bytes.Buffer
	seen, into := -1, &rest
	for line := range bytes.Lines(raw) {
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			break // the body follows
		}
		if text[0] != ' ' && text[0] != '\t' {
			into = &rest
			if name, _, ok := strings.Cut(string(text), ":"); ok && strings.EqualFold(strings.TrimRight(name, " \t"), "DKIM-Signature") {
				if seen++; seen == n {
					into = &top
				}
			}
		}
		into.Write(line)
	}
	top.Write(rest.Bytes())
	top.Write(raw[top.Len():])
	return top.Bytes()
}
