package wire

import "time"

type eventKind uint8

const (
	eventHeard eventKind = iota
	eventSaid
	eventTLS
)

// event is a stretch of the record: so many bytes of heard or of said.
type event struct {
	kind  eventKind
	bytes int32
	at    time.Duration // since dialling began
}

// record is the order of what happened; the bytes themselves lie in the conversation.
type record struct {
	events []event
	few    [12]event // most conversations need no more
	end    time.Duration
	left   bool // we closed, nothing failed
}

func (r *record) note(kind eventKind, n int, at time.Duration) {
	if r.events == nil {
		r.events = r.few[:0]
	}
	r.events = append(r.events, event{kind, int32(n), at})
}

// answered says whether the last word was the other side's.
func (r *record) answered() bool {
	return len(r.events) > 0 && r.events[len(r.events)-1].kind == eventHeard
}
