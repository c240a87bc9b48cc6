package scan

import (
	"testing"

	"pgregory.net/rapid"
)

func TestPermutationIsABijection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 5000).Draw(t, "n")
		p := newPermutation(n, rapid.Uint64().Draw(t, "seed"))
		seen := make([]bool, n)
		for i := range n {
			v := p.at(i)
			if v >= n || seen[v] {
				t.Fatalf("position %d gives %d: beyond the end, or twice", i, v)
			}
			seen[v] = true
		}
	})
}

func TestPermutationOfLargeDomains(t *testing.T) {
	for _, n := range []uint64{1 << 32, 1<<48 - 1, 1<<62 + 12345} {
		p := newPermutation(n, 7)
		seen := map[uint64]bool{}
		for i := range uint64(2000) {
			v := p.at(i)
			if v >= n || seen[v] {
				t.Fatalf("of %d: position %d gives %d", n, i, v)
			}
			seen[v] = true
		}
	}
}

func TestPermutationSpreads(t *testing.T) {
	// Neighbours of a range must not be met one after the other.
	p := newPermutation(1<<16, 1)
	near := 0
	for i := range uint64(1000) {
		if a, b := p.at(i), p.at(i+1); max(a, b)-min(a, b) < 256 {
			near++
		}
	}
	if near > 30 { // 1000 × 512/65536 ≈ 8 by chance
		t.Errorf("%d of 1000 steps go to a neighbour", near)
	}
}

func FuzzPermutation(f *testing.F) {
	f.Add(uint64(10), uint64(1), uint64(3))
	f.Fuzz(func(t *testing.T, n, seed, i uint64) {
		n %= 1 << 63
		if n == 0 {
			return
		}
		if v := newPermutation(n, seed).at(i % n); v >= n {
			t.Fatalf("%d of %d", v, n)
		}
	})
}
