package report

import "unicode"

// printable refuses what moves the cursor, turns the direction of writing or hides:
// control characters, bidirectional marks, format characters, private use.
func printable(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp)
}
