package scan

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"herald/wire"
)

// Run looks at every target of a source and writes a service for each endpoint to the
// sink, in the order in which they are done; the endpoints of one target are written
// together. It returns the first error of the source or the sink, or the context's; what
// was found before is written in any case. When Options.Drain is closed, nothing new is
// begun, and what is under way is finished. It does not close the sink.
func (s *Scanner) Run(ctx context.Context, targets Source, sink Sink) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{
		Scanner: s,
		begun:   make(chan *work, ahead),
		todo:    make(chan *work, ahead),
		back:    make(chan returned, ahead),
		done:    make(chan *Service, ahead),
		pause:   time.NewTimer(0),
	}
	defer r.pause.Stop()
	var feeding, working sync.WaitGroup
	feeding.Go(func() { r.feed(ctx, targets) })
	dispatched := make(chan struct{})
	dispatcher := newDispatcher(courtesy{
		perHost: s.options.PerHost, perMail: s.options.PerMail, perNet: s.options.PerNet,
		rate: s.options.Rate, pushed: firstPause,
	})
	go func() {
		defer close(dispatched)
		dispatcher.run(ctx, s.options.Drain, r.begun, r.todo, r.back)
	}()
	for range s.options.Workers {
		working.Go(func() { r.work(ctx, dispatched) })
	}
	go func() { working.Wait(); feeding.Wait(); close(r.done) }()
	if err := r.collect(ctx, sink, cancel); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if <-dispatched; r.sourceErr == nil && (r.unread || dispatcher.dropped) {
		return ErrDrained
	}
	return r.sourceErr
}

// ErrEnough ends a run that has found Options.MostResults.
var ErrEnough = errors.New("as many results as were asked for")

// ErrDrained ends a run that did not begin all, since Options.Drain was closed.
var ErrDrained = errors.New("not all targets were begun")

// run is one run of a scanner.
type run struct {
	*Scanner
	begun     chan *work    // resolved, to be dispatched
	todo      chan *work    // dispatched, to be looked at
	back      chan returned // looked at, room for others
	done      chan *Service
	sourceErr error
	unread    bool // the source was not read to its end

	flushed time.Time   // when the sink handed on last what it held back
	pause   *time.Timer // until it does so again
}

// ahead is how many endpoints may lie between two stages: enough for none to wait for the other
// at each, too few for what was heard to fill the memory while the sink is slow.
const ahead = 64

// firstPause is how long an address is left alone after it pushed back the first time; it
// doubles with each time in a row.
const firstPause = time.Second

// work looks at what there is to do until there is no more.
func (r *run) work(ctx context.Context, dispatched <-chan struct{}) {
	for w := range r.todo {
		found := r.lookPatiently(ctx, w)
		found.Siblings = w.siblings
		select {
		case r.back <- returned{w, pushesBack(found)}:
		case <-dispatched:
		}
		r.done <- found
	}
}

// pushesBack says whether a server asks for less: 421, 429, or a reset instead of a word.
func pushesBack(s *Service) bool {
	if s.Declined {
		for _, o := range s.Seen {
			for _, e := range o.Evidence {
				if bytes.HasPrefix(e.Text, []byte("421")) {
					return true
				}
			}
		}
	}
	for _, e := range s.Evidence() {
		if e.Key == "http.status" && bytes.Contains(e.Text, []byte(" 429")) {
			return true
		}
	}
	return s.Protocol == "" && s.Failure != nil && s.Failure.Kind == wire.Reset && s.Failure.Op != wire.OpDial
}
