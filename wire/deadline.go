package wire

import (
	"context"
	"errors"
	"os"
	"time"
)

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
