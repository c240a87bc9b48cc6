package fingerprint

import "math/bits"

// prefilter finds, in one pass over a text, the rules of a key whose literals occur in it.
// From each literal one window of at most four bytes, the rarest among the set's, is put into a
// hash table; the pass looks up the window at every position, and compares the whole literal
// where one is found. A table costs little to make, so it is made when the key is first used.
type prefilter struct {
	always []uint64 // bit set of rules without literals
	sizes  []table  // a table for each length of window in use
}

const window = 4

type table struct {
	length int      // of the windows, in bytes
	shift  uint     // of the hash, so that it fits slots
	filter []uint64 // one bit a hash: most positions end here
	slots  []slot   // open addressing
}

// slot is a window and the literals that have it.
type slot struct {
	key  uint32
	used bool
	uses []use
}

type use struct {
	rule    int32
	before  int32 // where in the literal the window stands
	literal string
}

// hash spreads a window over all 32 bits; the multiplier is 2³² divided by the golden ratio.
func hash(v uint32) uint32 { return v * 0x9E3779B1 }

func newPrefilter(rules []*rule) *prefilter {
	p := &prefilter{always: make([]uint64, (len(rules)+63)/64)}
	rarity := windowCounts(rules)
	bySize := [window + 1][]pick{}
	for i, r := range rules {
		place := rarest(r.need, rarity)
		if place == nil {
			p.always[i/64] |= 1 << (i % 64)
			continue
		}
		for _, literal := range place {
			offset, _ := rarestWindow(literal, rarity)
			n := min(len(literal), window)
			bySize[n] = append(bySize[n], pick{pack(literal[offset : offset+n]), use{int32(i), int32(offset), literal}})
		}
	}
	for n, picks := range bySize {
		if len(picks) > 0 {
			p.sizes = append(p.sizes, newTable(n, picks))
		}
	}
	return p
}

// counts tells about how many rules of a key share a window, by a hash of the window.
type counts [4096]uint16

func (c *counts) of(w string) *uint16 { return &c[hash(pack(w))>>20] }

func windowCounts(rules []*rule) *counts {
	c := new(counts) // 8 KiB: too much for the stack of a worker
	for _, r := range rules {
		for _, place := range r.need {
			for _, literal := range place {
				for i := 0; i+window <= len(literal); i++ {
					if n := c.of(literal[i : i+window]); *n < 1<<15 {
						*n++
					}
				}
			}
		}
	}
	return c
}

// shortCost is how common a literal is taken to be that is too short for a full window, by its
// length: measured on the built-in set, three letters are rarer in texts than " ESMTP ".
var shortCost = [window]int{1 << 20, 1 << 16, 1 << 10, 1 << 5}

// rarestWindow returns where in a literal its rarest window stands, and how common it is.
func rarestWindow(literal string, c *counts) (offset, common int) {
	if len(literal) < window {
		return 0, shortCost[len(literal)]
	}
	for i := 0; i+window <= len(literal); i++ {
		if n := int(*c.of(literal[i : i+window])); i == 0 || n < common {
			offset, common = i, n
		}
	}
	return offset, common
}

// rarest chooses the place of a rule that the fewest texts will have.
func rarest(need [][]string, c *counts) (best []string) {
	least := 0
	for _, place := range need {
		sum := 0
		for _, literal := range place {
			_, common := rarestWindow(literal, c)
			sum += common
		}
		if best == nil || sum < least {
			best, least = place, sum
		}
	}
	return best
}

func pack(w string) (v uint32) {
	for i := range len(w) {
		v = v<<8 | uint32(w[i])
	}
	return v
}

type pick struct {
	key uint32
	use use
}

func newTable(length int, picks []pick) table {
	size := max(bits.Len(uint(len(picks)*2)), 4) // at most half full
	t := table{length: length, shift: uint(32 - size), slots: make([]slot, 1<<size)}
	t.filter = make([]uint64, 1<<(size+3)/64)
	for _, p := range picks {
		h := hash(p.key)
		bit := h >> (t.shift - 3)
		t.filter[bit/64] |= 1 << (bit % 64)
		i := h >> t.shift
		for t.slots[i].used && t.slots[i].key != p.key {
			i = (i + 1) & uint32(len(t.slots)-1)
		}
		t.slots[i].key, t.slots[i].used = p.key, true
		t.slots[i].uses = append(t.slots[i].uses, p.use)
	}
	return t
}

// mark sets the bits of the rules that could match the text.
func (p *prefilter) mark(text []byte, found []uint64) {
	copy(found, p.always)
	for i := range p.sizes {
		p.sizes[i].mark(text, found)
	}
}

func (t *table) mark(text []byte, found []uint64) {
	mask := uint32(1)<<(8*t.length) - 1 // for four bytes 1<<32 is 0, and 0-1 is all ones
	var v uint32
	shift := t.shift - 3
	filter := t.filter
	for i, c := range text {
		v = v<<8 | uint32(lower[c])
		w := v & mask
		bit := hash(w) >> shift
		if filter[bit/64]&(1<<(bit%64)) != 0 && i+1 >= t.length {
			t.look(text, i+1-t.length, w, found)
		}
	}
}

// look compares the literals that have the window w at the position at.
func (t *table) look(text []byte, at int, w uint32, found []uint64) {
	for i := hash(w) >> t.shift; t.slots[i].used; i = (i + 1) & uint32(len(t.slots)-1) {
		if t.slots[i].key != w {
			continue
		}
		for _, u := range t.slots[i].uses {
			if found[u.rule/64]&(1<<(u.rule%64)) == 0 && hasFolded(text, at-int(u.before), u.literal) {
				found[u.rule/64] |= 1 << (u.rule % 64)
			}
		}
		return
	}
}

func hasFolded(text []byte, at int, literal string) bool {
	if at < 0 || at+len(literal) > len(text) {
		return false
	}
	for i, c := range text[at : at+len(literal)] {
		if lower[c] != literal[i] {
			return false
		}
	}
	return true
}
