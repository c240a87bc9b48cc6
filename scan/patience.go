package scan

import (
	"context"
	"time"

	"herald/wire"
)

// mostPauses bounds how often a worker waits for this machine to have a port, a file or memory
// again; firstRest is the first wait, and each is twice the one before: 3 s in all.
const (
	mostPauses = 6
	firstRest  = 50 * time.Millisecond
)

// lookPatiently is Look, for an endpoint that is to be told about: where this machine has run
// out of ports, files or memory, the worker rests and tries again. While it rests it holds
// nothing, so that the others come to an end, and the scan gets as slow as the machine can
// bear. What is still impossible then is reported as untried, never as closed.
func (s *Scanner) lookPatiently(ctx context.Context, w *work) *Service {
	rest := firstRest
	for range mostPauses {
		found := s.look(ctx, &w.target, &w.endpoint)
		if found.Verdict != Untried || found.Failure == nil || found.Failure.Kind != wire.Exhausted {
			return found
		}
		select {
		case <-ctx.Done():
			return found
		case <-time.After(rest):
		}
		rest *= 2
	}
	return s.look(ctx, &w.target, &w.endpoint)
}
