package wire

import (
	"errors"
	"time"
)

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

// EndSaying tells the server that nothing more will be said: with TLS its goodbye (RFC
// 8446, 6.1), and the end of our direction of the connection.
func (c *Conversation) EndSaying() error {
	if c.failure != nil {
		return c.failure
	}
	if err := c.setDeadline(c.earlier(time.Now().Add(c.limits.Reply))); err != nil {
		return c.fail(failureOf(OpWrite, err))
	}
	if c.session != nil {
		if err := c.session.CloseWrite(); err != nil {
			return c.fail(c.because(OpWrite, err))
		}
	}
	if half, ok := c.bottom.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return c.fail(c.because(OpWrite, err))
		}
	}
	return nil
}
