package fingerprint

import (
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
)

// maxNear bounds the text that follow looks at, in bytes: it is for people, not for speed.
const maxNear = 4 << 10

// follow tells how far a pattern goes along with a text that it does not match: the bytes
// [start, end) that it took, and what it wanted next ("" where that cannot be said shortly).
func follow(pattern string, raw []byte) (start, end int, wanted string) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, 0, ""
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, 0, ""
	}
	w := walker{prog: prog, raw: raw[:min(len(raw), maxNear)]}
	return w.walk()
}

// walker runs all threads of a program at once, as RE2 does, and remembers the longest.
type walker struct {
	prog    *syntax.Prog
	raw     []byte
	threads map[uint32]int // instruction to the earliest start of a thread that waits there
	blocked map[string]int // conditions that stopped a thread here, to its start
}

func (w *walker) walk() (start, end int, wanted string) {
	best := -1
	next := map[uint32]int{}
	anchored := w.prog.StartCond()&syntax.EmptyBeginText != 0
	for pos := 0; ; pos++ {
		w.threads, w.blocked = map[uint32]int{}, map[string]int{}
		for pc, from := range next {
			w.add(pc, from, pos, 0)
		}
		if pos == 0 || !anchored {
			w.add(uint32(w.prog.Start), pos, pos, 0)
		}
		if from, any := w.earliest(); any && pos-from > best {
			best, start, end = pos-from, from, pos
			wanted = w.wanted(from)
		}
		if pos == len(w.raw) || anchored && len(w.threads) == 0 {
			return start, end, wanted
		}
		clear(next)
		for pc, from := range w.threads {
			in := &w.prog.Inst[pc]
			if in.MatchRune(rune(w.raw[pos])) {
				if old, there := next[in.Out]; !there || from < old {
					next[in.Out] = from
				}
			}
		}
	}
}

// add follows the instructions that read nothing, up to those that read.
func (w *walker) add(pc uint32, from, pos int, depth int) {
	if old, there := w.threads[pc]; there && old <= from || depth > 10_000 {
		return
	}
	in := &w.prog.Inst[pc]
	w.threads[pc] = from
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		w.add(in.Out, from, pos, depth+1)
		w.add(in.Arg, from, pos, depth+1)
	case syntax.InstCapture, syntax.InstNop:
		w.add(in.Out, from, pos, depth+1)
	case syntax.InstEmptyWidth:
		if need := syntax.EmptyOp(in.Arg); need&^w.conditions(pos) == 0 {
			w.add(in.Out, from, pos, depth+1)
		} else if need&(syntax.EmptyEndText|syntax.EmptyEndLine) != 0 {
			w.blocked["the end"] = from
		}
	}
}

func (w *walker) conditions(pos int) syntax.EmptyOp {
	before, after := rune(-1), rune(-1)
	if pos > 0 {
		before = rune(w.raw[pos-1])
	}
	if pos < len(w.raw) {
		after = rune(w.raw[pos])
	}
	return syntax.EmptyOpContext(before, after)
}

func reads(in *syntax.Inst) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return true
	}
	return false
}

func (w *walker) earliest() (from int, any bool) {
	consider := func(f int) {
		if !any || f < from {
			from, any = f, true
		}
	}
	for pc, f := range w.threads {
		if reads(&w.prog.Inst[pc]) {
			consider(f)
		}
	}
	for _, f := range w.blocked {
		consider(f)
	}
	return from, any
}

// wanted names what the longest threads wait for: literals first, the longest first.
func (w *walker) wanted(from int) string {
	var texts []string
	for pc, f := range w.threads {
		if f != from || !reads(&w.prog.Inst[pc]) {
			continue
		}
		if lit := w.literalAt(pc); lit != "" {
			texts = append(texts, strconv.Quote(lit))
		}
	}
	for condition, f := range w.blocked {
		if f == from {
			texts = append(texts, condition)
		}
	}
	slices.SortFunc(texts, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return strings.Join(texts[:min(len(texts), 3)], " or ")
}

// literalAt reads the single characters that must follow from an instruction on.
func (w *walker) literalAt(pc uint32) string {
	var out strings.Builder
	for out.Len() < maxLiteral {
		in := &w.prog.Inst[pc]
		switch {
		case in.Op == syntax.InstCapture || in.Op == syntax.InstNop:
		case in.Op == syntax.InstRune1 || in.Op == syntax.InstRune && len(in.Rune) == 1:
			out.WriteRune(in.Rune[0])
		default:
			return out.String()
		}
		pc = in.Out
	}
	return out.String()
}
