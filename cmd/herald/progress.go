package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"herald/scan"
)

// progress is a line on standard error that tells of a long scan. It is shown only on a
// terminal, from the third second on, whether anything is done or not.
type progress struct {
	w     io.Writer
	began time.Time
	over  chan struct{} // nil where nothing is shown
	drawn sync.WaitGroup

	mu  sync.Mutex
	now scan.Progress
}

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, began: time.Now()}
	if _, isTerminal := terminal(w); isTerminal && !quiet {
		p.over = make(chan struct{})
		p.drawn.Go(p.draw)
	}
	return p
}

// show takes the state of the scan; it is drawn when it is time to.
func (p *progress) show(now scan.Progress) {
	p.mu.Lock()
	p.now = now
	p.mu.Unlock()
}

// state is the last that was shown.
func (p *progress) state() scan.Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *progress) draw() {
	const quiet, pause = 3 * time.Second, 250 * time.Millisecond
	shown := false
	for tick := time.NewTimer(quiet); ; tick.Reset(pause) {
		select {
		case <-tick.C:
			spent := time.Since(p.began)
			done := p.state().Done
			fmt.Fprintf(p.w, "\r\x1b[K%s done in %s, %.0f a second", counted(done, "endpoint"), spent.Round(time.Second), float64(done)/spent.Seconds())
			shown = true
		case <-p.over:
			if shown {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		}
	}
}

// clear ends it and takes the line away.
func (p *progress) clear() {
	if p.over != nil {
		close(p.over)
		p.drawn.Wait()
	}
}
