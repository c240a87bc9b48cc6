package fingerprint

import (
	"fmt"
	"math/bits"
	"sync"
	"unicode/utf8"
)

// maxText bounds what is matched of a text, in bytes.
const maxText = 64 << 10

// search is the rules that read one key in one form, in order. A key has more than one only where
// signatures of recog want its text in another form than ours.
type search struct {
	form     form
	rules    []*rule // see all
	filter   *prefilter
	sections []section // compiled, of which rules are made
	decoding sync.Once
	using    sync.Once
}

// all are the rules; those of a compiled set are decoded when they are first asked for.
func (k *search) all() []*rule {
	k.decoding.Do(func() {
		for i := range k.sections {
			rules, err := k.sections[i].decode()
			if err != nil {
				panic(fmt.Sprintf("%s: %v: run go generate ./fingerprint", k.sections[i].file, err)) // the build is broken; a test holds it
			}
			k.rules = append(k.rules, rules...)
		}
		k.sections = nil
	})
	return k.rules
}

func (k *search) prefilter() *prefilter {
	k.using.Do(func() { k.filter = newPrefilter(k.all()) })
	return k.filter
}

// reading is a text as it was sent (or rather in the form that a search wants), and the same with
// each byte as the character of its number, which is what patterns read.
type reading struct{ raw, text []byte }

// each calls do for the rules that speak: the first that matches, and all that only add.
func (s *Set) each(key string, sent []byte, do func(*rule, *program, reading, []int)) {
	sent = sent[:min(len(sent), maxText)]
	decided := false
	for _, k := range s.searches[key] {
		raw := k.form.of(sent)
		text, buffer := k.form.decode(raw)
		decided = k.each(reading{raw, text}, decided, do)
		if buffer != nil {
			buffers.Put(buffer)
		}
	}
}

func (k *search) each(t reading, decided bool, do func(*rule, *program, reading, []int)) bool {
	filter := k.prefilter()
	var small [12]uint64 // 768 rules of one key; beyond, an allocation
	found := small[:]
	if words := (len(k.rules) + 63) / 64; words > len(small) {
		found = make([]uint64, words)
	}
	filter.mark(t.raw, found)
	for i, w := range found {
		for ; w != 0; w &= w - 1 {
			r := k.rules[i*64+bits.TrailingZeros64(w)]
			if decided && !r.Adds {
				continue
			}
			p := r.program()
			if p == nil {
				continue
			}
			if m := p.re.FindSubmatchIndex(t.text); m != nil {
				do(r, p, t, m)
				decided = decided || !r.Adds
			}
		}
	}
	return decided
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// latin1 returns the text with each byte as the character of its number. ASCII is returned as
// it is; otherwise the buffer is to be put back when the text is done with.
func latin1(raw []byte) (text []byte, buffer *[]byte) {
	if isASCII(raw) {
		return raw, nil
	}
	buffer = buffers.Get().(*[]byte)
	text = (*buffer)[:0]
	for _, c := range raw {
		text = utf8.AppendRune(text, rune(c))
	}
	*buffer = text
	return text, buffer
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
