package wire

import (
	"bytes"
	"time"
)

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

// Hide masks a secret in whatever is recorded of this conversation, said or heard, before
// or after. Empty ones hide nothing.
func (c *Conversation) Hide(secrets ...[]byte) {
	for _, s := range secrets {
		if len(s) > 0 {
			c.secrets = append(c.secrets, bytes.Clone(s))
		}
	}
}

// Masked is what stands for a secret in a record.
const Masked = "<masked>"

// mask hides secrets in a record.
func (x *Exchange) mask(secrets [][]byte) {
	for i := range x.Events {
		for _, s := range secrets {
			if bytes.Contains(x.Events[i].Data, s) {
				x.Events[i].Data = bytes.ReplaceAll(x.Events[i].Data, s, []byte(Masked))
			}
		}
	}
}
