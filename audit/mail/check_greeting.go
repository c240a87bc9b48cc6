package mail

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"herald/resolve"
)

var greetingChecks = []Check{
	{"G1", "greeting and names", "the greeting is well formed", High, "RFC 5321, 4.2 and 4.3.1", "220 and a space in its last line, 220- before", (*judge).greetingForm},
	{"G2", "greeting and names", "the greeting names the host", Medium, "RFC 5321, 4.2", "the first word is a full host name", (*judge).greetingHost},
	{"G3", "greeting and names", "EHLO is answered with the same name", Low, "RFC 5321, 4.1.1.1", "the reply to EHLO names the host that the greeting names", (*judge).sameName},
	{"G4", "greeting and names", "the name resolves to the address", Medium, "RFC 5321, 2.3.5", "the greeting's name has the address that was connected", (*judge).nameResolves},
	{"G5", "greeting and names", "the address has a name", High, "RFC 1912, 2.1; RFC 8601, 3", "there is a PTR record for the address", (*judge).pointer},
	{"G6", "greeting and names", "the name of the address leads back", High, "RFC 8601, 3", "a name of the address has this address (forward-confirmed reverse DNS)", (*judge).forwardConfirmed},
	{"G7", "greeting and names", "the name of the address is not generic", Low, "operator practice", "the name does not look like one of a dial-up pool", (*judge).generic},
	{"G8", "greeting and names", "the greeting comes soon", Low, "RFC 5321, 4.5.3.2.1", "the last line of the greeting comes within 15 s", (*judge).greetingDelay},
}

// greeters are SMTP services that greeted with 220.
func (j *judge) greeters() []*Service {
	var list []*Service
	for _, s := range j.services("smtp") {
		if code(s.greeting()) == 220 {
			list = append(list, s)
		}
	}
	return list
}

func (j *judge) greetingForm() {
	for _, s := range j.services("smtp") {
		g := s.greeting()
		if g == "" || code(g) >= 400 {
			continue // R1, R11, R12 tell
		}
		lines := strings.Split(strings.TrimRight(g, "\r\n"), "\n")
		last := strings.TrimRight(lines[len(lines)-1], "\r")
		switch {
		case code(g) != 220:
			j.fail(s.Where(), "greets with %d", code(g)).with(g)
		case !strings.HasPrefix(last, "220 "):
			j.fail(s.Where(), "its last line is not 220 and a space").with(g)
		case !strings.HasSuffix(g, "\r\n"):
			j.warn(s.Where(), "its lines do not end in CR LF").with(g).sev(Low)
		default:
			j.pass(s.Where(), "%d line(s)", len(lines)).with(g)
		}
	}
}

func (j *judge) greetingHost() {
	for _, s := range j.greeters() {
		name := s.greetingName()
		_, err := netip.ParseAddr(strings.Trim(name, "[]"))
		switch {
		case name == "":
			j.fail(s.Where(), "names no host").with(s.greeting()).fix("%s", j.mend(s, "name"))
		case (strings.Contains(name, "**") || strings.HasPrefix(name, "*")) && !s.offersTLS(): // firewalls that do so take STARTTLS away too
			j.fail(s.Where(), "is overwritten with asterisks: a firewall rewrites SMTP").with(s.greeting()).sev(High).fix("switch off the firewall's SMTP inspection (fixup, ESMTP inspect): it breaks STARTTLS too")
		case err == nil || !isFullName(name):
			j.fail(s.Where(), "%q is no full host name", name).with(s.greeting()).fix("%s", j.mend(s, "name"))
		default:
			j.pass(s.Where(), "names %s", name)
		}
	}
}

func (j *judge) sameName() {
	for _, s := range j.greeters() {
		a, b := s.greetingName(), s.ehloName()
		switch {
		case a == "" || b == "": // G2, R11 tell
		case strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, ".")):
			j.pass(s.Where(), "%s in both", a)
		default:
			j.warn(s.Where(), "greets as %s and answers EHLO as %s", a, b).fix("%s", j.mend(s, "name"))
		}
	}
}

func (j *judge) nameResolves() {
	for _, s := range j.greeters() {
		name := s.greetingName()
		if !isFullName(name) {
			continue
		}
		addrs, a, aaaa := resolve.Addresses(j.ctx, j.dns, name)
		switch {
		case slices.Contains(addrs, s.Addr):
			j.pass(s.Where(), "%s has this address", name)
		case !a.Known() && j.unresolved(s.Where(), a):
		case !aaaa.Known() && j.unresolved(s.Where(), aaaa):
		case len(addrs) == 0:
			j.warn(s.Where(), "%s, which the greeting names, has no address", name).fix("%s; or publish the name", j.mend(s, "name")).record("%s. IN %s %s", name, addressType(s.Addr), s.Addr)
		case s.Addr.IsPrivate() || s.Addr.IsLoopback():
			j.warn(s.Where(), "%s has %s, not this private address: behind address translation, or in a container, that may be meant so", name, joined(addrs)).sev(Info)
		default:
			j.warn(s.Where(), "%s, which the greeting names, has %s", name, joined(addrs)).fix("%s", j.mend(s, "name"))
		}
	}
}

func addressType(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}

func joined(addrs []netip.Addr) string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}

// mailAddresses are the addresses of SMTP services that stood, once each; sends says
// whether mail goes out from there as far as can be seen.
func (j *judge) mailAddresses() (addrs []netip.Addr) {
	for _, s := range j.services("smtp") {
		if !s.down() && !slices.Contains(addrs, s.Addr) {
			addrs = append(addrs, s.Addr)
		}
	}
	for _, text := range j.f.Question.Senders {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// sends says whether mail leaves from the address: it takes submissions, or the user says
// so.
func (j *judge) sends(a netip.Addr) bool {
	if slices.Contains(j.f.Question.Senders, a.String()) {
		return true
	}
	return slices.ContainsFunc(j.services("smtp", 465, 587), func(s *Service) bool { return s.Addr == a && !s.down() })
}

func (j *judge) pointers(a netip.Addr) (resolve.Answer, []string) {
	reverse, err := dns.ReverseAddr(a.WithZone("").String())
	if err != nil {
		return resolve.Answer{Status: resolve.Failed}, nil
	}
	answer := j.lookup(reverse, dns.TypePTR)
	var names []string
	for _, rr := range resolve.Of[*dns.PTR](answer) {
		names = append(names, bare(dns.CanonicalName(rr.Ptr)))
	}
	return answer, names
}

func (j *judge) pointer() {
	for _, a := range j.mailAddresses() {
		answer, names := j.pointers(a)
		severity := Low
		if j.sends(a) {
			severity = High
		}
		switch {
		case len(names) > 1:
			j.warn(a.String(), "%d names: %s", len(names), strings.Join(names, ", ")).sev(Low).fix("one address, one name: some receivers look at the first alone")
		case len(names) == 1:
			j.pass(a.String(), "is %s", names[0])
		case !answer.Known():
			if len(j.f.Answers) > 0 || answer.Status != resolve.Unasked {
				j.unresolved(a.String(), answer)
			}
		case a.IsPrivate() || a.IsLoopback():
			j.na(a.String(), "a private address, without a name in this DNS")
		default:
			reverse, _ := dns.ReverseAddr(a.String())
			f := j.warn(a.String(), "has no PTR record").sev(severity).fix("ask the provider of the address for the record").record("%s IN PTR mail.example.", reverse)
			if severity == High {
				f.State = Fail
			}
		}
	}
}

func (j *judge) forwardConfirmed() {
	for _, a := range j.mailAddresses() {
		_, names := j.pointers(a)
		var seen []string
		confirmed, failed := false, false
		for _, n := range names[:min(len(names), 10)] {
			addrs, v4, v6 := resolve.Addresses(j.ctx, j.dns, n)
			failed = failed || !v4.Known() || !v6.Known()
			confirmed = confirmed || slices.Contains(addrs, a)
			seen = append(seen, n+" has "+joined(addrs))
		}
		switch {
		case len(names) == 0: // G5 tells
		case confirmed:
			j.pass(a.String(), "%s leads back here", names[0])
		case failed:
			j.unknown(a.String(), "ask again", "a name of the address could not be looked up").with(seen...)
		default:
			f := j.warn(a.String(), "no name of the address leads back to it").with(seen...).sev(Low).
				fix("give the name this address, or the address another name").record("%s. IN %s %s", names[0], addressType(a), a)
			if j.sends(a) {
				f.State, f.Severity = Fail, High
			}
		}
	}
}

func (j *judge) generic() {
	for _, a := range j.mailAddresses() {
		_, names := j.pointers(a)
		for _, n := range names {
			if looksGeneric(n, a) {
				j.warn(a.String(), "%s looks like a name out of a pool; some receivers refuse such senders", n).fix("have the provider give the address the mail server's own name")
			} else {
				j.pass(a.String(), "%s", n)
			}
		}
	}
}

// looksGeneric says whether a name holds the address's digits, or words of pools.
func looksGeneric(name string, a netip.Addr) bool {
	for _, word := range []string{"dynamic", "dyn.", "dyn-", "pool", "dsl", "dhcp", "dialup", "ppp", "broadband", "cable", "client."} {
		if strings.Contains(name, word) {
			return true
		}
	}
	if !a.Is4() {
		return false
	}
	b := a.As4()
	digits := func(sep string, order ...int) string {
		var parts []string
		for _, i := range order {
			parts = append(parts, itoa(int(b[i])))
		}
		return strings.Join(parts, sep)
	}
	for _, sep := range []string{"-", ".", "_"} {
		if strings.Contains(name, digits(sep, 0, 1, 2, 3)) || strings.Contains(name, digits(sep, 3, 2, 1, 0)) {
			return true
		}
	}
	return false
}

func (j *judge) greetingDelay() {
	for _, s := range j.f.Services {
		step := s.Any("greeting")
		if step == nil {
			continue
		}
		took := time.Duration(step.MS * float64(time.Millisecond)).Round(100 * time.Millisecond)
		switch {
		case took > 60*time.Second:
			j.warn(s.Where(), "greets after %s", took).sev(Medium).fix("shorten the pause: senders and testers give up")
		case took > 15*time.Second:
			j.warn(s.Where(), "greets after %s", took).fix("shorten the pause: senders wait five minutes, testers and people do not")
		default:
			j.pass(s.Where(), "greets after %s", took)
		}
	}
}
