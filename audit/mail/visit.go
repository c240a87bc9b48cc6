package mail

import (
	"cmp"
	"net/netip"
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
