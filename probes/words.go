package probes

import "bytes"

// firstLine is the first line of what was heard, without its line end; all of it where
// no line has ended yet.
func firstLine(heard []byte) []byte {
	if i := bytes.IndexByte(heard, '\n'); i >= 0 {
		heard = heard[:i]
	}
	return bytes.TrimSuffix(heard, []byte("\r"))
}

// firstWord is what stands before the first space or line end.
func firstWord(line []byte) []byte {
	for i, b := range line {
		if b == ' ' || b == '\r' || b == '\n' {
			return line[:i]
		}
	}
	return line
}

// containsWord says whether one of the words stands in the text, without regard to case
// and not as a part of a longer word.
func containsWord(text []byte, words ...string) bool {
	for _, w := range words {
		for rest := text; ; {
			i := indexFold(rest, w)
			if i < 0 {
				break
			}
			end := i + len(w)
			if (i == 0 || !isLetter(rest[i-1])) && (end == len(rest) || !isLetter(rest[end])) {
				return true
			}
			rest = rest[end:]
		}
	}
	return false
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// indexFold is bytes.Index without regard to the case of ASCII letters.
func indexFold(text []byte, word string) int {
	if len(word) == 0 {
		return 0
	}
	first := lower(word[0])
	for i := 0; i+len(word) <= len(text); i++ {
		if lower(text[i]) == first && equalFold(text[i:i+len(word)], word) {
			return i
		}
	}
	return -1
}

// equalFold is bytes.EqualFold for ASCII; both are of one length.
func equalFold(text []byte, word string) bool {
	for i := range text {
		if lower(text[i]) != lower(word[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		b |= 0x20
	}
	return b
}
