package mail

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"herald/probes"
	"herald/resolve"
	"herald/wire"
)

var portChecks = []Check{
	{"R1", "ports", "mail exchangers answer on port 25", Critical, "RFC 5321, 5.1", "every address of every exchanger accepts connections on port 25", (*judge).reachable},
	{"R2", "ports", "submission with implicit TLS on 465", High, "RFC 8314, 3.3", "a host that takes submissions does so on 465, inside TLS from the first byte", (*judge).submissions},
	{"R3", "ports", "submission on 587", Medium, "RFC 6409, 3.1; RFC 8314, 3.3", "where 587 is open it greets, takes EHLO and offers STARTTLS", (*judge).submission},
	{"R4", "ports", "IMAP on 993", High, "RFC 8314, 3.2; RFC 9051, 2.1", "993, where promised or open, completes TLS and then greets", func(j *judge) { j.mailbox("imap", 993, 143) }},
	{"R5", "ports", "POP3 on 995", High, "RFC 8314, 3.1; RFC 1939, 3", "995, where promised or open, completes TLS and then greets", func(j *judge) { j.mailbox("pop3", 995, 110) }},
	{"R6", "ports", "ManageSieve on 4190", Low, "RFC 5804, 1.8", "where promised or open it lists its capabilities, and STARTTLS among them", (*judge).sievePort},
	{"R8", "ports", "IPv4 and IPv6 offer the same", Medium, "good practice", "a host with both families offers the same ports, name, keys and keywords on both", (*judge).parity},
	{"R9", "ports", "all exchangers offer STARTTLS alike", High, "good practice", "no address of any exchanger differs in offering STARTTLS", (*judge).consistency},
	{"R10", "ports", "no further doors", Info, "good practice", "no mail server greets on 24, 26, 106, 109 or 2525, where nobody looks after it", (*judge).furtherDoors},
	{"R11", "ports", "nobody turned us away", Medium, "RFC 5321, 3.1 and 4.2", "a server that refuses to talk is told as such, and nothing is concluded from it", (*judge).turnedAway},
	{"R12", "ports", "each port speaks its own protocol", High, "good practice", "what greets on a port is the protocol that belongs there, in the TLS mode that belongs there", (*judge).ownProtocol},
}

func (j *judge) reachable() {
	list := j.exchangers()
	j.unnamed()
	for _, s := range j.unreached {
		switch {
		case s.Failure.Kind == wire.Canceled:
			j.unknown(s.Where(), "gather again, with a longer --timeout", "we were stopped before it was asked")
		case s.Failure.Kind == wire.Exhausted:
			j.unknown(s.Where(), "gather again, with fewer things going on beside it", "this machine ran out of ports, files or memory")
		case isMX(s):
			j.unknown(s.Where(), "gather from a network with IPv6", "our own network has no way to IPv6")
		}
	}
	up, other := 0, map[string]bool{}
	for _, s := range list {
		if !s.down() {
			up++
		}
	}
	for _, s := range j.f.Services {
		if !isMX(s) && !s.down() {
			other[s.Host] = true
		}
	}
	allSilent := len(list) > 0 && !slices.ContainsFunc(list, func(s *Service) bool { return !s.filtered() })
	for _, s := range list {
		switch {
		case !s.down():
			j.pass(s.Where(), "accepts connections, after %.0f ms", s.DialMS)
		case allSilent && len(other) > 0:
			j.unknown(s.Where(), "run this from a network that may connect to port 25", "no answer on port 25 from any exchanger, while other ports of theirs answer: our own network filters port 25")
		case allSilent:
			j.unknown(s.Where(), "run this from a network that may connect to port 25, or see whether a firewall stands before the server", "no answer on port 25 from any exchanger: %s", s.Failure.Kind)
		case up > 0:
			j.warn(s.Where(), "does not accept connections: %s; other exchangers or addresses do", s.Failure.Kind).sev(High).
				fix("let the server listen there, or remove the address from the DNS")
		default:
			j.fail(s.Where(), "does not accept connections: %s", s.Failure.Kind).fix("start the mail server, let it listen on this address, and open port 25 in the firewall")
		}
	}
}

// unnamed tells of hosts in the question that lead to no address: else nothing would be
// wrong with a host whose name was mistyped.
func (j *judge) unnamed() {
	hosts := []string{}
	if j.f.Question.Host != "" {
		hosts = append(hosts, asciiName(j.f.Question.Host))
	}
	for _, text := range j.f.Question.Services {
		if host, _, err := parseService(text); err == nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, host := range hosts {
		if isAddress(host) {
			continue
		}
		addrs, v4, v6 := resolve.Addresses(j.ctx, j.dns, host)
		switch {
		case len(addrs) > 0:
		case v4.Absent() && v6.Absent():
			j.fail(host, "has no address: nothing could be asked").fix("see whether the name is right; publish its address, or give it: --resolve %s=ADDRESS", host)
		default:
			j.unknown(host, "give its address: --resolve "+host+"=ADDRESS; or a DNS that knows it: --dns ADDRESS", "its address could not be looked up: nothing could be asked").with(v4.Reason, v6.Reason)
		}
	}
}

// cutOff says that nothing came back from the service, nor from any other port of its
// address: whether it is there cannot be seen from here.
func (j *judge) cutOff(s *Service) bool {
	return s.filtered() && !slices.ContainsFunc(j.f.Services, func(o *Service) bool { return o.Addr == s.Addr && !o.filtered() })
}

const fromElsewhere = "see whether the host is up, and ask from another network"

// hostsOf groups services by host, in order.
func hostsOf(list []*Service) (hosts []string, by map[string][]*Service) {
	by = map[string][]*Service{}
	for _, s := range list {
		if by[s.Host] == nil {
			hosts = append(hosts, s.Host)
		}
		by[s.Host] = append(by[s.Host], s)
	}
	return hosts, by
}

func (j *judge) submissions() {
	for _, s := range j.services("smtp", 465) {
		sibling := slices.ContainsFunc(j.services("smtp", 587), func(o *Service) bool { return o.Addr == s.Addr && !o.down() })
		switch {
		case strings.HasPrefix(s.Unasked, "220"):
			j.fail(s.Where(), "greets in the clear where TLS must come first").with(s.Unasked).fix("wrap the port in TLS: Postfix smtps service with smtpd_tls_wrappermode=yes, Exim tls_on_connect_ports = 465")
		case j.cutOff(s) && declared(s):
			j.unknown(s.Where(), fromElsewhere, "is promised; nothing of this address answers us: %s", s.Failure.Kind)
		case s.down() && declared(s):
			j.fail(s.Where(), "is promised, and does not accept connections: %s", s.Failure.Kind).fix("start it, or withdraw the promise")
		case s.down() && sibling:
			j.warn(s.Where(), "%s, while 587 is open; clients should be given implicit TLS", s.Failure.Kind).sev(Low).fix("open 465 with implicit TLS beside 587")
		case s.down():
			j.na(s.Where(), "no submissions are taken here: %s", s.Failure.Kind)
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it would not talk to us").with(s.refusal())
		case s.secured() && s.welcome():
			j.pass(s.Where(), "TLS from the first byte, then a greeting")
		case s.Failure != nil && s.Failure.unheard():
			j.unknown(s.Where(), s.nextOf(), "it did not come to a greeting inside TLS: %s", s.why())
		case s.Failure != nil:
			j.fail(s.Where(), "does not come to a greeting inside TLS: %s", s.Failure).with(s.Unasked)
		}
	}
}

func (j *judge) submission() {
	for _, s := range j.services("smtp", 587) {
		switch {
		case j.cutOff(s) && declared(s):
			j.unknown(s.Where(), fromElsewhere, "is promised; nothing of this address answers us: %s", s.Failure.Kind)
		case s.down() && declared(s):
			j.fail(s.Where(), "is promised, and does not accept connections: %s", s.Failure.Kind).sev(High).fix("start it, or withdraw the promise")
		case s.down():
			j.na(s.Where(), "closed: %s", s.Failure.Kind)
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it would not talk to us").with(s.refusal())
		case s.welcome() && s.offersTLS():
			j.pass(s.Where(), "greets, takes EHLO and offers STARTTLS")
		case s.withoutExtensions():
			j.fail(s.Where(), "does not know EHLO, and so offers no STARTTLS").with(stepText(s.Step("ehlo", false))).fix("%s", j.mend(s, "starttls-smtp"))
		case s.welcome() && s.Step("ehlo", false) == nil:
			j.unknown(s.Where(), "gather again", "what it offers before TLS was not heard")
		case s.welcome():
			j.fail(s.Where(), "does not offer STARTTLS").with(stepText(s.Step("ehlo", false))).fix("%s", j.mend(s, "starttls-smtp"))
		case s.Unasked == "" && s.Failure != nil && s.Failure.unheard():
			j.unknown(s.Where(), s.nextOf(), "it did not come to a greeting: %s", s.why())
		case s.Unasked == "" && s.Failure != nil:
			j.fail(s.Where(), "does not come to a greeting: %s", s.Failure)
		}
	}
}

func (j *judge) mailbox(protocol string, tls, plain uint16) {
	for _, s := range j.services(protocol, tls, plain) {
		promised := declared(s)
		switch {
		case j.underTLS(s): // D21, D22 tell
		case j.cutOff(s) && promised:
			j.unknown(s.Where(), fromElsewhere, "is promised; nothing of this address answers us: %s", s.Failure.Kind)
		case s.down() && promised:
			j.fail(s.Where(), "is promised, and does not accept connections: %s", s.Failure.Kind).fix("start it, or withdraw the promise")
		case s.down():
			j.na(s.Where(), "closed: %s", s.Failure.Kind)
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it would not talk to us").with(s.refusal())
		case s.Security == "tls" && s.secured() && s.welcome():
			j.pass(s.Where(), "TLS from the first byte, then a greeting")
		case s.Security != "tls" && s.welcome():
			j.pass(s.Where(), "greets in the clear; %s", map[bool]string{true: "offers to go under TLS", false: "offers no TLS"}[s.offersTLS()])
		case s.Failure != nil && s.Unasked == "" && s.Failure.unheard():
			j.unknown(s.Where(), s.nextOf(), "it did not come to a greeting: %s", s.why())
		case s.Failure != nil && s.Unasked == "":
			j.fail(s.Where(), "does not come to a greeting: %s", s.Failure)
		}
	}
}

func (j *judge) sievePort() {
	for _, s := range j.services("sieve") {
		switch {
		case j.cutOff(s) && declared(s):
			j.unknown(s.Where(), fromElsewhere, "is promised; nothing of this address answers us: %s", s.Failure.Kind)
		case s.down() && declared(s):
			j.fail(s.Where(), "is promised, and does not accept connections: %s", s.Failure.Kind).sev(Medium).fix("start it, or withdraw the promise")
		case s.down():
			j.na(s.Where(), "closed: %s", s.Failure.Kind)
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it would not talk to us").with(s.refusal())
		case s.welcome() && (s.offersTLS() || s.Security == "tls"):
			j.pass(s.Where(), "lists its capabilities, STARTTLS among them")
		case s.welcome():
			j.warn(s.Where(), "offers no STARTTLS").with(s.greeting()).fix("%s", j.mend(s, "starttls-sieve"))
		}
	}
}

// facing is what one family of a host has on a port.
type facing struct {
	open    bool
	settled bool // it talked to the end: what it lists is all
	words   []string
}

// facingOf is nil where nothing is known: nothing came back, which says nothing.
func facingOf(s *Service) *facing {
	if s.down() {
		if s.closed() {
			return &facing{}
		}
		return nil
	}
	f := &facing{open: true, settled: s.welcome() && !s.unseen() && s.offers(s.secured()) != nil && (s.Failure == nil || s.Failure.Step == "quit" || s.Failure.Step == "logout")}
	if s.Protocol == "smtp" && s.greetingName() != "" {
		f.words = append(f.words, "greets as "+strings.ToLower(s.greetingName()))
	}
	if s.secured() {
		if len(s.TLS.Chain) == 0 || s.TLS.Chain[0] == "" { // not in the facts
			f.settled = false
			return f
		}
		f.words = append(f.words, "shows certificate "+s.TLS.Chain[0])
	}
	for _, c := range sorted(s.best()) {
		f.words = append(f.words, "offers "+c)
	}
	return f
}

// parity compares what both families of a host are known to have.
func (j *judge) parity() {
	hosts, by := hostsOf(j.f.Services)
	for _, h := range hosts {
		sides := map[bool]map[uint16]*facing{true: {}, false: {}}
		for _, s := range by[h] {
			if f := facingOf(s); f != nil {
				sides[s.Addr.Is4()][s.Port] = f
			}
		}
		four, six := sides[true], sides[false]
		var same, diff []string
		for _, port := range slices.Sorted(maps.Keys(four)) {
			a, b := four[port], six[port]
			switch {
			case b == nil || !a.open && !b.open:
			case a.open != b.open:
				diff = append(diff, fmt.Sprintf("%d is open over %s alone", port, map[bool]string{true: "IPv4", false: "IPv6"}[a.open]))
			case !a.settled || !b.settled:
			default:
				same = append(same, fmt.Sprint(port))
				for _, x := range []struct {
					family string
					words  []string
				}{{"IPv4", lacking(sorted(a.words), sorted(b.words))}, {"IPv6", lacking(sorted(b.words), sorted(a.words))}} {
					if len(x.words) > 0 {
						diff = append(diff, fmt.Sprintf("%d over %s alone: %s", port, x.family, strings.ToLower(strings.Join(x.words, ", "))))
					}
				}
			}
		}
		switch {
		case len(diff) > 0:
			j.warn(h, "IPv4 and IPv6 differ").with(diff...).fix("let the services listen on both families, with one configuration")
		case len(same) > 0:
			j.pass(h, "IPv4 and IPv6 offer the same: ports %s", strings.Join(same, ", "))
		}
	}
}

func (j *judge) consistency() {
	var offering, lackingIt []string
	for _, s := range j.exchangers() {
		switch {
		case !s.welcome() || s.Step("ehlo", false) == nil:
		case s.offersTLS():
			offering = append(offering, s.Where())
		default:
			lackingIt = append(lackingIt, s.Where())
		}
	}
	switch {
	case len(offering)+len(lackingIt) == 0:
	case len(offering) > 0 && len(lackingIt) > 0:
		j.fail(j.subject(), "STARTTLS is offered by some exchangers and not by others").with("offered by "+strings.Join(offering, ", "), "not by "+strings.Join(lackingIt, ", ")).
			fix("offer it everywhere: a sender may be led to the weakest")
	default:
		j.pass(j.subject(), "%s of exchangers, all alike", counted(len(offering)+len(lackingIt), "address"))
	}
}

func (j *judge) furtherDoors() {
	hosts, by := hostsOf(j.f.Doors)
	for _, h := range hosts {
		open, heard := 0, 0
		for _, d := range by[h] {
			known := slices.ContainsFunc(j.f.Services, func(s *Service) bool { return s.Addr == d.Addr && s.Port == d.Port })
			if !d.down() {
				open++
			}
			if d.greeting() == "" || known {
				continue
			}
			heard++
			what := spoken(d.greeting())
			f := j.warn(d.Where(), "%s greets here: %s", what, firstLine(d.greeting())).with(d.greeting()).fix("close the port, or have it verified as well: --services %s", d.Where())
			if what == "smtp" {
				f.Fix = fmt.Sprintf("close the port, or have it verified as well: --services submission://%s:%d", h, d.Port)
			}
		}
		switch {
		case heard == 0 && open == 0:
			j.pass(h, "24, 26, 106, 109 and 2525 are closed")
		case heard == 0:
			j.pass(h, "nobody greets on 24, 26, 106, 109 and 2525")
		}
	}
}

// nextAfter is what to do where a server turned us away.
func nextAfter(s *Service) string { return nextAboutUs(s, s.refusal()) }

func (j *judge) turnedAway() {
	talked := 0
	for _, s := range j.f.Services {
		switch {
		case s.refusal() != "" && code(s.refusal()) == 521 && isMX(s):
			j.fail(s.Where(), "an exchanger of the domain says that it never takes mail").with(s.refusal()).fix("take it off the MX records: 521 is for hosts without mail (RFC 7504, 2)")
		case s.refusal() != "":
			j.unknown(s.Where(), nextAfter(s), "it refused to talk to us; nothing is concluded about it").with(s.refusal())
		case s.welcome():
			talked++
		}
	}
	if talked > 0 && len(j.f.Services) > 0 {
		j.pass(j.subject(), "%s talked to us", counted(talked, "service"))
	}
}

func (j *judge) ownProtocol() {
	right := 0
	for _, s := range j.f.Services {
		switch {
		case s.down():
		case s.Unasked != "":
			j.fail(s.Where(), "speaks %s%s where %s %s belongs", spoken(s.Unasked), map[string]string{"tls": " in the clear"}[s.Security], s.Protocol, map[string]string{"tls": "inside TLS", "plain": "in the clear"}[s.Security]).
				with(s.Unasked).fix("%s", misplaced(s, "let the right service listen on this port"))
		case j.underTLS(s): // D21, D22 tell
		case s.Failure != nil && s.Failure.Step == "handshake" && s.Security == "tls" && s.Failure.Kind == wire.NotTLS:
			j.fail(s.Where(), "does not speak TLS where it must come first").fix("wrap the port in TLS")
		case s.Failure != nil && s.Failure.Step == "greeting" && s.Failure.Kind == wire.Timeout:
			j.unknown(s.Where(), "see whether the server is overloaded; if TLS comes first on this port, say so: --services imaps://HOST:PORT, submissions://HOST:PORT", "it accepts the connection and says nothing")
		case s.Failure != nil && s.Failure.Step == "greeting":
			j.unknown(s.Where(), "see whether we are blocked, or the server is out of processes; repeat later", "it ended the connection before it greeted: %s", s.Failure.Kind)
		case s.withoutExtensions():
			j.fail(s.Where(), "does not know EHLO: %s", firstLine(stepText(s.Step("ehlo", false)))).fix("have it speak ESMTP, which every server must (RFC 5321, 4.1.1.1); look for a firewall that rewrites SMTP")
		case s.farewell() != "":
			j.unknown(s.Where(), nextAboutUs(s, s.farewell()), "it ended the conversation: %s", firstLine(s.farewell()))
		case s.Failure != nil && s.Failure.Step != "handshake" && s.Failure.Step != "quit":
			j.unknown(s.Where(), "repeat later; look at the server's log of this time", "the conversation ended early: %s", s.Failure)
		case s.welcome():
			right++
		}
	}
	if right > 0 {
		j.pass(j.subject(), "%s what belongs on its port", counted(right, "service")+map[bool]string{true: " speaks", false: " speak"}[right == 1])
	}
}

// misplaced is what to do about a service that speaks otherwise than it was asked: where its
// port is as custom has it, what promised something else is wrong.
func misplaced(s *Service, fix string) string {
	if c := customOf(s.Port); hasCustom(s.Port) && c.protocol == spoken(s.Unasked) && c.security != s.Security {
		return "mend what promises it (D21, D22 tell): the port itself speaks as is the custom"
	}
	return fix
}

// underTLS says that a service that was asked in the clear, and said nothing, speaks at the
// same port inside TLS.
func (j *judge) underTLS(s *Service) bool {
	return s.Security == "plain" && s.greeting() == "" && slices.ContainsFunc(j.f.Services, func(o *Service) bool {
		return o.Addr == s.Addr && o.Port == s.Port && o.Host == s.Host && o.Security == "tls" && o.secured() && o.welcome()
	})
}

// spoken names the protocol of some first words.
func spoken(words string) string {
	best, name := probes.Possible-1, "an unknown protocol"
	for _, p := range probes.All() {
		if like := p.Recognize([]byte(words)); like > best {
			best, name = like, p.Info().Name
		}
	}
	if words != "" && (words[0] == 0x15 || words[0] == 0x16) {
		return "TLS"
	}
	return name
}

func stepText(s *Step) string {
	if s == nil {
		return ""
	}
	return s.Reply
}
