package probes

import (
	"bytes"
	"encoding/binary"
)

// taker takes a message in memory apart, field by field. Once something is missing it is
// short, and every method gives zero values: a parser asks once, at its end.
type taker struct {
	rest  []byte
	short bool
}

// bytes takes n bytes.
func (t *taker) bytes(n int) []byte {
	if n < 0 || n > len(t.rest) || t.short {
		t.short = true
		return nil
	}
	b := t.rest[:n:n]
	t.rest = t.rest[n:]
	return b
}

// until takes what stands before the first end, and end itself.
func (t *taker) until(end byte) []byte {
	i := bytes.IndexByte(t.rest, end)
	if i < 0 || t.short {
		t.short = true
		return nil
	}
	return t.bytes(i + 1)[:i]
}

func (t *taker) u8() int {
	if b := t.bytes(1); b != nil {
		return int(b[0])
	}
	return 0
}

// u16 and u32 take numbers in the given order: binary.BigEndian or binary.LittleEndian.
func (t *taker) u16(order binary.ByteOrder) int {
	if b := t.bytes(2); b != nil {
		return int(order.Uint16(b))
	}
	return 0
}

func (t *taker) u32(order binary.ByteOrder) uint32 {
	if b := t.bytes(4); b != nil {
		return order.Uint32(b)
	}
	return 0
}
