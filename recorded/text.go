package recorded

import (
	"fmt"

	"herald/fingerprint"
	"herald/wire"
)

// text reads a line that is what a server said.
func (d *reader) text(line []byte) {
	words, err := wire.Unescape(string(line))
	if err != nil {
		d.bad(fmt.Errorf(`%w; a backslash itself is written \\`, err))
		return
	}
	d.give(d.said(d.options.Key, words))
}

// said is an item of one text; without a key it is a greeting.
func (d *reader) said(key string, words []byte) Item {
	if key == "" {
		return d.hear.greeting(words, 0)
	}
	return Item{Heard: note(nil, key, words)}
}

// note adds evidence as the probes do: without the final line end, and nothing for nothing.
func note(to []fingerprint.Evidence, key string, text []byte) []fingerprint.Evidence {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	if len(text) == 0 {
		return to
	}
	return append(to, fingerprint.Evidence{Key: key, Text: text})
}
