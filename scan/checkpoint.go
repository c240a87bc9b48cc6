package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// Checkpoint keeps, beside the output of a scan, the position that the output covers.
// Both are written together, so that a scan that was killed at any moment goes on with
// nothing lost and nothing twice: what the output holds beyond the checkpoint is cut off
// and looked at again.
//
// Use it around the source and the sink of [Scanner.Run]: Targets, Skip, Sink.
type Checkpoint struct {
	path   string
	output Lengther
	state  checkpointFile

	mu    sync.Mutex
	open  map[uint64]int  // positions begun and not yet written whole: 1, and 1 more for each sibling that is written
	next  uint64          // behind the last position begun
	low   uint64          // everything before it is written
	above map[uint64]bool // written, at low or behind it

	saved  time.Time
	every  time.Duration
	spoilt bool // a write failed: what the output holds is not known any more
}

// Lengther is a sink that knows how many bytes of its output are safe.
type Lengther interface {
	Sink
	// Length hands everything to the operating system and returns the output's length in
	// bytes.
	Length() (int64, error)
}

// checkpointFile is the file's content, JSON.
type checkpointFile struct {
	Format int      `json:"format"` // 1
	Scan   string   `json:"scan"`   // what the scan is of: another scan's checkpoint is refused
	Length int64    `json:"length"` // bytes of the output that are covered
	Low    uint64   `json:"low"`    // positions below are done
	Done   []uint64 `json:"done"`   // and these
}

// OpenCheckpoint reads the checkpoint at path, or begins one where there is none. scan
// describes the scan, so that one is not continued as another. The output must be cut to
// Length before it is written on.
func OpenCheckpoint(path, scan string) (*Checkpoint, error) {
	c := &Checkpoint{path: path, open: map[uint64]int{}, above: map[uint64]bool{}, every: 100 * time.Millisecond}
	c.state = checkpointFile{Format: 1, Scan: scan}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return nil, err
	}
	before, err := parseCheckpoint(text, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.state, c.low, c.next = before, before.Low, before.Low
	for _, p := range before.Done {
		c.above[p] = true
	}
	return c, nil
}

// parseCheckpoint reads the file of a scan.
func parseCheckpoint(text []byte, scan string) (before checkpointFile, err error) {
	if err := json.Unmarshal(text, &before); err != nil {
		return before, fmt.Errorf("no checkpoint: %w", err)
	}
	switch {
	case before.Format != 1:
		return before, fmt.Errorf("checkpoint of format %d; this herald knows 1", before.Format)
	case before.Scan != scan:
		return before, fmt.Errorf("the checkpoint is of another scan: %s; remove it to begin anew", before.Scan)
	case before.Length < 0:
		return before, fmt.Errorf("no checkpoint: it covers %d bytes", before.Length)
	}
	return before, nil
}

// Length is how many bytes of the output are covered.
func (c *Checkpoint) Length() int64 { return c.state.Length }

// Position is below which everything is done.
func (c *Checkpoint) Position() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.low
}

// Skip says whether a position is done.
func (c *Checkpoint) Skip(p uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return p < c.low || c.above[p]
}

// Targets notes which positions are begun.
func (c *Checkpoint) Targets(of Source) Source {
	return func(yield func(Target, error) bool) {
		for t, err := range of {
			if err == nil {
				c.mu.Lock()
				c.open[t.Position] = 1
				c.next = t.Position + 1
				c.mu.Unlock()
			}
			if !yield(t, err) {
				return
			}
		}
	}
}

// Sink notes what is written, and saves the checkpoint now and then, and at Close.
func (c *Checkpoint) Sink(of Lengther) Sink {
	c.output, c.saved = of, time.Now()
	return &checkpointSink{of, c}
}

type checkpointSink struct {
	Lengther
	c *Checkpoint
}

func (s *checkpointSink) Write(ctx context.Context, found *Service) error {
	if err := s.Lengther.Write(ctx, found); err != nil {
		s.c.spoilt = true
		return err
	}
	return s.c.written(found)
}

// Flush saves too where it is time: a scan that waits may be killed while it waits.
func (s *checkpointSink) Flush() error {
	if time.Since(s.c.saved) < s.c.every {
		return nil
	}
	return s.c.save()
}

func (s *checkpointSink) Close() error {
	return errors.Join(s.c.save(), s.Lengther.Close())
}

// written notes one more endpoint of a position.
func (c *Checkpoint) written(s *Service) error {
	p := s.Target.Position
	c.mu.Lock()
	if n := c.open[p]; n < s.Siblings {
		c.open[p] = n + 1
		c.mu.Unlock()
		return nil // Run writes siblings one after the other: no save comes between them
	}
	delete(c.open, p)
	c.above[p] = true
	c.mu.Unlock()
	if time.Since(c.saved) < c.every {
		return nil
	}
	return c.save()
}

// save writes the output's length and the position that it covers, in one rename.
func (c *Checkpoint) save() error {
	if c.spoilt {
		return nil // the last good one stands
	}
	length, err := c.output.Length()
	if err != nil {
		c.spoilt = true
		return err
	}
	c.mu.Lock()
	low := c.next
	for p := range c.open {
		low = min(low, p)
	}
	c.low = max(c.low, low)
	for p := range c.above {
		if p < c.low {
			delete(c.above, p)
		}
	}
	c.state.Length, c.state.Low, c.state.Done = length, c.low, c.state.Done[:0]
	for p := range c.above {
		c.state.Done = append(c.state.Done, p)
	}
	slices.Sort(c.state.Done)
	text, err := json.Marshal(c.state)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	c.saved = time.Now()
	return replaceFile(c.path, text)
}

// replaceFile writes a file so that at any moment the old or the new one is there, whole.
// What a killed scan left of the new one goes first: nothing piles up beside it.
func replaceFile(path string, text []byte) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(fresh)
		return err
	}
	return os.Rename(fresh, path)
}
