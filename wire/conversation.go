package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
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

func (c *Conversation) fail(f *Failure) *Failure {
	if c.failure == nil {
		c.failure = f
		c.record.end = time.Since(c.began)
	}
	return c.failure
}
