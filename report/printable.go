package report

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printable refuses what moves the cursor, turns the direction of writing or hides:
// control characters, bidirectional marks, format characters, private use.
func printable(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp)
}

// appendSafe appends JSON text in which every character that is not printable stands as
// \u, so that whoever looks at the lines in a terminal sees them as they are. RFC 8259, 7
// asks that only of those below U+0020; beyond are DEL, the C1 controls (a terminal's
// CSI in one character), and the marks that turn the direction of writing.
func appendSafe(to, json []byte) []byte {
	from := 0
	for i := 0; i < len(json); {
		if json[i] < 0x7f { // below U+0020 stands only what indents: inside strings JSON escapes it
			i++
			continue
		}
		r, n := utf8.DecodeRune(json[i:])
		if !printable(r) {
			to = append(to, json[from:i]...)
			from = i + n
			if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
				to = appendUnit(to, high)
				r = low
			}
			to = appendUnit(to, r)
		}
		i += n
	}
	return append(to, json[from:]...)
}

// appendUnit appends \u and the four digits of a UTF-16 unit.
func appendUnit(to []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(to, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}

// SafeJSON returns a writer for a JSON encoder: what is not printable is escaped on its way
// to w, as in [JSONLines]. Each Write must have whole characters, as those of an encoder.
func SafeJSON(w io.Writer) io.Writer { return safeJSON{w} }

type safeJSON struct{ w io.Writer }

func (s safeJSON) Write(text []byte) (int, error) {
	if _, err := s.w.Write(appendSafe(nil, text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// Printable is a stranger's text made safe for a terminal: control characters and bytes
// that are no UTF-8 are written as Go escapes, and it is cut to so many characters.
func Printable(s string, most int) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n >= most {
			b.WriteString("…")
			break
		}
		switch {
		case r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case !printable(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		n++
	}
	return b.String()
}
