package resolve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/miekg/dns"
)

// Recorder asks another once for each question and keeps the answers, so that what was
// concluded from them can be concluded again without a network: see [Recorded].
type Recorder struct {
	Of   Records
	Most int // questions that are asked; 0 is 1,000

	mu    sync.Mutex
	known map[string]*recording
}

type recording struct {
	done   chan struct{}
	answer Answer
}

func (r *Recorder) Lookup(ctx context.Context, name string, qtype uint16) Answer {
	n, t := question(name, qtype)
	key := n + " " + t
	r.mu.Lock()
	known, ok := r.known[key]
	if !ok {
		if most := cmp.Or(r.Most, 1000); len(r.known) >= most {
			r.mu.Unlock()
			return unasked(name, qtype, fmt.Sprintf("more than %d questions", most))
		}
		if r.known == nil {
			r.known = map[string]*recording{}
		}
		known = &recording{done: make(chan struct{})}
		r.known[key] = known
	}
	r.mu.Unlock()
	if !ok {
		known.answer = r.Of.Lookup(ctx, name, qtype)
		close(known.done)
	}
	<-known.done
	return known.answer
}

// Answers are all answers until now, by name and type.
func (r *Recorder) Answers() []Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Answer
	for _, k := range r.known {
		<-k.done
		list = append(list, k.answer)
	}
	slices.SortFunc(list, func(a, b Answer) int { return cmp.Or(compareNames(a.Name, b.Name), cmp.Compare(a.Type, b.Type)) })
	return list
}

// compareNames orders names as zones are: by their last label first (RFC 4034, 6.1).
func compareNames(a, b string) int {
	x, y := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(x)
	slices.Reverse(y)
	return slices.Compare(x, y)
}

// Recorded answers from saved answers, and nothing else.
type Recorded map[string]Answer

// NewRecorded takes the answers of a [Recorder].
func NewRecorded(answers []Answer) Recorded {
	r := Recorded{}
	for _, a := range answers {
		r[dns.CanonicalName(a.Name)+" "+a.Type] = a
	}
	return r
}

func (r Recorded) Lookup(_ context.Context, name string, qtype uint16) Answer {
	n, t := question(name, qtype)
	if a, ok := r[n+" "+t]; ok {
		return a
	}
	return unasked(name, qtype, "the saved facts have no answer to this question")
}
