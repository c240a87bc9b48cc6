package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Conn hands the conversation over to a client library, as a connection. The greeting is
// what the library reads first: one that we make up, since the server's own was read long
// ago and is not said again after an upgrade (RFC 3207, 4.2; RFC 9051, 6.2.1). Then comes
// what is still unread, then what the server says.
//
// The limits hold on: Limits.Reply for each wait (a library may ask for less, not for
// more), Whole, Bytes and Turns for all. Everything is recorded, what is hidden by
// [Conversation.Hide] masked. Addresses are real *net.TCPAddr, which libraries insist on.
//
// One reader and one writer may use it at once. Until they are done the conversation's own
// methods must not be used, but for Close, Failure and Exchange; afterwards it goes on where the
// library left it.
// Close of the connection closes the conversation.
func (c *Conversation) Conn(greeting []byte) net.Conn {
	return &handed{c: c, mu: &c.lent, front: bytes.Clone(greeting), remote: net.TCPAddrFromAddrPort(c.endpoint.Addr)}
}

// handed is a conversation in other hands.
type handed struct {
	c      *Conversation
	remote net.Addr

	mu            *sync.Mutex // over c's record, and what follows
	front         []byte
	readBy, sayBy time.Time // the library's own deadlines, zero for none
}

func (h *handed) Read(p []byte) (int, error) {
	h.mu.Lock()
	c := h.c
	switch {
	case len(p) == 0:
		h.mu.Unlock()
		return 0, nil
	case len(h.front) > 0:
		n := copy(p, h.front)
		h.front = h.front[n:]
		h.mu.Unlock()
		return n, nil
	case len(c.Pending()) > 0:
		n := copy(p, c.Pending())
		c.read += n
		h.mu.Unlock()
		return n, nil
	case c.failure != nil:
		defer h.mu.Unlock()
		return 0, asRead(c.failure)
	case len(c.heard) >= c.limits.Bytes:
		defer h.mu.Unlock()
		return 0, c.fail(limitReached(OpRead, "bytes received", c.limits.Bytes))
	}
	p = p[:min(len(p), c.limits.Bytes-len(c.heard))]
	own := h.readBy
	deadline := c.bounded(own)
	c.armed = time.Time{} // whoever asks next sets the deadline anew
	err := c.conn.SetReadDeadline(deadline)
	h.mu.Unlock()
	if err == nil {
		err = c.ctx.Err() // asked after the deadline was set: its end may have been overwritten
	}
	n := 0
	if err == nil {
		n, err = c.conn.Read(p)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if n > 0 {
		c.heard = append(c.heard, p[:n]...)
		c.read = len(c.heard)
		now := time.Now()
		if c.firstByte == 0 {
			c.firstByte = max(now.Sub(c.stood), 1)
		}
		c.record.note(eventHeard, n, now.Sub(c.began))
		return n, nil // an error that came with bytes comes again
	}
	if err == nil || c.mayWaitOn(own, deadline, err) {
		return 0, err
	}
	return 0, asRead(c.fail(c.because(OpRead, err)))
}

func (h *handed) Write(p []byte) (int, error) {
	h.mu.Lock()
	c := h.c
	if c.failure != nil {
		defer h.mu.Unlock()
		return 0, c.failure
	}
	if c.turns++; c.turns > c.limits.Turns {
		defer h.mu.Unlock()
		return 0, c.fail(limitReached(OpWrite, "messages sent", c.limits.Turns))
	}
	c.said = append(c.said, p...)
	c.record.note(eventSaid, len(p), time.Since(c.began))
	own := h.sayBy
	deadline := c.bounded(own)
	c.armed = time.Time{}
	err := c.conn.SetWriteDeadline(deadline)
	h.mu.Unlock()
	if err == nil {
		err = c.ctx.Err()
	}
	n := 0
	if err == nil {
		n, err = c.conn.Write(p)
	}
	if err == nil {
		return n, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return n, c.fail(c.because(OpWrite, err))
}

// bounded is the library's deadline or ours, whichever is earlier.
func (c *Conversation) bounded(own time.Time) time.Time {
	deadline := c.earlier(time.Now().Add(c.limits.Reply))
	if !own.IsZero() && own.Before(deadline) {
		return own
	}
	return deadline
}

// mayWaitOn says that only the library's own deadline ran out: it may ask again.
func (c *Conversation) mayWaitOn(own, deadline time.Time, err error) bool {
	return !own.IsZero() && deadline.Equal(own) && errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() == nil
}

// asRead is a failure as readers know it: the end of a stream is io.EOF.
func asRead(f *Failure) error {
	if f.Kind == Closed {
		return io.EOF
	}
	return f
}

func (h *handed) LocalAddr() net.Addr  { return h.c.bottom.LocalAddr() }
func (h *handed) RemoteAddr() net.Addr { return h.remote }

// Close may come while the reader waits: it ends that.
func (h *handed) Close() error {
	return h.c.Close()
}

func (h *handed) SetDeadline(t time.Time) error {
	return errors.Join(h.SetReadDeadline(t), h.SetWriteDeadline(t))
}

// SetReadDeadline also ends a read under way, where it comes before ours.
func (h *handed) SetReadDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readBy = t
	return h.c.conn.SetReadDeadline(h.c.bounded(t))
}

func (h *handed) SetWriteDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sayBy = t
	return h.c.conn.SetWriteDeadline(h.c.bounded(t))
}
