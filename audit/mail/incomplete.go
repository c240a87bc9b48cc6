package mail

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"herald/resolve"
	"herald/wire"
)

// Facts may lack anything: a run was stopped, a file was cut, or written by another
// program. What is not there is not known, and nothing is concluded from it.

// settled is the facts without what only half is there: answers whose records are gone,
// steps without a reply, services of which is not said what they speak.
func settled(f *Facts) *Facts {
	whole := *f
	whole.parsed = new(sync.Map)
	whole.Answers = make([]resolve.Answer, 0, len(f.Answers))
	for _, a := range f.Answers {
		if _, known := dns.StringToType[a.Type]; a.Name == "" || !known {
			continue
		}
		if a.Status == "" || a.Status == resolve.Found && len(resolve.Of[dns.RR](a)) < max(1, len(a.Records)) {
			a.Status, a.Reason = resolve.Failed, "the facts do not hold the answer"
		}
		whole.Answers = append(whole.Answers, a)
	}
	whole.Services = make([]*Service, 0, len(f.Services))
	for _, s := range f.Services {
		if one, ok := s.settled(); ok {
			whole.Services = append(whole.Services, one)
		}
	}
	whole.Documents = slices.DeleteFunc(slices.Clone(f.Documents), func(d Document) bool {
		return d.URL == "" || d.Failure == nil && (d.Status == 0 || d.Bytes > 0 && d.Body == "")
	})
	return &whole
}

func (s *Service) settled() (*Service, bool) {
	one := *s
	one.Steps = slices.DeleteFunc(slices.Clone(s.Steps), func(step Step) bool { return step.Reply == "" })
	for _, t := range []**TLS{&one.TLS, &one.NoName, &one.OtherKey} {
		if *t != nil && (*t).Failure == nil && (*t).Version == 0 {
			*t = nil
		}
	}
	return &one, one.Host != "" && one.Port != 0 && one.Addr.IsValid() && (one.Protocol != "" || one.Failure != nil) && one.Security != ""
}

// unheard says that what a service is like is not known, for want of words: the network
// ended the conversation, or the facts lack them. A refusal, by an alert or in words of
// another protocol, is an answer; and so is to hang up on every hello.
func (f *Failure) unheard() bool {
	if f != nil && f.Twice {
		return false
	}
	return f == nil || !slices.Contains([]wire.Kind{wire.Refused, wire.NotTLS, wire.TLSAlert, wire.TLSFailed, wire.Protocol}, f.Kind)
}

// unseen says that whether the service goes under TLS is not known: it was not tried to
// the end, or the facts lack how it ended.
func (s *Service) unseen() bool {
	switch {
	case s.secured() || strings.HasPrefix(strings.ToUpper(s.greeting()), "* PREAUTH"): // RFC 9051, 6.2.1: not in that state
		return false
	case s.TLS != nil && s.TLS.Failure != nil:
		return s.TLS.Failure.unheard() || s.interrupted()
	case s.Security == "tls" || s.agreed():
		return s.Failure.unheard()
	case s.Step("starttls", false) != nil: // it refused
		return s.putOff()
	case s.withoutExtensions():
		return false
	}
	return !s.welcome() || s.Step("ehlo", false) == nil && s.Protocol == "smtp" || s.offersTLS()
}

// why is what kept us from knowing, in words.
func (s *Service) why() string {
	if s.Failure != nil {
		return s.Failure.String()
	}
	if s.TLS != nil && s.TLS.Failure != nil {
		return s.TLS.Failure.String()
	}
	return "the facts do not tell"
}

// nextOf is what to do about a conversation that the network ended.
func (s *Service) nextOf() string {
	kind := wire.Kind("")
	if s.Failure != nil {
		kind = s.Failure.Kind
	}
	switch kind {
	case wire.Timeout:
		return "repeat with more --patience; see in the server's log what it waits for"
	case wire.Closed, wire.Reset:
		return "see in the server's log of this time why it hung up: a block list, a limit, or a crash; then repeat"
	}
	return cmp.Or(map[wire.Kind]string{wire.Limit: "see what the server sends: it is more than any answer"}[kind], "gather again")
}
