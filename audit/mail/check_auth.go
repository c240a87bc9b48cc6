package mail

import (
	"fmt"
	"slices"
	"strings"
)

var authChecks = []Check{
	{"A1", "authentication", "SMTP offers no login before TLS", High, "RFC 4954, 4 and 9; RFC 8314, 4.1", "the reply to EHLO in the clear lists no AUTH with PLAIN or LOGIN", (*judge).authBeforeTLS},
	{"A2", "authentication", "SMTP takes no password before TLS", Critical, "RFC 4954, 4 and 6", "AUTH PLAIN in the clear is refused: 530, 538, 503, 502 (asked without a secret, and cancelled)", (*judge).authTaken},
	{"A3", "authentication", "IMAP takes no password before TLS", High, "RFC 9051, 6.2.1 to 6.2.3 and 11", "LOGINDISABLED is listed, AUTH=PLAIN is not, and AUTHENTICATE PLAIN is refused", (*judge).imapBeforeTLS},
	{"A4", "authentication", "POP3 takes no password before TLS", High, "RFC 2595, 2.3; RFC 5034, 4", "neither USER nor SASL PLAIN is listed or taken before STLS", (*judge).popBeforeTLS},
	{"A5", "authentication", "there is a way to log in after TLS", High, "RFC 4616; RFC 5802; RFC 7628", "465, 587, 993 list mechanisms inside TLS, and sibling ports the same ones", (*judge).mechanismsAfter},
	{"A7", "authentication", "no login on port 25", Low, "good practice; RFC 6409, 3.1", "an exchanger offers no AUTH: submissions have ports of their own", (*judge).authOnExchanger},
	{"A8", "authentication", "no PREAUTH greeting", Critical, "RFC 9051, 7.1.4", "IMAP does not take strangers for logged in", (*judge).preauth},
}

func (j *judge) authBeforeTLS() {
	for _, s := range j.services("smtp") {
		if s.Security == "tls" || s.offers(false) == nil {
			continue
		}
		offered := s.mechanisms(false)
		switch open := readable(offered); {
		case len(open) > 0:
			j.fail(s.Where(), "lists %s in the clear", strings.Join(open, ", ")).with(stepText(s.Step("ehlo", false))).fix("%s", j.mend(s, "no-plain-smtp"))
		case len(offered) > 0:
			j.warn(s.Where(), "lists %s in the clear, which do not show the password", strings.Join(offered, ", ")).sev(Low).fix("%s", j.mend(s, "no-plain-smtp"))
		default:
			j.pass(s.Where(), "no AUTH before TLS")
		}
	}
}

func (j *judge) authTaken() { j.taken("smtp") }

// trustsItself adds an unknown where a server has another rule for its own machine, and we
// are on that: Dovecot takes connections from its own address for safe, whatever
// disable_plaintext_auth says (its documentation of that setting, since 1.0).
func (j *judge) trustsItself(s *Service) bool {
	if !s.itself() || j.product(s).name != "Dovecot" {
		return false
	}
	j.unknown(s.Where(), "ask from another machine", "whether it takes a password in the clear from others is not known: we asked from its own machine, which Dovecot always trusts")
	return true
}

// taken judges the proof: the server was asked to begin a PLAIN exchange.
func (j *judge) taken(protocol string) {
	for _, s := range j.services(protocol) {
		step := s.Step("auth", false)
		switch {
		case step == nil || s.Security == "tls":
		case s.takesPlain() && j.trustsItself(s):
		case s.takesPlain():
			j.fail(s.Where(), "would take a password in the clear: it went along, and we cancelled").
				with("> "+step.Said, "< "+step.Reply, "> "+saidOf(s.Step("cancel", false)), "< "+stepText(s.Step("cancel", false))).fix("%s", j.mend(s, "no-plain-"+protocol)).sev(Critical)
		case code(step.Reply)/100 == 4:
			j.unknown(s.Where(), "repeat later", "neither taken nor refused: %s", firstLine(step.Reply))
		default:
			j.pass(s.Where(), "refused: %s", firstLine(step.Reply))
		}
	}
}

func saidOf(s *Step) string {
	if s == nil {
		return ""
	}
	return s.Said
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimRight(line, "\r")
}

func (j *judge) imapBeforeTLS() {
	for _, s := range j.services("imap") {
		list := s.offers(false)
		if s.Security == "tls" || list == nil || strings.HasPrefix(strings.ToUpper(s.greeting()), "* PREAUTH") { // A8 tells
			continue
		}
		open := readable(s.mechanisms(false))
		step := s.Step("auth", false)
		switch {
		case (s.takesPlain() || !has(list, "LOGINDISABLED")) && j.trustsItself(s):
		case s.takesPlain():
			j.fail(s.Where(), "would take a password in the clear: it went along, and we cancelled").with("> "+step.Said, "< "+step.Reply).fix("%s", j.mend(s, "no-plain-imap")).sev(Critical)
		case !has(list, "LOGINDISABLED"):
			j.fail(s.Where(), "does not say LOGINDISABLED before TLS: clients will send passwords").with("CAPABILITY "+strings.Join(list, " ")).fix("%s", j.mend(s, "no-plain-imap"))
		case len(open) > 0:
			j.warn(s.Where(), "lists %s before TLS, and refuses it", strings.Join(open, ", ")).sev(Medium).fix("%s", j.mend(s, "no-plain-imap"))
		default:
			j.pass(s.Where(), "LOGINDISABLED, and AUTHENTICATE PLAIN is refused")
		}
	}
}

func (j *judge) popBeforeTLS() {
	for _, s := range j.services("pop3") {
		step := s.Step("auth", false)
		if s.Security == "tls" || step == nil {
			continue
		}
		open := readable(s.mechanisms(false))
		switch {
		case (s.takesPlain() || len(open) > 0) && j.trustsItself(s):
		case s.takesPlain():
			j.fail(s.Where(), "would take a password in the clear").with("> "+step.Said, "< "+step.Reply, stepText(s.Step("user", false))).fix("%s", j.mend(s, "no-plain-pop3")).sev(Critical)
		case len(open) > 0:
			j.warn(s.Where(), "lists %s before TLS, where clients may send it; AUTH PLAIN is refused", strings.Join(open, ", ")).sev(Medium).fix("%s", j.mend(s, "no-plain-pop3"))
		default:
			j.pass(s.Where(), "neither USER nor SASL PLAIN before STLS")
		}
	}
}

func (j *judge) mechanismsAfter() {
	for _, s := range j.f.Services {
		if isMX(s) || !s.secured() || s.offers(true) == nil {
			continue
		}
		list := s.mechanisms(true)
		if len(list) > 0 {
			j.pass(s.Where(), "%s", strings.Join(list, ", "))
		} else if s.Protocol == "pop3" {
			j.warn(s.Where(), "lists no way to log in").sev(Low).with(strings.Join(s.offers(true), "\n"))
		} else {
			j.fail(s.Where(), "lists no way to log in inside TLS").with(strings.Join(s.offers(true), "\n")).fix("connect the server to its users: no client can log in here")
		}
	}
	j.siblings("smtp", 465, 587, func(s *Service) []string { return s.mechanisms(true) }, "mechanisms")
	j.siblings("imap", 993, 143, func(s *Service) []string { return s.mechanisms(true) }, "mechanisms")
}

// siblings compares two ports of one address.
func (j *judge) siblings(protocol string, a, b uint16, of func(*Service) []string, what string) {
	for _, s := range j.services(protocol, a) {
		i := slices.IndexFunc(j.services(protocol, b), func(o *Service) bool { return o.Addr == s.Addr && o.Host == s.Host })
		if i < 0 {
			continue
		}
		o := j.services(protocol, b)[i]
		x, y := of(s), of(o)
		if x == nil || y == nil || !s.secured() || !o.secured() {
			continue
		}
		where := fmt.Sprintf("%s:%d and %d (%s)", s.Host, a, b, s.Addr)
		x, y = sorted(x), sorted(y)
		if slices.Equal(x, y) {
			j.pass(where, "the same %s", what)
			continue
		}
		f := j.warn(where, "different %s inside TLS", what).sev(Low)
		for port, l := range map[uint16][]string{a: lacking(x, y), b: lacking(y, x)} {
			if len(l) > 0 {
				f.with(fmt.Sprintf("only on %d: %s", port, strings.Join(l, ", ")))
			}
		}
		slices.Sort(f.Evidence)
		f.fix("give both ports one configuration")
	}
}

func (j *judge) authOnExchanger() {
	for _, s := range j.exchangers() {
		if !s.welcome() {
			continue
		}
		if list := append(s.mechanisms(false), s.mechanisms(true)...); len(list) > 0 {
			j.warn(s.Where(), "offers AUTH: %s", strings.Join(sorted(list), ", ")).fix("offer AUTH on 465 and 587 alone: on 25 it serves those who guess passwords")
		} else {
			j.pass(s.Where(), "no AUTH")
		}
	}
}

func (j *judge) preauth() {
	for _, s := range j.services("imap") {
		switch g := s.greeting(); {
		case strings.HasPrefix(strings.ToUpper(g), "* PREAUTH"):
			j.fail(s.Where(), "takes strangers for logged in").with(g).fix("this configuration is for a pipe on the same machine, not for a port")
		case g != "" && s.welcome():
			j.pass(s.Where(), "greets with OK")
		}
	}
}
