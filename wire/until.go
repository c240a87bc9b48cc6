package wire

import (
	"context"
	"time"
)

// Until is ctx with an end, like [context.WithDeadline] but without a timer: its Done is not
// closed at that time, while Err and Deadline tell it. Conversations look at Deadline by
// themselves; who waits for Done needs the real one.
func Until(ctx context.Context, end time.Time) context.Context {
	if d, ok := ctx.Deadline(); ok && !end.Before(d) {
		return ctx
	}
	return until{ctx, end}
}

type until struct {
	context.Context
	end time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.end, true }

func (u until) Err() error {
	if err := u.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(u.end) {
		return context.DeadlineExceeded
	}
	return nil
}

// withTimer is ctx with an end that closes Done: what a transport of somebody else's waits for.
func withTimer(ctx context.Context, end time.Time) (context.Context, context.CancelFunc) {
	for {
		u, ok := ctx.(until)
		if !ok {
			return context.WithDeadline(ctx, end)
		}
		if u.end.Before(end) {
			end = u.end
		}
		ctx = u.Context
	}
}
