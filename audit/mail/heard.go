package mail

import (
	"net/netip"
	"slices"
	"strings"

	"herald/probes"
	"herald/wire"
)

// What facts about a service say, in the words of its protocol.

// down says that no connection stood.
func (s *Service) down() bool { return s.Failure != nil && s.Failure.Op == wire.OpDial }

// closed says that the port refused.
func (s *Service) closed() bool { return s.down() && s.Failure.Kind == wire.Refused }

// filtered says that nothing came back to our attempt to connect.
func (s *Service) filtered() bool {
	return s.down() && (s.Failure.Kind == wire.Timeout || s.Failure.Kind == wire.Unreachable)
}

// greeting is the greeting as received.
func (s *Service) greeting() string {
	if step := s.Any("greeting"); step != nil {
		return step.Reply
	}
	return ""
}

// welcome says that the server greeted and wants to talk.
func (s *Service) welcome() bool {
	g := s.greeting()
	switch s.Protocol {
	case "smtp":
		return code(g) == 220 && s.Any("ehlo") != nil && code(s.Any("ehlo").Reply) == 250
	case "imap":
		up := strings.ToUpper(g)
		return strings.HasPrefix(up, "* OK") || strings.HasPrefix(up, "* PREAUTH")
	case "pop3":
		return positive(g)
	case "sieve":
		return len(probes.SieveCapabilities([]byte(g))) > 0
	}
	return false
}

// refusal is the server's words where it would not talk to us, "" where it did.
func (s *Service) refusal() string {
	g := s.greeting()
	switch s.Protocol {
	case "smtp":
		if c := code(g); c >= 400 {
			return g
		}
		if e := s.Any("ehlo"); e != nil && code(e.Reply) >= 400 && s.Step("ehlo", true) == nil && !s.withoutExtensions() {
			return e.Reply
		}
	case "imap":
		if strings.HasPrefix(strings.ToUpper(g), "* BYE") {
			return g
		}
	case "pop3":
		if strings.HasPrefix(g, "-ERR") {
			return g
		}
	case "sieve":
		if up := strings.ToUpper(g); strings.HasPrefix(up, "BYE") || strings.HasPrefix(up, "NO") {
			return g
		}
	}
	return ""
}

// farewell is the reply 421 by which an SMTP server ended a conversation that it had taken
// up, "" without (RFC 5321, 3.8).
func (s *Service) farewell() string {
	if s.Protocol != "smtp" || s.Failure == nil {
		return ""
	}
	for _, step := range s.Steps {
		if code(step.Reply) == 421 {
			return step.Reply
		}
	}
	return ""
}

// offers are the capabilities that were listed, inside TLS or not; nil where none were.
func (s *Service) offers(tls bool) []string {
	step := func(name string) []byte {
		if st := s.Step(name, tls); st != nil {
			return []byte(st.Reply)
		}
		return nil
	}
	switch s.Protocol {
	case "smtp":
		return probes.SMTPExtensions(step("ehlo"))
	case "imap":
		return probes.IMAPCapabilities(step("capability"))
	case "pop3":
		return probes.POP3Capabilities(step("capa"))
	case "sieve":
		if list := probes.SieveCapabilities(step("capability")); list != nil {
			return list
		}
		return probes.SieveCapabilities(step("greeting"))
	}
	return nil
}

// best are the capabilities under the best protection that was reached.
func (s *Service) best() []string {
	if list := s.offers(true); list != nil {
		return list
	}
	return s.offers(false)
}

// offersTLS says whether the server offers to go under TLS.
func (s *Service) offersTLS() bool {
	if s.Protocol == "pop3" {
		return has(s.offers(false), "STLS")
	}
	return has(s.offers(false), "STARTTLS")
}

// secured says that a handshake was completed.
func (s *Service) secured() bool { return s.TLS != nil && s.TLS.Failure == nil && s.TLS.Version != 0 }

// refused says that the server answered the hello by refusing it.
func (t *TLS) refused() bool {
	return t.Failure != nil && t.Failure.Op == wire.OpHandshake && slices.Contains([]wire.Kind{wire.TLSAlert, wire.TLSFailed, wire.Closed, wire.Reset}, t.Failure.Kind)
}

// offered says that a client of the right kind would have come under TLS: it does not ask
// for what is not offered.
func (s *Service) offered() bool {
	return s.secured() && s.Step("starttls-unoffered", false) == nil
}

// interrupted says that words in the clear came behind the agreement to begin TLS, and
// that we went no further.
func (s *Service) interrupted() bool {
	return s.TLS != nil && s.TLS.Failure != nil && s.TLS.Failure.Step == "handshake" && s.TLS.Failure.Kind == wire.Protocol
}

// agreed says that the server agreed to begin TLS.
func (s *Service) agreed() bool {
	step := s.Step("starttls", false)
	if step == nil {
		return false
	}
	switch s.Protocol {
	case "smtp":
		return code(step.Reply) == 220
	case "imap":
		return tagged(step.Reply) == "OK"
	case "pop3":
		return positive(step.Reply)
	}
	return strings.HasPrefix(strings.ToUpper(step.Reply), "OK")
}

// putOff says that TLS is not available now (RFC 3207, 4: 454).
func (s *Service) putOff() bool {
	step := s.Step("starttls", false)
	return s.Protocol == "smtp" && step != nil && code(step.Reply)/100 == 4
}

// mechanisms are the SASL mechanisms, upper case, inside TLS or not; for POP3 USER stands
// for its own commands, for IMAP LOGIN, unless it is disabled.
func (s *Service) mechanisms(tls bool) []string {
	var list []string
	add := func(names ...string) {
		for _, n := range names {
			if n = strings.ToUpper(n); n != "" && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	offered := s.offers(tls)
	if offered == nil {
		return nil
	}
	list = []string{}
	for _, item := range offered {
		words := strings.Fields(item)
		if len(words) == 0 {
			continue
		}
		name := strings.ToUpper(words[0])
		switch {
		case s.Protocol == "smtp" && name == "AUTH", (s.Protocol == "pop3" || s.Protocol == "sieve") && name == "SASL":
			add(words[1:]...)
		case s.Protocol == "smtp" && strings.HasPrefix(name, "AUTH="): // before RFC 4954
			add(name[len("AUTH="):])
			add(words[1:]...)
		case s.Protocol == "imap" && strings.HasPrefix(name, "AUTH="):
			add(name[len("AUTH="):])
		case s.Protocol == "pop3" && name == "USER":
			add("USER")
		}
	}
	if s.Protocol == "imap" && !has(offered, "LOGINDISABLED") {
		add("LOGIN") // RFC 9051, 6.2.3: the command
	}
	return list
}

// itself says that we came to the service from its own machine, as far as can be seen.
func (s *Service) itself() bool {
	local, err := netip.ParseAddrPort(s.Local)
	from := local.Addr().Unmap().WithZone("")
	return err == nil && (from == s.Addr || from.IsLoopback() && s.Addr.IsLoopback())
}

// readable are the ways to log in that show the password to whoever listens.
func readable(mechanisms []string) []string {
	var list []string
	for _, m := range mechanisms {
		if slices.Contains([]string{"PLAIN", "LOGIN", "USER", "XOAUTH2", "OAUTHBEARER"}, m) {
			list = append(list, m)
		}
	}
	return list
}

// greetingName is the host that an SMTP greeting names (RFC 5321, 4.2).
func (s *Service) greetingName() string {
	line, _, _ := strings.Cut(s.greeting(), "\n")
	if len(line) < 4 {
		return ""
	}
	words := strings.Fields(line[4:])
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

// ehloName is the host that the reply to EHLO names.
func (s *Service) ehloName() string {
	step := s.Any("ehlo")
	if step == nil || len(step.Reply) < 5 || code(step.Reply) != 250 {
		return ""
	}
	words := strings.Fields(step.Reply[4:])
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

func isFullName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	labels := strings.Split(name, ".")
	if len(labels) < 2 || len(name) > 253 || strings.EqualFold(name, "localhost.localdomain") {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func sorted(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, strings.ToUpper(strings.TrimSpace(s)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lacking are the members of a that b has not.
func lacking(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
