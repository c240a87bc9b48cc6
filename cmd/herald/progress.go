package main

import (
	"fmt"
	"io"
	"time"

	"herald/scan"
)

// progress is a line on standard error that tells of a long scan. It is shown only on a
// terminal, from the third second on.
type progress struct {
	w     io.Writer
	on    bool
	began time.Time
	last  time.Time
	shown bool
	now   scan.Progress
}

func newProgress(w io.Writer, quiet bool) *progress {
	_, isTerminal := terminal(w)
	return &progress{w: w, on: isTerminal && !quiet, began: time.Now()}
}

func (p *progress) show(now scan.Progress) {
	p.now = now
	if !p.on || time.Since(p.began) < 3*time.Second || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	spent := time.Since(p.began)
	fmt.Fprintf(p.w, "\r\x1b[K%d endpoints done in %s, %.0f a second", now.Done, spent.Round(time.Second), float64(now.Done)/spent.Seconds())
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
