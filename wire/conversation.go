package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Conversation is one connection to one endpoint: bounded in time and size, recorded to
// the byte. It belongs to one goroutine. Once something failed, every method returns
// that same [*Failure]; what was heard until then can still be read: a server may say its
// last word and close while we listen.
//
// Slices that its methods return point into the record: they stay valid, and must not be
// written to.
type Conversation struct {
	ctx      context.Context
	stop     func() bool // detaches from ctx
	conn     net.Conn    // the layer that we read from and write to
	bottom   net.Conn    // the TCP connection
	session  *tls.Conn
	endpoint Endpoint
	security Security
	limits   Limits
	manners  Manners
	offer    TLSOffer
	began    time.Time // dialling began
	stood    time.Time // the connection stood
	whole    time.Time // when the conversation must be over
	given    bool      // whole is the context's end, not Limits.Whole
	armed    time.Time // the deadline that stands at conn; zero for none
	tls      *TLSState

	heard  []byte // everything received, TLS removed
	read   int    // heard[:read] was consumed
	said   []byte // everything sent, TLS removed
	turns  int
	record record

	thenReply time.Duration // Limits.Reply from the next byte heard; 0 for no change
	firstByte time.Duration // from stood to the first byte; 0 while there is none
	failure   *Failure
	closed    bool
	secrets   [][]byte   // masked in the record
	lent      sync.Mutex // over the record, while a library has the connection: one that is stuck cannot be waited for
	saidFew   [96]byte   // what we say to most servers fits
}

const firstBuffer = 1 << 9 // bytes; holds most mail, FTP and news dialogues whole

func newConversation(ctx context.Context, conn net.Conn, e *Endpoint, l *Limits, by *Caller, began time.Time) *Conversation {
	c := &Conversation{
		ctx: ctx, conn: conn, bottom: conn, endpoint: *e, security: Plain, limits: *l, manners: by.Manners, offer: by.TLS,
		began: began, stood: time.Now(), whole: began.Add(l.Whole),
		heard: make([]byte, 0, firstBuffer),
	}
	if end, ok := ctx.Deadline(); ok && end.Before(c.whole) {
		c.whole, c.given = end, true
	}
	for u, ok := ctx.(until); ok; u, ok = ctx.(until) {
		ctx = u.Context // its end is kept above, and to ask it costs a look at the clock
	}
	c.ctx = ctx
	c.said = c.saidFew[:0]
	// When ctx ends, a read or write under way must end too.
	c.stop = context.AfterFunc(ctx, func() { conn.SetDeadline(longAgo) })
	return c
}

var longAgo = time.Unix(1, 0)

// Endpoint is where the conversation goes.
func (c *Conversation) Endpoint() Endpoint { return c.endpoint }

// Security is how the conversation is protected now.
func (c *Conversation) Security() Security { return c.security }

// TLS is what the handshake taught, nil in the clear.
func (c *Conversation) TLS() *TLSState { return c.tls }

// Manners are how the caller wants us to behave.
func (c *Conversation) Manners() Manners { return c.manners }

// FirstReplyWithin bounds the wait for the next answer alone: who has begun to answer has
// Limits.Reply again.
func (c *Conversation) FirstReplyWithin(d time.Duration) {
	if c.thenReply == 0 {
		c.thenReply = c.limits.Reply
	}
	c.limits.Reply = d
}

// Failure is what ended the conversation, nil while it goes on.
func (c *Conversation) Failure() *Failure {
	c.lent.Lock()
	defer c.lent.Unlock()
	return c.failure
}

// Local is our side's address, the zero value where the transport has none.
func (c *Conversation) Local() netip.AddrPort {
	if c.closed {
		return netip.AddrPort{}
	}
	if a, ok := c.bottom.LocalAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// FirstByte is how long the server took to say its first byte after the connection
// stood, 0 while it has said none.
func (c *Conversation) FirstByte() time.Duration { return c.firstByte }

// Elapsed is the time since the connection stood.
func (c *Conversation) Elapsed() time.Duration { return time.Since(c.stood) }

// RoundTrip is how long the connection took to stand: about one round trip.
func (c *Conversation) RoundTrip() time.Duration { return c.stood.Sub(c.began) }

// Traffic counts the bytes received and sent, TLS removed.
func (c *Conversation) Traffic() (received, sent int) { return len(c.heard), len(c.said) }

// Pending is what was received and not yet consumed.
func (c *Conversation) Pending() []byte { return c.heard[c.read:len(c.heard):len(c.heard)] }

// Consumed is how many bytes of what was heard were consumed: Heard()[:Consumed()].
func (c *Conversation) Consumed() int { return c.read }

// Heard is everything that was received, consumed or not.
func (c *Conversation) Heard() []byte { return c.heard[:len(c.heard):len(c.heard)] }

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

// Send says a line; CR LF is added. A line break or NUL inside would be a second command
// in disguise and is refused.
func (c *Conversation) Send(line string) error {
	for i := range len(line) {
		if b := line[i]; b == '\r' || b == '\n' || b == 0 {
			return c.fail(&Failure{Op: OpWrite, Kind: Internal, Err: errors.New("a line break inside a command")})
		}
	}
	from := len(c.said)
	c.said = append(append(c.said, line...), "\r\n"...)
	return c.send(from)
}

// Ask says a line and reads a line.
func (c *Conversation) Ask(line string) ([]byte, error) {
	if err := c.Send(line); err != nil {
		return nil, err
	}
	return c.ReadLine()
}

// Say sends raw bytes as one message.
func (c *Conversation) Say(message []byte) error {
	from := len(c.said)
	c.said = append(c.said, message...)
	return c.send(from)
}

// send sends what was said from there on.
func (c *Conversation) send(from int) error {
	message := c.said[from:]
	if c.failure != nil {
		c.said = c.said[:from]
		return c.failure
	}
	if c.turns++; c.turns > c.limits.Turns {
		c.said = c.said[:from]
		return c.fail(limitReached(OpWrite, "messages sent", c.limits.Turns))
	}
	now := time.Now()
	c.record.note(eventSaid, len(message), now.Sub(c.began))
	deadline := c.earlier(now.Add(c.limits.Reply))
	if c.session != nil {
		c.armed = time.Time{} // to the point: crypto/tls takes a write that ran out for the end
	}
	for {
		if err := c.arm(deadline); err != nil {
			return c.fail(failureOf(OpWrite, err))
		}
		n, err := c.conn.Write(message)
		if err == nil {
			return nil
		}
		if message = message[n:]; !c.armedEarly(deadline, err) {
			return c.fail(c.because(OpWrite, err))
		}
	}
}

// Malformed ends the conversation because a reply does not fit the protocol's grammar.
func (c *Conversation) Malformed(what string, got []byte) error {
	return c.fail(protocolError(what, got))
}

// TooMuch ends the conversation because something exceeds a bound of the probe's own.
func (c *Conversation) TooMuch(what string, bound int) error {
	return c.fail(limitReached(OpRead, what, bound))
}

// Close ends the conversation and closes the TCP connection, not the TLS layer on it: a
// goodbye of TLS may block for seconds.
func (c *Conversation) Close() error {
	c.lent.Lock()
	defer c.lent.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.stop()
	c.freePort()
	if c.failure == nil {
		c.record.end = time.Since(c.began)
		c.failure = &Failure{Op: OpRead, Kind: Canceled, Err: errClosed}
		c.record.left = true
	}
	return c.bottom.Close()
}

var errClosed = errors.New("the conversation was closed")

// freePort has the close to come leave nothing behind, where all that was to be said was said
// and answered: it sends RST, and the port does not wait for a minute (TIME_WAIT; 40,000
// visits to one endpoint would otherwise run out of ports). Words that were not answered yet
// might be lost by that, so that such a conversation ends with FIN; and where the server has
// closed first, the waiting is its own.
func (c *Conversation) freePort() {
	l, ok := c.bottom.(interface{ SetLinger(seconds int) error })
	if !ok || !c.record.answered() || c.failure != nil && c.failure.Kind == Closed {
		return
	}
	l.SetLinger(0) // without it the port waits: nothing worse
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

// because explains an error of a read or write: the context's end and the limit of the
// whole conversation show as deadlines too.
func (c *Conversation) because(op Op, err error) *Failure {
	f := failureOf(op, err)
	if f.Kind == Internal && c.session != nil {
		f.Kind = TLSFailed // a broken record in the session
	}
	if f.Kind != Timeout && f.Kind != Canceled {
		return f
	}
	if cause := c.ctx.Err(); cause != nil {
		return failureOf(op, cause)
	}
	if !time.Now().Before(c.whole) {
		if c.given {
			return failureOf(op, context.DeadlineExceeded)
		}
		return limitReached(op, "the whole conversation's time", c.limits.Whole)
	}
	return f
}

func (c *Conversation) silenceFails(err error) error {
	if errors.Is(err, errSilence) {
		return c.fail(&Failure{Op: OpRead, Kind: Timeout, Err: errors.New("no answer in time")})
	}
	return err
}

func (c *Conversation) fail(f *Failure) *Failure {
	if c.failure == nil {
		c.failure = f
		c.record.end = time.Since(c.began)
	}
	return c.failure
}

// arm has the next read or write end at the deadline or before. One that stands and comes
// earlier is left standing, since to set it costs as much as a small read and it hardly ever
// runs out: who runs into it asks armedEarly. The first one is set as late as it can be for
// the next reply to find it early enough.
func (c *Conversation) arm(deadline time.Time) error {
	if c.armed.IsZero() || deadline.Before(c.armed) {
		if c.armed.IsZero() {
			if soon := time.Now().Add(c.limits.Reply); soon.Before(deadline) {
				deadline = soon
			}
		}
		if err := c.setDeadline(deadline); err != nil {
			return err
		}
	}
	return c.ctx.Err() // asked after the deadline was set: its end may have been overwritten
}

// armedEarly says that err is only that the deadline which stood came before the one that was
// meant; none stands then.
func (c *Conversation) armedEarly(deadline time.Time, err error) bool {
	early := c.armed.Before(deadline) && errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() == nil
	if early {
		c.armed = time.Time{}
	}
	return early
}

func (c *Conversation) setDeadline(t time.Time) error {
	c.armed = t
	return c.conn.SetDeadline(t)
}

func (c *Conversation) earlier(t time.Time) time.Time {
	if c.whole.Before(t) {
		return c.whole
	}
	return t
}

func (c *Conversation) consume(n int) []byte {
	from := c.read
	c.read += n
	return c.heard[from:c.read:c.read]
}
