package scan

import (
	"fmt"
	"slices"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
)

const (
	mostConnections = 22                      // to one endpoint, whatever happens; only a port that hangs up on everything gets near it
	silenceBudget   = 8 * time.Second         // for everything on a port that says nothing
	questionReply   = 1500 * time.Millisecond // for the answer to the first questions, to which most servers answer
	handshakeReply  = 2500 * time.Millisecond // for a handshake that was only a guess: it costs the server more than an answer
	guessReply      = 350 * time.Millisecond  // beyond four round trips: for the answer to each later guess
	hungUpListen    = 1 * time.Second         // for the greeting of a server that hangs up on those who speak before it (x11vnc: 0.1 to 0.3 s)
)

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
		if p == nil || slices.Contains(w.tried, name) {
			continue
		}
		if c == nil {
			if c = w.usable(w.connect(security, "a question needs a fresh connection")); c == nil {
				break
			}
		}
		if !promises(w.service.Expected, name) {
			c.FirstReplyWithin(w.replyTime(c))
		}
		w.asked++
		answered := w.question(c, p, security)
		if !answered && w.late == nil && !inside && timedOut(c) {
			// Somebody may only be slow to greet: one connection stays listening from here.
			w.late = w.connect(security, "left listening while others ask")
		}
		c = nil
		if w.wantsTLS && !inside && !w.settled {
			w.askTLS("an answer says that TLS is spoken here")
			break
		}
		if answered {
			if !w.settled && !inside && w.service.Protocol == "" && !w.named {
				// Servers of TLS complain in words of their own protocol, or of their library.
				w.askTLS("the answer is nobody's, and may be a complaint about words in the clear")
			}
			break // it talks, and said what it had to say: more guesses would teach nothing
		}
	}
	if c != nil {
		w.hangUp(c, nil)
	}
	switch left := silenceBudget - time.Since(w.service.Started); {
	case w.settled:
	case w.late != nil:
		w.listenLate(security, left)
	case !w.words && !inside && w.asked > 0 && w.ctx.Err() == nil:
		// It hung up on every question: maybe because it was about to greet.
		w.late = w.usable(w.connect(security, "it hangs up on questions, and is left to speak first"))
		if w.late != nil {
			w.listenLate(security, min(left, hungUpListen))
		}
	}
}

func timedOut(c *call) bool {
	return c.seen.Failure != nil && c.seen.Failure.Kind == wire.Timeout
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
	ranked := w.recognise(answer, asked, w.service.Expected)
	for i, next := range ranked {
		other := next.probe.Info().Name
		if i == mostTries || next.like < probes.Likely {
			break
		}
		if slices.Contains(w.tried, other) {
			continue
		}
		again := w.usable(w.connect(security, "the answer was somebody else's"))
		if again == nil {
			break
		}
		if !next.probe.Info().Asks {
			if words, _ := again.Listen(w.options.Patience); len(words) > 0 && w.service.Greeting == 0 {
				w.service.Greeting = again.FirstByte()
			}
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
	if w.service.Protocol == "" && maybeGreeting(answer, ranked) {
		w.hearAgain(c, security)
	}
	if w.service.Protocol == "" {
		// Late unasked words look like an answer: signatures know which they are.
		key := "tcp.answer"
		text := trimLineEnd(answer[:min(len(answer), mostKept)])
		if len(w.signatures.Append(nil, fingerprint.Evidence{Key: "tcp.greeting", Text: text})) > 0 {
			key = "tcp.greeting"
		}
		keep(c.seen, key, answer)
		_, w.named = fingerprint.Best(w.signatures.Append(nil, fingerprint.Evidence{Key: key, Text: text}), "protocol")
	}
}

// maybeGreeting says whether words that came after a question may be a greeting that was
// late: those of a server that greets first, and no refusal (RFC 5321, 4.2.1), which is
// rather about the question.
func maybeGreeting(answer []byte, ranked []candidate) bool {
	if answer[0] == '4' || answer[0] == '5' {
		return false
	}
	return slices.ContainsFunc(ranked, func(next candidate) bool {
		return !next.probe.Info().Asks && next.probe.Recognize(answer) >= probes.Possible
	})
}

// hearAgain waits on a fresh connection for what looked like an answer and may have been a
// greeting that came late: servers that look up their client's name greet after that.
func (w *walk) hearAgain(c *call, security wire.Security) {
	again := w.connect(security, "the answer may be a greeting that came late")
	if again == nil {
		return
	}
	if again.Failure() == nil {
		if words, _ := again.Listen(min(shortListen+2*c.FirstByte(), w.options.Patience)); len(words) > 0 {
			w.greeted(again, words, security)
			return
		}
	}
	w.hangUp(again, nil)
}

// questions are the names to ask for, in order; "tls" is the layer.
func (w *walk) questions(security wire.Security) []string {
	var order []string
	for _, e := range w.service.Expected {
		if p := w.byName[e.Protocol]; p != nil && p.Info().Asks && e.Security == security {
			order = append(order, e.Protocol)
		}
	}
	if slices.Contains(order, probes.JetDirect.Info().Name) {
		return []string{probes.JetDirect.Info().Name} // a printer prints every other question
	}
	for i, name := range guesses {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
		if i == 0 && security == wire.Plain {
			order = append(order, "tls")
		}
	}
	if security == wire.Plain {
		order = append(order, rarely...)
	}
	return order
}

// askTLS opens with a handshake; inside, the walk begins again with listening.
func (w *walk) askTLS(why string) {
	w.asked++
	usual, hasty := w.caller, *w.caller
	hasty.Limits.TLS = max(w.replyTime(nil), handshakeReply)
	w.caller = &hasty
	c := w.connect(wire.TLS, why)
	w.caller = usual
	switch {
	case c == nil:
	case c.Failure() != nil:
		w.step(c, "no handshake", c.Failure().Error())
		answer := c.Pending()
		w.hangUp(c, nil)
		switch c.Failure().Kind {
		case wire.TLSAlert: // it speaks TLS, and not with us
			w.words, w.settled = true, true
			w.service.Security, w.service.Failure = wire.TLS, c.Failure()
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
func (w *walk) listenLate(security wire.Security, left time.Duration) {
	c := w.late
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

// looksLikeTLS knows an alert or a handshake record (RFC 8446, 5.1) by its first bytes.
func looksLikeTLS(b []byte) bool {
	return len(b) >= 3 && (b[0] == 21 || b[0] == 22) && b[1] == 3 && b[2] <= 4
}
