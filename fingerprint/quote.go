package fingerprint

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// quoted shows a text in one line as double quotes in YAML would, its end left out where it is long.
func quoted(b []byte) string {
	const most = 100
	shown := b[:min(len(b), most)]
	var out strings.Builder
	for _, c := range shown {
		if c < utf8.RuneSelf {
			out.WriteString(quotedByte(c))
		} else {
			fmt.Fprintf(&out, `\x%02x`, c)
		}
	}
	if len(shown) < len(b) {
		return `"` + out.String() + `"…`
	}
	return `"` + out.String() + `"`
}

func quotedByte(c byte) string {
	q := strconv.QuoteToASCII(string(rune(c)))
	return q[1 : len(q)-1]
}
