package fingerprint

import "strings"

// cpeName completes a product's "cpe:2.3:part:vendor:product" with a version; the seven
// attributes behind it are "any". NISTIR 7695, section 6.2 (formatted string binding).
func cpeName(product, version string) string {
	return product + ":" + cpeValue(version) + ":*:*:*:*:*:*:*"
}

// anyVersion is the end of a CPE name that tells a product and nothing else.
const anyVersion = ":*:*:*:*:*:*:*:*"

// cpeValue binds one attribute value: letters in lower case as NVD writes them, white space as
// "_", signs other than "-", "." and "_" after a backslash. Nothing becomes "*" (any), and so
// does a value that the name cannot express, having bytes beyond printable ASCII.
func cpeValue(v string) string {
	v = strings.TrimSpace(v)
	if v == "" {
		return "*"
	}
	if v == "-" { // alone it would mean "not applicable"
		return `\-`
	}
	var out strings.Builder
	for i := range len(v) {
		switch c := v[i]; {
		case c == ' ':
			out.WriteByte('_')
		case c < '!' || c > '~':
			return "*"
		case c >= 'A' && c <= 'Z':
			out.WriteByte(c + 'a' - 'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
			out.WriteByte(c)
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
	}
	return out.String()
}

// splitCPE splits a formatted string at its colons, those after a backslash aside.
func splitCPE(s string) []string {
	var fields []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ':':
			fields = append(fields, s[start:i])
			start = i + 1
		}
	}
	return append(fields, s[start:])
}
