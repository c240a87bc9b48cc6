package scan

import (
	"context"
	"fmt"
	"slices"
	"time"

	"herald/probes"
	"herald/wire"
)

const (
	shortListen  = 150 * time.Millisecond // beyond two round trips: servers that greet do it at once
	askingListen = 10 * time.Millisecond  // beyond two round trips, where the port's clients speak first
)

// Look finds out what runs on one endpoint: it connects once, listens, lets the likeliest
// probe speak on that same connection, and asks in turn where there is silence.
// A panic becomes a failure of kind internal, with its transcript; where it came from a
// probe, the walk goes on without that one.
func (s *Scanner) Look(ctx context.Context, t Target, e wire.Endpoint) *Service {
	return s.look(ctx, &t, &e)
}

// look is Look. Its frame, and those of all that it leads to, are kept small, by functions of
// their own for what is rare: so the stack of a worker fits into 4 KiB, and those of fifty
// thousand take 200 MB less.
func (s *Scanner) look(ctx context.Context, t *Target, e *wire.Endpoint) *Service {
	found := new(Service)
	found.Target = *t
	found.Endpoint = *e
	found.Expected = expectations(t)
	found.Started = time.Now()
	w := s.newWalk(ctx, e, found)
	w.contained(w.begin)
	w.contained(w.conclude)
	found.Duration = time.Since(found.Started)
	return found
}

// expectations are what the user's hint promises, or else the port.
func expectations(t *Target) []Expected {
	if t.Protocol != "" {
		security := t.Security
		if security == "" {
			security = wire.Plain
		}
		return []Expected{{t.Protocol, security}}
	}
	var promised []Expected
	if p := PortNamed(t.Port); p != nil {
		promised = p.Expected
	}
	if t.Security != "" { // tls://, tcp://: how it begins is given, what it is is not
		var kept []Expected
		for _, e := range promised {
			if e.Security == t.Security {
				kept = append(kept, e)
			}
		}
		return kept
	}
	return promised
}

// walk is the way from one endpoint to its service.
type walk struct {
	*Scanner
	ctx      context.Context
	caller   *wire.Caller
	endpoint wire.Endpoint
	service  *Service
	settled  bool     // somebody confirmed, or was turned away in his own protocol
	tried    []string // probes that spoke, in the layer that we are in
	asked    int      // questions, handshakes among them
	wantsTLS bool     // an answer said that TLS is spoken here
	late     *call    // a connection left listening while others ask
	words    bool     // something was heard, TLS aside
	named    bool     // a signature knows the answer of a protocol that no probe speaks
	standing []*call  // connections that were not hung up
}

// call is a conversation with its observation.
type call struct {
	*wire.Conversation
	seen   *probes.Observation
	number int // which connection, from 1
}

// newWalk makes a walk outside of the worker's stack.
//
//go:noinline
func (s *Scanner) newWalk(ctx context.Context, e *wire.Endpoint, found *Service) *walk {
	return &walk{
		Scanner: s, ctx: wire.Until(ctx, found.Started.Add(s.options.Timeout)), caller: &s.options.Caller, endpoint: *e, service: found,
	}
}

func (w *walk) begin() {
	defer w.hangUpLate()
	security := wire.Plain
	switch {
	case w.service.Target.Security != "":
		security = w.service.Target.Security
	case len(w.service.Expected) > 0:
		security = w.service.Expected[0].Security
	}
	c := w.connect(security, "the port's custom, or the target's hint")
	if c == nil {
		return
	}
	if c.Failure() == nil {
		w.words = security == wire.TLS // a handshake is an answer, whatever comes inside
		w.hear(c, security)
		return
	}
	w.withoutTLS(c)
}

// withoutTLS goes on where the handshake failed that was promised. What the server said instead
// is worth reading.
func (w *walk) withoutTLS(c *call) {
	failure, words := c.Failure(), c.Pending()
	if len(words) > 0 { // the clear may tell nothing more
		w.words = true
		keep(c.seen, "tcp.answer", words)
	}
	w.hangUp(c, nil)
	w.service.Failure = failure // unless the clear tells more
	switch failure.Kind {
	case wire.TLSAlert: // it speaks TLS, and not with us
		w.words, w.service.Security = true, wire.TLS
	case wire.NotTLS, wire.Closed, wire.Reset, wire.Timeout, wire.Protocol, wire.TLSFailed:
		if w.ctx.Err() != nil {
			return
		}
		w.words = w.words || failure.Kind == wire.TLSFailed
		w.step(c, "the handshake failed", string(failure.Kind))
		if again := w.connect(wire.Plain, "once more in the clear"); again != nil {
			if len(words) > 0 {
				if ranked := w.recognise(words, "tls", w.service.Expected); len(ranked) > 0 && ranked[0].like >= probes.Sure && ranked[0].probe.Info().Asks {
					w.letSpeak(again, ranked[0].probe, "its answer to a ClientHello")
					if w.settled {
						return
					}
					again = w.connect(wire.Plain, "the next candidate")
					if again == nil {
						return
					}
				}
			}
			w.hear(again, wire.Plain)
		}
	}
}

// webALPN is offered where the port promises HTTP, and nowhere else: a server of another
// protocol may refuse a handshake that offers it nothing of its own (RFC 7301, 3.2).
var webALPN = []string{"h2", "http/1.1"}

// connect makes one more connection; nil where it does not stand. A connection whose
// handshake failed is returned, failed.
func (w *walk) connect(security wire.Security, why string) *call {
	if n := w.service.Connections; n >= mostConnections || n > 0 && w.ctx.Err() != nil {
		return nil // its time is over: to say that it could not be dialled would be wrong
	}
	w.service.Connections++
	w.endpoint.Security = security
	if security == wire.TLS && w.caller.TLS.ALPN == nil && promises(w.service.Expected, probes.HTTP.Info().Name) {
		w.offerWeb()
	}
	conversation, err := w.caller.Open(w.ctx, w.endpoint)
	number := w.service.Connections
	if conversation == nil {
		w.notReached(security, wire.FailureOf(wire.OpDial, err), why)
		return nil
	}
	c := &call{conversation, probes.Observe(conversation), number}
	w.standing = append(w.standing, c)
	if c.TLS() != nil {
		probes.NoteTLS(c.seen, c.TLS())
	}
	if w.options.Explain {
		w.step(c, "connected, "+string(security), why)
	}
	return c
}

// usable is the call where its connection stands, handshake included; one that does not is hung
// up, and gives nil. It comes after connect instead of around it: see docs/speed.md, Memory.
func (w *walk) usable(c *call) *call {
	if c == nil || c.Failure() == nil {
		return c
	}
	w.hangUp(c, nil)
	return nil
}

// offerWeb has the handshake offer HTTP.
func (w *walk) offerWeb() {
	own := *w.caller
	own.TLS.ALPN = webALPN
	if own.Manners.Favicon {
		own.TLS.ALPN = webALPN[1:] // page and icon are two questions of HTTP/1.1
	}
	w.caller = &own
}

// notReached keeps why a connection does not stand.
//
//go:noinline
func (w *walk) notReached(security wire.Security, failure *wire.Failure, why string) {
	number := w.service.Connections
	w.service.Seen = append(w.service.Seen, &probes.Observation{Connection: number, Security: security, Failure: failure})
	w.service.Failure = failure
	w.step(&call{number: number}, "connect: "+string(failure.Kind), why)
}

// hear listens to a fresh connection and goes on by what it hears.
func (w *walk) hear(c *call, security wire.Security) {
	words, err := c.Listen(w.patience(c, security))
	if len(words) > 0 {
		if w.options.Explain {
			w.step(c, fmt.Sprintf("heard %d bytes unasked", len(words)), "listening comes first")
		}
		w.greeted(c, words, security)
		return
	}
	if err != nil {
		w.step(c, "it ended without a word", err.Error())
		w.service.Failure = c.Failure()
		w.hangUp(c, nil)
		return
	}
	w.step(c, "silence", fmt.Sprintf("nothing within %s", c.Elapsed().Round(time.Millisecond)))
	w.ask(c, security)
}

// patience is how long the first word is awaited: long where the promised protocol
// greets, a few round trips where its clients speak first.
func (w *walk) patience(c *call, security wire.Security) time.Duration {
	trips := 2 * c.RoundTrip()
	greets, asks := false, false
	for _, e := range w.service.Expected {
		if p := w.byName[e.Protocol]; p != nil && (e.Security == security) {
			greets = greets || !p.Info().Asks
			asks = asks || p.Info().Asks
		}
	}
	switch {
	case greets && !asks:
		return w.options.Patience
	case asks:
		return askingListen + trips
	}
	return shortListen + trips
}

// lookalike says why a candidate is taken, for those who want to know.
func (w *walk) lookalike(c candidate) string {
	if !w.options.Explain {
		return ""
	}
	return fmt.Sprintf("the greeting looks like %s (%d of 100)", c.probe.Info().Name, c.like)
}

// greeted lets the likeliest probe converse on the connection that greeted, and the next
// ones on fresh connections.
func (w *walk) greeted(c *call, words []byte, security wire.Security) {
	w.words = true
	if w.service.Greeting == 0 {
		w.service.Greeting = c.FirstByte()
	}
	if p := w.promisedIn(words); p != nil {
		w.letSpeak(c, p, "the greeting looks like "+p.Info().Name+", which is promised here")
		if c = nil; w.settled {
			return
		}
	}
	const mostTries = 3
	mute := false
	ranked := w.recognise(words, "", w.service.Expected)
	for i, next := range ranked {
		name := next.probe.Info().Name
		if i == mostTries {
			break
		}
		if slices.Contains(w.tried, name) {
			continue
		}
		if c == nil {
			if c = w.usable(w.connect(security, "a fresh connection for the next candidate")); c == nil {
				return
			}
			c.Listen(w.options.Patience)
		}
		if mute {
			c.FirstReplyWithin(questionReply + 4*c.RoundTrip())
		}
		heard := len(c.Heard())
		w.letSpeak(c, next.probe, w.lookalike(next))
		// Who let the first words wait in vain is not waited for as long again.
		mute = mute || timedOut(c) && len(c.Heard()) == heard
		c = nil
		if w.settled {
			if !w.service.Confirmed && w.service.Declined && i+1 < len(ranked) && ranked[i+1].like == next.like {
				w.service.Protocol = "" // turned away in words that fit more than one
			}
			return
		}
	}
	if c != nil {
		keep(c.seen, "tcp.greeting", words)
		w.hangUp(c, nil)
		w.step(c, "nobody recognises the greeting", "")
	} else if len(w.service.Seen) > 0 && w.service.Protocol == "" {
		keep(w.service.Seen[len(w.service.Seen)-1], "tcp.greeting", words)
	}
}
