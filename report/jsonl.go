package report

import (
	"bufio"
	"context"
	"encoding/json"
	"io"

	"herald/scan"
)

// JSONLines writes a [Record] a line.
type JSONLines struct {
	w   *bufio.Writer
	enc *json.Encoder
}

// NewJSONLines makes a sink that writes to w. Lines are written as they come when flush
// is true, in large pieces otherwise.
func NewJSONLines(w io.Writer) *JSONLines {
	b := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	return &JSONLines{b, enc}
}

func (j *JSONLines) Write(_ context.Context, s *scan.Service) error {
	if err := j.enc.Encode(RecordOf(s)); err != nil {
		return err
	}
	return j.w.Flush()
}

func (j *JSONLines) Close() error { return j.w.Flush() }
