package wire

import (
	"bytes"
	"errors"
	"time"
)

// Listen waits until the server has said a whole line, or something followed by a
// silence of Limits.Settle, or nothing for the given patience. 0 is Limits.Greeting for
// the first words, and a second for more of them.
// What was said is returned and stays unconsumed; silence is no failure.
func (c *Conversation) Listen(patience time.Duration) ([]byte, error) {
	if c.failure != nil {
		return c.Pending(), c.failure
	}
	if patience == 0 {
		patience = c.limits.Greeting
		if c.firstByte > 0 {
			patience = min(patience, moreWords)
		}
	}
	until := time.Now().Add(patience)
	for bytes.IndexByte(c.Pending(), '\n') < 0 && len(c.Pending()) < c.limits.Line {
		err := c.fill(until)
		switch {
		case err == nil:
			if settled := time.Now().Add(c.limits.Settle); settled.Before(until) {
				until = settled
			}
		case errors.Is(err, errSilence):
			return c.Pending(), nil
		default:
			return c.Pending(), err
		}
	}
	return c.Pending(), nil
}

// moreWords is how long further unasked words are awaited where the server has spoken.
const moreWords = time.Second

// ReadLine consumes a line, its line feed included. Whatever stands before the line feed
// is kept, a carriage return or none.
func (c *Conversation) ReadLine() ([]byte, error) {
	var until time.Time
	seen := 0
	for {
		pending := c.Pending()
		if i := bytes.IndexByte(pending[seen:], '\n'); i >= 0 {
			if seen+i+1 > c.limits.Line {
				return nil, c.fail(limitReached(OpRead, "line length in bytes", c.limits.Line))
			}
			return c.consume(seen + i + 1), nil
		}
		seen = len(pending)
		if seen >= c.limits.Line {
			return nil, c.fail(limitReached(OpRead, "line length in bytes", c.limits.Line))
		}
		if until.IsZero() {
			until = time.Now().Add(c.limits.Reply)
		}
		if err := c.fill(until); err != nil {
			return nil, c.silenceFails(err)
		}
	}
}

// ReadFull consumes exactly n bytes.
func (c *Conversation) ReadFull(n int) ([]byte, error) {
	if _, err := c.Peek(n); err != nil {
		return nil, err
	}
	return c.consume(n), nil
}

// Peek waits for n bytes and returns them unconsumed.
func (c *Conversation) Peek(n int) ([]byte, error) {
	var until time.Time
	for len(c.Pending()) < n {
		if until.IsZero() {
			until = time.Now().Add(c.limits.Reply)
		}
		if err := c.fill(until); err != nil {
			return nil, c.silenceFails(err)
		}
	}
	return c.Pending()[:n], nil
}

// ReadRest consumes whatever comes until the server closes, or falls silent for
// Limits.Settle, or has sent most bytes. To say nothing at all within Limits.Reply is a
// failure of kind timeout; the other ends are none.
func (c *Conversation) ReadRest(most int) ([]byte, error) {
	return c.ReadRestUntil(most, func([]byte) bool { return false })
}

// ReadRestUntil is ReadRest that does not wait any longer once what came is whole.
func (c *Conversation) ReadRestUntil(most int, whole func([]byte) bool) ([]byte, error) {
	until := time.Now().Add(c.limits.Reply)
	for len(c.Pending()) < most && !whole(c.Pending()) {
		err := c.fill(until)
		if err == nil {
			until = time.Now().Add(c.limits.Settle)
			continue
		}
		if len(c.Pending()) == 0 {
			return nil, c.silenceFails(err)
		}
		break
	}
	return c.consume(min(most, len(c.Pending()))), nil
}

// ReadSettled consumes what has come already and what follows until a silence of
// Limits.Settle, most bytes at most. It may be nothing; no end of it is a failure.
func (c *Conversation) ReadSettled(most int) []byte {
	for len(c.Pending()) < most {
		if err := c.fill(time.Now().Add(c.limits.Settle)); err != nil {
			break
		}
	}
	return c.consume(min(most, len(c.Pending())))
}

func (c *Conversation) consume(n int) []byte {
	from := c.read
	c.read += n
	return c.heard[from:c.read:c.read]
}

func (c *Conversation) silenceFails(err error) error {
	if errors.Is(err, errSilence) {
		return c.fail(&Failure{Op: OpRead, Kind: Timeout, Err: errors.New("no answer in time")})
	}
	return err
}

// errSilence is a wait that ended with nothing new.
var errSilence = errors.New("silence")

// fill waits for more bytes until the given time. It returns errSilence when that time
// came, and fails the conversation on anything else.
func (c *Conversation) fill(until time.Time) error {
	if c.failure != nil {
		return c.failure
	}
	if len(c.heard) >= c.limits.Bytes {
		return c.fail(limitReached(OpRead, "bytes received", c.limits.Bytes))
	}
	if cap(c.heard) == len(c.heard) {
		c.makeRoom()
	}
	deadline := c.earlier(until)
	n, err := c.readBefore(deadline)
	if n > 0 {
		c.heard = c.heard[:len(c.heard)+n]
		if c.thenReply != 0 {
			c.limits.Reply, c.thenReply = c.thenReply, 0
		}
		now := time.Now()
		if c.firstByte == 0 {
			c.firstByte = max(now.Sub(c.stood), 1)
		}
		c.record.note(eventHeard, n, now.Sub(c.began))
		return nil // an error that came with bytes comes again
	}
	if err == nil {
		return nil
	}
	return c.unfilled(err, deadline.Equal(until))
}

// makeRoom grows heard. Slices handed out before keep pointing to the old bytes.
func (c *Conversation) makeRoom() {
	grown := make([]byte, len(c.heard), min(4*cap(c.heard), c.limits.Bytes))
	copy(grown, c.heard)
	c.heard = grown
}

// unfilled says what a read that gave nothing means. asked tells that the deadline was that of
// who asked.
//
//go:noinline
func (c *Conversation) unfilled(err error, asked bool) error {
	f := c.because(OpRead, err)
	if f.Kind == Timeout && c.ctx.Err() == nil && asked {
		return errSilence
	}
	return c.fail(f)
}

// readBefore reads once, into the room behind what was heard.
func (c *Conversation) readBefore(deadline time.Time) (int, error) {
	for {
		if err := c.arm(deadline); err != nil {
			return 0, err
		}
		n, err := c.conn.Read(c.heard[len(c.heard):cap(c.heard)])
		if n > 0 || err == nil || !c.armedEarly(deadline, err) {
			return n, err
		}
	}
}

// hear adds bytes that came beside the usual way.
func (c *Conversation) hear(b []byte) {
	if len(b) == 0 {
		return
	}
	c.heard = append(c.heard, b...)
	c.record.note(eventHeard, len(b), time.Since(c.began))
}
