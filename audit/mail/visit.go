package mail

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"herald/probes"
	"herald/wire"
)

// visit is all that is asked of one service: one ordinary connection, and few special
// ones after it.
type visit struct {
	*plan
	s    *Service
	last time.Time // the last connection's end

	main, noName, other *wire.TLSState
}

// mostChain bounds the certificates of one chain that are kept.
const mostChain = 12

const (
	patience = 60 * time.Second // RFC 5321, 4.5.3.2.1 has senders wait five minutes for a greeting
	space    = time.Second
)

func (v *visit) caller() wire.Caller {
	c := v.g.Caller
	wait := cmp.Or(v.g.Patience, patience)
	l := &c.Limits
	l.Dial = cmp.Or(l.Dial, min(10*time.Second, wait))
	l.TLS = cmp.Or(l.TLS, min(20*time.Second, wait))
	l.Greeting = cmp.Or(l.Greeting, wait)
	l.Reply = cmp.Or(l.Reply, wait)
	l.Whole = cmp.Or(l.Whole, 4*wait)
	l.Turns = cmp.Or(l.Turns, 60)
	return c
}

// open makes one more connection, no sooner than the pause after the last one allows.
func (v *visit) open(caller wire.Caller, security wire.Security) (*wire.Conversation, error) {
	if pause := cmp.Or(v.g.Space, space); v.s.custom() == 25 && !v.last.IsZero() && pause > 0 {
		select {
		case <-time.After(time.Until(v.last.Add(pause))):
		case <-v.ctx.Done():
		}
	}
	v.s.Dials++
	name := v.s.Host
	if _, err := netip.ParseAddr(name); err == nil {
		name = ""
	}
	return caller.Open(v.ctx, wire.Endpoint{Addr: netip.AddrPortFrom(v.s.Addr, v.s.Port), Name: name, Security: security})
}

func (v *visit) close(c *wire.Conversation) {
	if c != nil {
		c.Close()
	}
	v.last = time.Now()
}

func (v *visit) whole() {
	v.ordinary()
	if v.s.Failure != nil && v.s.Failure.Op == wire.OpDial || v.ctx.Err() != nil {
		return
	}
	v.handshakeAgain()
	if v.main != nil {
		v.withoutName()
		v.otherKey()
	}
	if v.g.TLSScan && (v.main != nil || v.s.Security == "tls" || v.s.Step("starttls", false) != nil) {
		v.enumerate()
	}
	if v.g.Injection && v.s.Step("starttls", false) != nil && v.main != nil {
		v.inject()
	}
}

// ordinary is the one connection that does everything ordinary. Where a port's custom was
// guessed and shows to be wrong, there is another connection.
func (v *visit) ordinary() {
	v.attempt()
	s := v.s
	silent := s.Failure != nil && s.Failure.Step == "greeting" && s.Failure.Kind == wire.Timeout
	switch {
	case s.Taken != "" && s.Security == "tls" && s.Failure != nil && s.Failure.Kind == wire.NotTLS:
		v.again("", "plain")
	case s.Protocol == "" && silent: // servers that wait for a hello say nothing
		if v.again("", "tls"); s.Failure != nil && s.Failure.Op == wire.OpHandshake {
			v.s.Security = "plain"
		}
	}
}

// again begins anew, with nothing known.
func (v *visit) again(protocol, security string) {
	s := v.s
	s.Protocol, s.Security, s.As, s.Taken = protocol, security, 0, ""
	s.Failure, s.Steps, s.TLS, s.Unasked, v.main = nil, nil, nil, "", nil
	v.attempt()
}

func (v *visit) attempt() {
	s := v.s
	security := wire.Plain
	if s.Security == "tls" {
		security = wire.TLS
	}
	c, err := v.open(v.caller(), security)
	defer func() { v.close(c) }()
	if c != nil {
		s.Local = c.Local().String()
		s.DialMS = ms(c.RoundTrip())
	}
	if err != nil {
		step := "connect"
		if c != nil {
			step = "handshake"
			s.Unasked = clip(string(c.Pending()), 500)
		}
		s.Failure = failure(step, err)
		s.TLS = v.tlsOf(c, &v.main, err)
		return
	}
	words, err := c.Listen(0)
	if err != nil && len(words) == 0 {
		s.Failure = failure("greeting", err)
	} else if len(words) == 0 {
		s.Failure = &Failure{Step: "greeting", Op: wire.OpRead, Kind: wire.Timeout, Text: "it accepts the connection and says nothing"}
	} else {
		v.converse(c, words)
	}
	s.TLS = v.tlsOf(c, &v.main, nil)
	if s.TLS == nil && s.Failure != nil && s.Failure.Step == "handshake" {
		s.TLS = &TLS{Failure: s.Failure}
	}
}

// converse speaks the protocol that belongs here, if that is what greeted.
func (v *visit) converse(c *wire.Conversation, words []byte) {
	s := v.s
	found := greets(words)
	if s.Taken != "" && found != "" && found != s.Protocol { // a guess that was wrong
		s.Protocol, s.As, s.Taken = found, 0, ""
	}
	if s.Protocol == "" {
		s.Protocol = cmp.Or(found, "smtp")
	}
	if s.Protocol != "smtp" {
		s.settle(nil)
	}
	if found != "" && found != s.Protocol {
		s.Unasked = clip(string(words), 500)
		return
	}
	t := &talk{c: c, s: s}
	switch s.Protocol {
	case "smtp":
		if code(string(words)) == 0 {
			s.Unasked = clip(string(words), 500)
			return
		}
		t.smtp(c.Manners().Hello, v.transaction(c))
	case "imap":
		t.imap()
	case "pop3":
		t.pop3()
	case "sieve":
		t.sieve()
	}
}

// greets is the protocol of mail that greets like this, "" for none.
func greets(words []byte) string {
	best, name := probes.Possible, ""
	for _, p := range []probes.Probe{probes.SMTP, probes.IMAP, probes.POP3, probes.Sieve} {
		if like := p.Recognize(words); like > best {
			best, name = like, p.Info().Name
		}
	}
	return name
}

func (v *visit) transaction(c *wire.Conversation) *transaction {
	v.mu.Lock()
	asked := isMX(v.s)
	unsure := v.s.AskedAs("service") && !hasCustom(v.s.Port) && v.s.As == 0
	v.mu.Unlock()
	if !asked && !unsure {
		return nil
	}
	sender := v.g.Sender
	if hello := c.Manners().Hello; sender == "" && strings.Contains(hello, ".") && !strings.HasPrefix(hello, "[") {
		sender = "postmaster@" + hello
	}
	return &transaction{
		domain: v.facts.Question.Domain, sender: sender,
		relay: cmp.Or(v.g.Relay, "herald-relay-test@example.net"), random: randomName(), unsure: unsure && !asked,
	}
}

// tlsOf notes a handshake.
func (v *visit) tlsOf(c *wire.Conversation, into **wire.TLSState, err error) *TLS {
	if c != nil && c.TLS() != nil {
		state := c.TLS()
		*into = state
		t := &TLS{Version: state.Version, Suite: state.Cipher, Group: state.Curve, Name: state.ServerName, MS: ms(state.Duration)}
		for _, cert := range state.Chain[:min(len(state.Chain), mostChain)] {
			t.Chain = append(t.Chain, certificateKey(cert.Raw))
		}
		return t
	}
	if f := wire.FailureOf(wire.OpHandshake, err); err != nil && f.Op == wire.OpHandshake {
		return &TLS{Failure: failure("handshake", err)}
	}
	return nil
}

// handshakeAgain tries a handshake once more that ended without a word: a server may hang
// up for a limit once; one that does so on every hello does not speak TLS.
func (v *visit) handshakeAgain() {
	f := v.s.Failure
	if f == nil || f.Step != "handshake" || !hungUp(f) {
		return
	}
	var state *wire.TLSState
	if again := v.handshake(wire.TLSOffer{}, &state); again.Failure != nil && again.Failure.Op == f.Op && hungUp(again.Failure) {
		f.Twice, v.s.TLS.Failure.Twice = true, true
	}
}

// hungUp says that a connection was closed on us, or reset.
func hungUp(f *Failure) bool { return f.Kind == wire.Closed || f.Kind == wire.Reset }

// toTLS goes the shortest way to where a handshake is due, in the clear.
func (v *visit) toTLS(caller wire.Caller) (*wire.Conversation, error) {
	c, err := v.open(caller, wire.Plain)
	if err != nil || v.s.Security == "tls" {
		return c, err
	}
	return c, v.agree(c, "")
}

// agree has the server agree to TLS; more goes out in the same segment as the command.
func (v *visit) agree(c *wire.Conversation, more string) error {
	t := &talk{c: c, s: &Service{}} // its steps are no news
	if _, err := c.Listen(0); err != nil {
		return err
	}
	var reply string
	var err error
	upgrade := func(command string, read func(*wire.Conversation) ([]byte, error)) {
		began := time.Now()
		if err = c.Say([]byte(command + "\r\n" + more)); err == nil {
			reply, err = t.hear("starttls", command, began, read)
		}
	}
	agreed := false
	switch v.s.Protocol {
	case "smtp":
		if reply, err = t.hear("greeting", "", time.Now(), smtpReply); err == nil && code(reply) == 220 {
			if _, err = t.ehlo(cmp.Or(c.Manners().Hello, addressLiteral(c.Local()))); err == nil {
				upgrade("STARTTLS", smtpReply)
				agreed = code(reply) == 220
			}
		}
	case "imap":
		if _, err = t.hear("greeting", "", time.Now(), oneLine); err == nil {
			upgrade("h1 STARTTLS", untilTag("h1"))
			agreed = tagged(reply) == "OK"
		}
	case "pop3":
		if _, err = t.hear("greeting", "", time.Now(), oneLine); err == nil {
			upgrade("STLS", oneLine)
			agreed = positive(reply)
		}
	case "sieve":
		if _, err = t.hear("greeting", "", time.Now(), sieveResponse); err == nil {
			upgrade("STARTTLS", sieveResponse)
			agreed = strings.HasPrefix(strings.ToUpper(reply), "OK")
		}
	}
	if err == nil && !agreed {
		err = fmt.Errorf("it would not begin TLS: %s", clip(reply, 100))
	}
	return err
}

// handshake makes a connection for one more handshake, with another offer.
func (v *visit) handshake(offer wire.TLSOffer, into **wire.TLSState) *TLS {
	caller := v.caller()
	caller.TLS = offer
	c, err := v.toTLS(caller)
	defer func() { v.close(c) }()
	if err == nil {
		err = c.StartTLS()
	}
	if t := v.tlsOf(c, into, err); t != nil {
		return t
	}
	return &TLS{Failure: failure("handshake", err)}
}

// withoutName asks which certificate a client gets that sends no server name.
func (v *visit) withoutName() {
	if v.s.TLS == nil || v.s.TLS.Name == "" {
		return
	}
	v.s.NoName = v.handshake(wire.TLSOffer{NoSNI: true}, &v.noName)
}

// otherKey asks for the certificate of the other key type. TLS 1.2 names it in the suite,
// which is how it can be asked for (RFC 5246, 7.4.2); a server of TLS 1.3 alone is asked
// once more, another way.
func (v *visit) otherKey() {
	if len(v.main.Chain) == 0 {
		return
	}
	want, id := "ECDSA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	if v.main.Chain[0].PublicKeyAlgorithm == x509.ECDSA {
		want, id = "RSA", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	}
	suites := []uint16{id}
	for _, s := range tls.CipherSuites() {
		if strings.Contains(s.Name, "_ECDHE_"+want+"_") || strings.HasPrefix(s.Name, "TLS_ECDHE_"+want+"_") {
			suites = append(suites, s.ID)
		}
	}
	v.s.OtherWas = want
	v.s.OtherKey = v.handshake(wire.TLSOffer{
		MaxVersion:  tls.VersionTLS12,
		Certificate: func(c *tls.Config) { c.CipherSuites = suites },
	}, &v.other)
	const protocolVersion = 70 // the alert of those who do not speak TLS 1.2 (RFC 8446, 6.2)
	if f := v.s.OtherKey.Failure; f != nil && f.Alert == protocolVersion && v.s.TLS.Version >= tls.VersionTLS13 {
		v.otherKey13(want)
	}
}

// otherKey13 asks the same of a server that speaks nothing older than TLS 1.3, by the
// signature algorithms (RFC 8446, 4.2.3).
func (v *visit) otherKey13(want string) {
	signatures := map[string][]uint16{"RSA": wire.RSASignatures, "ECDSA": wire.ECDSASignatures}[want]
	c, err := v.toTLS(v.caller())
	defer func() { v.close(c) }()
	if err != nil {
		v.s.OtherKey.Failure = failure("handshake", err)
		return
	}
	chain, err := c.AskChain(signatures)
	if err != nil {
		v.s.OtherKey.Failure = failure("handshake", err)
	}
	if len(chain) == 0 {
		return // none, as with TLS 1.2
	}
	v.other = &wire.TLSState{Version: tls.VersionTLS13, Chain: chain}
	v.s.OtherKey = &TLS{Version: tls.VersionTLS13, Name: v.s.TLS.Name}
	for _, cert := range chain[:min(len(chain), mostChain)] {
		v.s.OtherKey.Chain = append(v.s.OtherKey.Chain, certificateKey(cert.Raw))
	}
}

// inject sends a command in one segment with STARTTLS, and listens inside TLS whether it
// is answered (CVE-2011-0411 and its family; RFC 3207, 4.2 and 6).
func (v *visit) inject() {
	into := &Injection{}
	v.s.Injected = into
	more := map[string]string{"smtp": "NOOP\r\n", "imap": "h2 NOOP\r\n", "pop3": "CAPA\r\n", "sieve": "CAPABILITY\r\n"}[v.s.Protocol]
	c, err := v.open(v.caller(), wire.Plain)
	defer func() { v.close(c) }()
	if err == nil {
		err = v.agree(c, more)
	}
	if err == nil {
		err = c.StartTLS()
	}
	if err != nil {
		into.Failure = failure("injection", err)
		return
	}
	unasked, _ := c.Listen(2500 * time.Millisecond)
	if v.s.Protocol == "sieve" && len(unasked) > 0 {
		into.NotAsked = "ManageSieve lists its capabilities unasked: nothing can be told from that"
		return
	}
	if into.Unasked = clip(string(unasked), 500); into.Unasked != "" {
		return
	}
	t := &talk{c: c, s: &Service{}}
	switch v.s.Protocol {
	case "smtp":
		into.Control, err = t.ask("control", "NOOP", smtpReply)
	case "imap":
		into.Control, err = t.ask("control", "h3 NOOP", untilTag("h3"))
	case "pop3":
		into.Control, err = t.ask("control", "QUIT", oneLine)
	}
	into.Failure = failure("control", err)
}

// enumerate asks by hellos of our own which versions and suites are taken, on fresh
// connections, paced: each version is offered all suites, then all but those chosen.
func (v *visit) enumerate() {
	const most = 60 // connections for one service
	used := 0
	for version := uint16(0x0304); version >= 0x0300; version-- {
		offer := suitesOf(version)
		for len(offer) > 0 && used < most && v.ctx.Err() == nil {
			used++
			a, err := v.hello(version, offer)
			h := Hello{Version: version, Suite: a.Suite, Group: a.Group}
			if err != nil {
				h.Unknown = failure("hello", err).String()
			}
			switch {
			case a.Refused || a.Version != version:
				h.Suite = 0
			case h.Suite != 0 && !slices.Contains(offer, h.Suite):
				h.Unknown, h.Suite = "it chose "+suiteName(h.Suite)+", which was not offered", 0
			}
			v.s.Hellos = append(v.s.Hellos, h)
			if h.Suite == 0 {
				break
			}
			offer = without(offer, h.Suite)
		}
	}
}

func (v *visit) hello(version uint16, offer []uint16) (wire.HelloAnswer, error) {
	if v.s.custom() != 25 { // those on 25 are spaced by open
		select {
		case <-time.After(100 * time.Millisecond):
		case <-v.ctx.Done():
		}
	}
	caller := v.caller()
	caller.Limits.Reply = min(caller.Limits.Reply, 15*time.Second)
	c, err := v.toTLS(caller)
	defer func() { v.close(c) }()
	if err != nil {
		return wire.HelloAnswer{}, err
	}
	return c.SayHello(wire.Hello{Version: version, Suites: offer})
}

func without(list []uint16, one uint16) []uint16 {
	return slices.DeleteFunc(slices.Clone(list), func(v uint16) bool { return v == one })
}
