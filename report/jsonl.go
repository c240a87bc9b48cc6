package report

import (
	"context"
	"io"

	"herald/scan"
)

// JSONLines writes a [Record] a line. Lines are handed on in large pieces while results
// come thick, and at once when the scan waits for more (see [JSONLines.Flush]).
type JSONLines struct {
	w       io.Writer
	pending []byte
	length  int64 // bytes of whole lines that w took
}

// NewJSONLines makes a sink that writes to w, whose output already has so many bytes.
// Where a write fails half-way and w can be truncated, the broken line is taken back.
func NewJSONLines(w io.Writer, length int64) *JSONLines {
	return &JSONLines{w: w, length: length}
}

const jsonBatch = 64 << 10 // bytes

func (j *JSONLines) Write(_ context.Context, s *scan.Service) error {
	whole := len(j.pending)
	var err error
	if j.pending, err = appendRecord(j.pending, s); err != nil {
		j.pending = j.pending[:whole]
		return err
	}
	j.pending = append(j.pending, '\n')
	if len(j.pending) >= jsonBatch {
		return j.Flush()
	}
	return nil
}

// Flush hands on what is pending.
func (j *JSONLines) Flush() error {
	if len(j.pending) == 0 {
		return nil
	}
	n, err := j.w.Write(j.pending)
	if err != nil {
		if f, ok := j.w.(interface{ Truncate(int64) error }); ok && n > 0 {
			f.Truncate(j.length) // best effort: the write's own error is what counts
		}
		return err
	}
	j.length += int64(n)
	j.pending = j.pending[:0]
	return nil
}

// Length is the length of the output in bytes, all lines written.
func (j *JSONLines) Length() (int64, error) {
	err := j.Flush()
	return j.length, err
}

func (j *JSONLines) Close() error { return j.Flush() }
