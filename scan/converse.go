package scan

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
)

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
	if o.Then != "" && o.After == nil && (o.Then == name || !slices.Contains(w.tried, o.Then)) {
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
	c := w.usable(w.connect(o.Security, "the answers to "+o.Probe+" suggest "+o.Then))
	if c == nil {
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

// mostKept bounds words that nobody understands, in bytes: what Ganglia's XML says of itself
// stands behind 2.5 KiB of its DTD.
const mostKept = 4 << 10

// keep notes words that nobody understands, a line end alone included.
func keep(o *probes.Observation, key string, words []byte) {
	words = words[:min(len(words), mostKept)]
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
//
//go:noinline
func (w *walk) step(c *call, what, why string) {
	if !w.options.Explain {
		return
	}
	w.service.Steps = append(w.service.Steps, Step{c.number, what, why})
}
