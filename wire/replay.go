package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Replay is a transport that plays a transcript: the first Dial its first connection,
// the second its second. Silence takes no time: where the record has the client speak,
// or ends, a read runs into its deadline at once.
type Replay struct {
	Transcript *Transcript
	Piece      int  // bytes a read returns at most; 0 is all that there is
	Cut        int  // the first connection closes after so many bytes; 0 is never, negative is before the first
	AnyWords   bool // whatever the client says stands for what the record has it say; and any handshake is played

	mu     sync.Mutex
	dialed int
}

// Dialed is how many connections were opened.
func (r *Replay) Dialed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dialed
}

func (r *Replay) Dial(_ context.Context, e Endpoint) (net.Conn, error) {
	r.mu.Lock()
	n := r.dialed
	r.dialed++
	r.mu.Unlock()
	if n >= len(r.Transcript.Exchanges) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	x := r.Transcript.Exchanges[n]
	end, err := endFailure(x.End)
	if err != nil && x.End != "" {
		return nil, err
	}
	if end != nil && end.Op == OpDial {
		return nil, end
	}
	c := &replayed{events: slices.Clone(x.Events), end: end, piece: r.Piece, cut: -1, anyWords: r.AnyWords}
	if n == 0 && r.Cut != 0 {
		c.cut = max(r.Cut, 0)
	}
	return c, nil
}

// ErrOtherWords is the cause of a failure in a replay where the client said something
// else than the record has: the record is of another version of the probe.
var ErrOtherWords = errors.New("the client says something else than the record has")

// replayed is one connection of a replay. As any net.Conn it may be used by several at once.
type replayed struct {
	mu     sync.Mutex
	events []Event
	end    *Failure
	piece  int
	cut    int // bytes until the connection closes; -1 never
	closed bool

	anyWords bool
}

func (c *replayed) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.cut == 0:
			return 0, io.EOF
		case len(c.events) == 0:
			return 0, c.ending()
		}
		switch e := &c.events[0]; e.Mark {
		case '~':
			c.events = c.events[1:]
			if len(c.events) == 0 || c.events[0].Mark == '>' {
				return 0, os.ErrDeadlineExceeded
			}
		case '<':
			n := min(len(p), len(e.Data))
			if c.piece > 0 {
				n = min(n, c.piece)
			}
			if c.cut > 0 {
				n = min(n, c.cut)
				c.cut -= n
			}
			copy(p, e.Data[:n])
			if e.Data = e.Data[n:]; len(e.Data) == 0 {
				c.events = c.events[1:]
			}
			return n, nil
		default:
			return 0, os.ErrDeadlineExceeded // the server waits for the client
		}
	}
}

func (c *replayed) ending() error {
	if c.end == nil {
		return os.ErrDeadlineExceeded
	}
	switch c.end.Kind {
	case Timeout, Protocol, Limit:
		// The last two are our own verdict on what stands before: it must be given again.
		return os.ErrDeadlineExceeded
	case Closed:
		return io.EOF
	case Reset:
		return os.NewSyscallError("read", syscall.ECONNRESET)
	}
	return c.end
}

func (c *replayed) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	if c.cut == 0 {
		return len(p), nil // the kernel takes what a closed peer will never read
	}
	if c.anyWords {
		c.turn()
		return len(p), nil
	}
	for written := 0; written < len(p); {
		i := c.nextSaid()
		if i < 0 {
			if len(c.events) == 0 && c.end != nil && (c.end.Kind == Closed || c.end.Kind == Reset) {
				return len(p), nil
			}
			return written, c.otherWords(p[written:], c.events)
		}
		e := &c.events[i]
		n := min(len(p)-written, len(e.Data))
		if !bytes.Equal(p[written:written+n], e.Data[:n]) {
			return written, c.otherWords(p[written:], c.events[i:])
		}
		written += n
		if e.Data = e.Data[n:]; len(e.Data) == 0 {
			c.events = slices.Delete(c.events, i, i+1)
		}
	}
	return len(p), nil
}

// turn lets the server speak again, where it waits for its client.
func (c *replayed) turn() {
	for len(c.events) > 0 && c.events[0].Mark == '~' {
		c.events = c.events[1:]
	}
	if len(c.events) > 0 && c.events[0].Mark == '>' {
		c.events = c.events[1:]
	}
}

// nextSaid is where the client speaks next, -1 where it does not before a handshake or the
// end. What the server had said before may still be unread: two sides that speak at once
// (SSH, HTTP/2) do not wait for each other, and pieces come late.
func (c *replayed) nextSaid() int {
	for len(c.events) > 0 && c.events[0].Mark == '~' {
		c.events = c.events[1:]
	}
	for i, e := range c.events {
		switch e.Mark {
		case '>':
			return i
		case '!':
			return -1
		}
	}
	return -1
}

func (c *replayed) otherWords(said []byte, events []Event) error {
	due := "the end"
	if len(events) > 0 {
		due = fmt.Sprintf("%c %s", events[0].Mark, Escape(events[0].Data))
	}
	return &Failure{Op: OpWrite, Kind: Internal, Err: fmt.Errorf("%w: said %s where the record has %s", ErrOtherWords, strconv.QuoteToASCII(string(said)), due)}
}

// upgrade plays a handshake as it went.
func (c *replayed) upgrade(serverName string) (*TLSState, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut == 0 {
		return nil, nil, io.EOF
	}
	if len(c.events) > 0 && c.events[0].Mark == '!' {
		state := *c.events[0].TLS
		state.ServerName = serverName
		c.events = c.events[1:]
		return &state, nil, nil
	}
	if c.anyWords {
		return &TLSState{Version: tls.VersionTLS13, Cipher: tls.TLS_AES_128_GCM_SHA256, ServerName: serverName}, nil, nil
	}
	var clear []byte
	for len(c.events) > 0 && c.events[0].Mark == '<' {
		clear = append(clear, c.events[0].Data...)
		c.events = c.events[1:]
	}
	if c.end != nil && len(c.events) == 0 {
		return nil, clear, c.end
	}
	return nil, clear, fmt.Errorf("%w: it has no handshake here", ErrOtherWords)
}

func (c *replayed) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *replayed) LocalAddr() net.Addr              { return replayAddr }
func (c *replayed) RemoteAddr() net.Addr             { return replayAddr }
func (c *replayed) SetDeadline(time.Time) error      { return nil }
func (c *replayed) SetReadDeadline(time.Time) error  { return nil }
func (c *replayed) SetWriteDeadline(time.Time) error { return nil }

var replayAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
