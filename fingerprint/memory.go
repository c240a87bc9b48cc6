package fingerprint

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// memory is what texts gave that come again and again: most servers answer QUIT, HELP or a bad
// command in the words of their product alone, and many greet so. A text is kept when it comes
// a second time; where two want the same place, the later one has it. It is a cache and
// nothing more: who has it and who has it not conclude the same.
type memory struct {
	seed   maphash.Seed
	places [1 << 10]struct {
		last atomic.Uint64 // hash of the text that was here last and is not kept
		kept atomic.Pointer[remembered]
	}
}

// remembered is a text and its claims, which do not change.
type remembered struct {
	hash   uint64
	key    string
	text   []byte
	claims []Claim
}

// longestRemembered bounds what is kept, in bytes of a text.
const longestRemembered = 1 << 10

func newMemory() *memory { return &memory{seed: maphash.MakeSeed()} }

func (m *memory) hash(ev *Evidence) uint64 {
	return maphash.Bytes(m.seed, ev.Text) ^ maphash.String(m.seed, ev.Key)
}

// recall appends what the text gave; false where it is not known.
func (m *memory) recall(dst []Claim, h uint64, ev *Evidence) ([]Claim, bool) {
	r := m.places[h%uint64(len(m.places))].kept.Load()
	if r == nil || r.hash != h || r.key != ev.Key || !bytes.Equal(r.text, ev.Text) {
		return dst, false
	}
	return append(dst, r.claims...), true
}

// learn takes note of a text that is not known. Its claims are kept the second time.
func (m *memory) learn(h uint64, ev *Evidence, claims []Claim) {
	p := &m.places[h%uint64(len(m.places))]
	if p.last.Swap(h) == h {
		p.kept.Store(&remembered{h, ev.Key, bytes.Clone(ev.Text), slices.Clone(claims)})
	}
}
