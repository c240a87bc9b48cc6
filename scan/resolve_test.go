package scan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"herald/wire"
)

// neverKnown is a resolver that finds out nothing until it is told to end.
type neverKnown struct{ asked chan string }

func (n neverKnown) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	select {
	case n.asked <- host:
	default:
	}
	<-ctx.Done()
	return nil, wire.FailureOf(wire.OpResolve, ctx.Err())
}

// A scan that is canceled while names are looked up ends at once, and tells nothing of them;
// so does one whose sink fails.
func TestCanceledWhileResolving(t *testing.T) {
	names := func(yield func(Target, error) bool) {
		for i := 0; yield(Target{Host: fmt.Sprintf("host%d.test", i), Port: 25, Position: uint64(i)}, nil); i++ {
		}
	}
	t.Run("canceled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			began := time.Now()
			time.AfterFunc(time.Minute, cancel)
			var written []*Service
			asked := make(chan string, 2*resolveAtOnce)
			err := New(Options{Resolver: neverKnown{asked}}).Run(ctx, names, sinkOf(&written))
			if !errors.Is(err, context.Canceled) || len(written) != 0 || time.Since(began) != time.Minute {
				t.Errorf("%d services after %s, %v", len(written), time.Since(began), err)
			}
			if len(asked) != resolveAtOnce {
				t.Errorf("%d names were looked up at once, not %d", len(asked), resolveAtOnce)
			}
		})
	})
	t.Run("drained", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			drain := make(chan struct{})
			time.AfterFunc(time.Minute, func() { close(drain) })
			began := time.Now()
			var written []*Service
			slow := slowly{5 * time.Second, []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
			calls := &doorbell{words: "421 busy\r\n", end: "read closed"}
			err := New(Options{Resolver: slow, Drain: drain, PerHost: 1000, PerMail: 1000, Caller: wire.Caller{Transport: calls}}).Run(t.Context(), names, sinkOf(&written))
			if took := time.Since(began); !errors.Is(err, ErrDrained) || took < time.Minute || took > 2*time.Minute {
				t.Errorf("it ends after %s, %v", took, err)
			}
			for _, s := range written {
				if s.Verdict == Unresolved || s.Failure != nil && s.Failure.Kind == wire.Canceled {
					t.Errorf("%s is told as %s, %v", s.Target, s.Verdict, s.Failure)
				}
			}
		})
	})
	t.Run("a sink that fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			full := errors.New("no room")
			one := Target{Host: "192.0.2.1", Addr: netip.MustParseAddr("192.0.2.1"), Port: 25}
			mixed := func(yield func(Target, error) bool) {
				if yield(one, nil) {
					names(yield)
				}
			}
			calls := &doorbell{words: "220 x\r\n", end: "read closed"}
			err := New(Options{Resolver: neverKnown{}, Caller: wire.Caller{Transport: calls}}).Run(t.Context(), mixed, fails{full})
			if !errors.Is(err, full) {
				t.Errorf("it ends with %v", err)
			}
		})
	})
}

// slowly is a resolver that takes its time.
type slowly struct {
	takes time.Duration
	gives []netip.Addr
}

func (s slowly) Addresses(context.Context, string) ([]netip.Addr, error) {
	time.Sleep(s.takes) // a fake clock's
	return s.gives, nil
}

// fails is a sink that cannot write.
type fails struct{ with error }

func (f fails) Write(context.Context, *Service) error { return f.with }
func (fails) Close() error                            { return nil }
