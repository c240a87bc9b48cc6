package scan

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
)

const (
	mostConnections = 16                      // to one endpoint, whatever happens; only a port that says nothing gets near it
	silenceBudget   = 8 * time.Second         // for everything on a port that says nothing
	shortListen     = 150 * time.Millisecond  // beyond two round trips: servers that greet do it at once
	askingListen    = 10 * time.Millisecond   // beyond two round trips, where the port's clients speak first
	questionReply   = 1500 * time.Millisecond // for the answer to the first questions, to which most servers answer
	handshakeReply  = 2500 * time.Millisecond // for a handshake that was only a guess: it costs the server more than an answer
	guessReply      = 350 * time.Millisecond  // beyond four round trips: for the answer to each later guess
)

// Look finds out what runs on one endpoint: it connects once, listens, lets the likeliest
// probe speak on that same connection, and asks in turn where there is silence.
// A panic becomes a failure of kind internal, with its transcript; where it came from a
// probe, the walk goes on without that one.
func (s *Scanner) Look(ctx context.Context, t Target, e wire.Endpoint) *Service {
	started := time.Now()
	w := &walk{
		Scanner: s, ctx: wire.Until(ctx, started.Add(s.options.Timeout)), caller: s.options.Caller, endpoint: e,
		service: &Service{Target: t, Endpoint: e, Expected: expectations(t), Started: started},
	}
	w.contained(w.begin)
	w.contained(w.conclude)
	w.service.Duration = time.Since(started)
	return w.service
}

// expectations are what the user's hint promises, or else the port.
func expectations(t Target) []Expected {
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
	caller   wire.Caller
	endpoint wire.Endpoint
	service  *Service
	settled  bool     // somebody confirmed, or was turned away in his own protocol
	tried    []string // probes that spoke, in the layer that we are in
	asked    int      // questions, handshakes among them
	wantsTLS bool     // an answer said that TLS is spoken here
	late     *call    // a connection left listening while others ask
	words    bool     // something was heard, TLS aside
	standing []*call  // connections that were not hung up
}

// call is a conversation with its observation.
type call struct {
	*wire.Conversation
	seen   *probes.Observation
	number int // which connection, from 1
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
		w.hear(c, security)
		return
	}
	// No TLS here. What the server said instead is worth reading.
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
	e := w.endpoint
	e.Security = security
	caller := w.caller
	if security == wire.TLS && caller.TLS.ALPN == nil && promises(w.service.Expected, probes.HTTP.Info().Name) {
		caller.TLS.ALPN = webALPN
		if caller.Manners.Favicon {
			caller.TLS.ALPN = webALPN[1:] // page and icon are two questions of HTTP/1.1
		}
	}
	conversation, err := caller.Open(w.ctx, e)
	number := w.service.Connections
	if conversation == nil {
		failure := wire.FailureOf(wire.OpDial, err)
		w.service.Seen = append(w.service.Seen, &probes.Observation{Connection: number, Security: security, Failure: failure})
		w.service.Failure = failure
		w.step(&call{number: number}, "connect: "+string(failure.Kind), why)
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
	ranked := w.recognise(words, "", w.service.Expected)
	for i, next := range ranked {
		name := next.probe.Info().Name
		if i == mostTries {
			break
		}
		if contains(w.tried, name) {
			continue
		}
		if c == nil {
			if c = w.connect(security, "a fresh connection for the next candidate"); c == nil {
				return
			}
			if c.Failure() != nil {
				w.hangUp(c, nil)
				return
			}
			c.Listen(w.options.Patience)
		}
		why := ""
		if w.options.Explain {
			why = fmt.Sprintf("the greeting looks like %s (%d of 100)", name, next.like)
		}
		w.letSpeak(c, next.probe, why)
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

// ask puts questions to a silent server: first what is promised, then what most servers
// understand, TLS among them. The first question goes over the connection that stands.
func (w *walk) ask(c *call, security wire.Security) {
	if w.promisesGreeting(security) {
		w.late, c = c, nil // it may only be slow: left listening while others ask
	}
	inside := security == wire.TLS
	for _, name := range w.questions(security) {
		if w.settled || w.spent() {
			break
		}
		if name == "tls" {
			w.askTLS("a ClientHello is the next question")
			continue
		}
		p := w.byName[name]
		if p == nil || contains(w.tried, name) {
			continue
		}
		if c == nil {
			if c = w.connect(security, "a question needs a fresh connection"); c == nil || c.Failure() != nil {
				if c != nil {
					w.hangUp(c, nil)
				}
				break
			}
		}
		if !promises(w.service.Expected, name) {
			c.FirstReplyWithin(w.replyTime(c))
		}
		w.asked++
		answered := w.question(c, p, security)
		if !answered && w.late == nil && !inside && c.seen.Failure != nil && c.seen.Failure.Kind == wire.Timeout {
			// Somebody may only be slow to greet: one connection stays listening from here.
			w.late = w.connect(security, "left listening while others ask")
		}
		c = nil
		if w.wantsTLS && !inside && !w.settled {
			w.askTLS("an answer says that TLS is spoken here")
			break
		}
		if answered {
			if !w.settled && !inside && w.service.Protocol == "" {
				// Servers of TLS complain in words of their own protocol, or of their library.
				w.askTLS("the answer is nobody's, and may be a complaint about words in the clear")
			}
			break // it talks, and said what it had to say: more guesses would teach nothing
		}
	}
	if c != nil {
		w.hangUp(c, nil)
	}
	if !w.settled && w.late != nil {
		w.listenLate(security)
	}
}

// question lets a probe ask, and has everybody overhear the answer. It says whether
// there was one.
func (w *walk) question(c *call, p probes.Probe, security wire.Security) bool {
	name := p.Info().Name
	why := "the server waits for its client"
	if promises(w.service.Expected, name) {
		why = "promised here, and the server waits for its client"
	}
	w.letSpeak(c, p, why)
	answer := c.Heard()
	if len(answer) > 0 && (looksLikeTLS(answer) || probes.WantsTLS(c.seen)) {
		w.words, w.wantsTLS = true, true
		w.settled = false // what it said in the clear was only that it wants TLS
		return true
	}
	if w.settled || len(answer) == 0 {
		return w.settled
	}
	w.overhear(c, answer, name, security)
	return true
}

// overhear has every probe judge an answer to somebody's question; the likeliest asks for
// itself, on a fresh connection. What nobody knows is kept as tcp.answer.
func (w *walk) overhear(c *call, answer []byte, asked string, security wire.Security) {
	w.words = true
	const mostTries = 3
	for i, next := range w.recognise(answer, asked, w.service.Expected) {
		other := next.probe.Info().Name
		if i == mostTries || next.like < probes.Likely {
			break
		}
		if contains(w.tried, other) {
			continue
		}
		again := w.connect(security, "the answer was somebody else's")
		if again == nil || again.Failure() != nil {
			if again != nil {
				w.hangUp(again, nil)
			}
			break
		}
		if !next.probe.Info().Asks {
			again.Listen(w.options.Patience)
		}
		w.letSpeak(again, next.probe, fmt.Sprintf("its answer to %s looks like %s (%d of 100)", asked, other, next.like))
		if w.settled {
			return
		}
		if next.like >= probes.Sure && w.service.Protocol == "" {
			w.service.Protocol, w.service.Security = other, again.seen.Security
			return
		}
	}
	if w.service.Protocol == "" {
		// Late unasked words look like an answer: signatures know which they are.
		key := "tcp.answer"
		if len(w.signatures.Append(nil, fingerprint.Evidence{Key: "tcp.greeting", Text: trimLineEnd(answer[:min(len(answer), 2<<10)])})) > 0 {
			key = "tcp.greeting"
		}
		keep(c.seen, key, answer)
	}
}

// questions are the names to ask for, in order; "tls" is the layer.
func (w *walk) questions(security wire.Security) []string {
	var order []string
	for _, e := range w.service.Expected {
		if p := w.byName[e.Protocol]; p != nil && p.Info().Asks && e.Security == security {
			order = append(order, e.Protocol)
		}
	}
	if contains(order, probes.JetDirect.Info().Name) {
		return []string{probes.JetDirect.Info().Name} // a printer prints every other question
	}
	for i, name := range guesses {
		if !contains(order, name) {
			order = append(order, name)
		}
		if i == 0 && security == wire.Plain {
			order = append(order, "tls")
		}
	}
	return order
}

// askTLS opens with a handshake; inside, the walk begins again with listening.
func (w *walk) askTLS(why string) {
	w.asked++
	w.caller.Limits.TLS = max(w.replyTime(nil), handshakeReply)
	c := w.connect(wire.TLS, why)
	w.caller.Limits.TLS = 0
	switch {
	case c == nil:
	case c.Failure() != nil:
		w.step(c, "no handshake", c.Failure().Error())
		answer := c.Pending()
		w.hangUp(c, nil)
		switch c.Failure().Kind {
		case wire.TLSAlert:
			w.words = true
		case wire.NotTLS:
			w.overhear(c, answer, "tls", wire.Plain)
		}
	default:
		w.words = true
		w.tried = nil
		w.hear(c, wire.TLS)
		w.settled = true // TLS stands: nothing in the clear could tell more
	}
}

func (w *walk) promisesGreeting(security wire.Security) bool {
	for _, e := range w.service.Expected {
		if p := w.byName[e.Protocol]; p != nil && !p.Info().Asks && e.Security == security {
			return true
		}
	}
	return false
}

// spent says that a silent endpoint has had its time.
func (w *walk) spent() bool {
	return w.ctx.Err() != nil || time.Since(w.service.Started) >= silenceBudget-guessReply
}

// replyTime is how long a question may wait for its answer: the first two, HTTP's and
// TLS's, longer than the guesses behind them.
func (w *walk) replyTime(c *call) time.Duration {
	wait := questionReply
	if w.asked >= 2 {
		wait = guessReply
	}
	if c != nil {
		wait += 4 * c.RoundTrip()
	}
	left := silenceBudget - time.Since(w.service.Started)
	return max(guessReply, min(wait, left))
}

// listenLate gives the connection that was left listening the rest of the time.
func (w *walk) listenLate(security wire.Security) {
	c := w.late
	left := silenceBudget - time.Since(w.service.Started)
	words, _ := c.Listen(max(left, time.Millisecond))
	if len(words) == 0 {
		return // hung up by the caller
	}
	w.late = nil
	w.step(c, fmt.Sprintf("heard %d bytes at last", len(words)), "it was left listening")
	w.tried = nil
	w.greeted(c, words, security)
}

func (w *walk) hangUpLate() {
	if w.late != nil {
		w.hangUp(w.late, nil)
		w.late = nil
	}
}

// letSpeak has a probe converse, contained, and closes the connection.
func (w *walk) letSpeak(c *call, p probes.Probe, why string) {
	name := p.Info().Name
	w.tried = append(w.tried, name)
	if w.options.Explain {
		w.step(c, name+" converses", why)
	}
	c.seen.Probe = name
	greeting := c.Pending()
	err := converse(c, p)
	w.hangUp(c, err)
	o := c.seen
	if err == nil {
		o.Failure = nil // an end that the probe reckoned with is no failure
	}
	protocol := name
	if o.Protocol != "" {
		protocol = o.Protocol
	}
	switch {
	case o.Confirmed, o.Declined:
		w.settled = true
		w.service.Protocol, w.service.Confirmed, w.service.Declined = protocol, o.Confirmed, o.Declined
		w.service.Security = o.Security
		w.service.Failure = o.Failure
	case errors.Is(err, probes.ErrOtherProtocol), wire.KindOf(err) == wire.Protocol:
		w.step(c, "not "+name, err.Error())
	case err != nil:
		w.step(c, name+" ended early", err.Error())
		w.service.Failure = o.Failure
		if len(greeting) > 0 && p.Recognize(greeting) >= probes.Likely {
			// Its greeting says what it is, and then the conversation broke off.
			w.settled = true
			w.service.Protocol, w.service.Security = protocol, o.Security
		}
	case promises(w.service.Expected, name) && len(o.Evidence) > 0:
		// Nothing spoke against it: believed where it is promised, and not confirmed.
		w.settled = true
		w.service.Protocol, w.service.Security = protocol, o.Security
	}
	if o.Then != "" && o.After == nil {
		w.follow(o)
	}
}

// follow takes the hint of a conversation to the next one, where it is seen together with
// the first. What was settled before stays, unless this one knows better.
func (w *walk) follow(o *probes.Observation) {
	p := w.byName[o.Then]
	if p == nil {
		return
	}
	settled, failure := w.settled, w.service.Failure
	c := w.connect(o.Security, "the answers to "+o.Probe+" suggest "+o.Then)
	if c == nil || c.Failure() != nil {
		if c != nil {
			w.hangUp(c, nil)
		}
		w.service.Failure = failure
		return
	}
	c.seen.After = o
	w.letSpeak(c, p, "judged together with what "+o.Probe+" heard")
	if settled && !c.seen.Confirmed && !c.seen.Declined {
		w.service.Failure = failure
	}
}

// converse runs a probe so that its panic is a failure of the conversation.
func converse(c *call, p probes.Probe) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicked("probe "+p.Info().Name, r)
		}
	}()
	return p.Converse(c.Conversation, c.seen)
}

// contained runs a part of the walk so that its panic is a failure of the endpoint; the
// connections that stand are closed, and what they heard is kept.
func (w *walk) contained(part func()) {
	defer func() {
		if r := recover(); r != nil {
			failure := panicked("the walk", r)
			w.service.Failure = failure
			w.late = nil
			for len(w.standing) > 0 {
				w.hangUp(w.standing[0], failure)
			}
		}
	}()
	part()
}

// keep notes words that nobody understands, a line end alone included.
func keep(o *probes.Observation, key string, words []byte) {
	const most = 2 << 10 // bytes
	words = words[:min(len(words), most)]
	if len(trimLineEnd(words)) == 0 {
		o.Evidence = append(o.Evidence, fingerprint.Evidence{Key: key, Text: words, TLS: o.Security == wire.TLS})
		return
	}
	o.Note(key, words)
}

func panicked(where string, cause any) *wire.Failure {
	return &wire.Failure{Op: wire.OpRead, Kind: wire.Internal, Err: fmt.Errorf("panic in %s: %v\n%s", where, cause, debug.Stack())}
}

// hangUp closes a connection and keeps what it taught.
func (w *walk) hangUp(c *call, err error) {
	w.standing = slices.DeleteFunc(w.standing, func(s *call) bool { return s == c })
	o := c.seen
	if err != nil && !errors.Is(err, probes.ErrOtherProtocol) {
		o.Failure = wire.FailureOf(wire.OpRead, err)
	} else if f := c.Failure(); f != nil {
		o.Failure = f
	}
	c.Close()
	o.TLS = c.TLS()
	o.Security = c.Security()
	o.Connection = c.number
	received, sent := c.Traffic()
	w.service.Received += received
	w.service.Sent += sent
	w.service.Seen = append(w.service.Seen, o)
}

// step notes why something was done, for those who want to know.
func (w *walk) step(c *call, what, why string) {
	if !w.options.Explain {
		return
	}
	w.service.Steps = append(w.service.Steps, Step{c.number, what, why})
}

// conclude has the signatures say what was heard, and compares with what is promised.
func (w *walk) conclude() {
	s := w.service
	for _, o := range s.Seen { // a defect of ours is told, whatever was found besides
		if o.Failure != nil && o.Failure.Kind == wire.Internal {
			s.Failure = o.Failure
		}
	}
	s.Claims = w.signatures.Match(s.Evidence())
	if !s.Confirmed {
		if s.Doubt = w.doubt(s.Seen); s.Doubt != "" {
			s.Protocol = "" // it was only recognised, and so could others have been
			for i := range s.Claims {
				s.Claims[i].Certainty = min(s.Claims[i].Certainty, doubtful)
			}
		}
	}
	if s.Protocol == "" && s.Doubt == "" {
		if named, ok := fingerprint.Best(s.Claims, "protocol"); ok {
			s.Protocol = named.Value
		}
	}
	if s.Security == "" && w.words {
		s.Security = wire.Plain
		if s.TLS() != nil {
			s.Security = wire.TLS
		}
	}
	s.Verdict = w.verdict()
}

func (w *walk) verdict() Verdict {
	s := w.service
	switch {
	case s.Protocol != "":
		for _, e := range s.Expected {
			if e.Protocol == s.Protocol && (e.Security == wire.TLS) == (s.Security == wire.TLS) {
				return AsExpected
			}
		}
		return Unexpected
	case w.words:
		return Unknown
	}
	if s.Failure == nil || len(s.Seen) > 0 && s.Seen[0].Failure != nil && s.Seen[0].Failure.Op != wire.OpDial {
		return Silent
	}
	switch s.Failure.Kind {
	case wire.Refused, wire.Reset:
		return Closed
	case wire.Timeout, wire.Unreachable:
		return Filtered
	case wire.Excluded, wire.Canceled, wire.Exhausted, wire.Internal:
		return Untried
	}
	return Silent
}

// looksLikeTLS knows an alert or a handshake record (RFC 8446, 5.1) by its first bytes.
func looksLikeTLS(b []byte) bool {
	return len(b) >= 3 && (b[0] == 21 || b[0] == 22) && b[1] == 3 && b[2] <= 4
}
