package scan

import "math/bits"

// permutation is a reproducible order of the numbers below n: a Feistel network over the
// next even number of bits, walked on until it lands below n (Black and Rogaway, "Ciphers
// with Arbitrary Finite Domains", 2002). Any position can be asked for by itself, so that
// a shard is every so-manieth position and a scan resumes from a counter.
type permutation struct {
	n    uint64
	half uint // bits of one half
	keys [4]uint64
}

func newPermutation(n, seed uint64) permutation {
	p := permutation{n: n, half: uint(max(1, (bits.Len64(max(n, 2)-1)+1)/2))}
	for i := range p.keys {
		seed = mix(seed + 0x9e3779b97f4a7c15) // splitmix64's step (Steele, Lea, Flood, 2014)
		p.keys[i] = seed
	}
	return p
}

// at is the number at a position; both are below n.
func (p permutation) at(i uint64) uint64 {
	for {
		if i = p.round(i); i < p.n {
			return i
		}
	}
}

func (p permutation) round(i uint64) uint64 {
	mask := uint64(1)<<p.half - 1
	left, right := i>>p.half, i&mask
	for _, k := range p.keys {
		left, right = right, left^(mix(right^k)&mask)
	}
	return left<<p.half | right
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
