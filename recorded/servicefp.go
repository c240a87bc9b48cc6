package recorded

import (
	"strconv"
	"strings"
)

// answers are what a port answered to nmap's questions, by their names, in their order.
type answers []answer

type answer struct {
	question string
	text     []byte
}

func (a answers) to(question string) []byte {
	for _, one := range a {
		if one.question == question {
			return one.text
		}
	}
	return nil
}

// servicePrint reads a service fingerprint: a head and, for each answer,
// %r(question,length in hex,"answer"), folded by a line end and "SF:"
// (https://nmap.org/book/vscan-community.html). One that is cut gives what it has.
func servicePrint(s string) (all answers) {
	s = strings.NewReplacer("\r\nSF:", "", "\nSF:", "").Replace(s)
	for {
		_, rest, found := strings.Cut(s, "%r(")
		if !found {
			return all
		}
		question, rest, found := strings.Cut(rest, ",")
		if !found {
			return all
		}
		_, rest, found = strings.Cut(rest, `,"`)
		if !found {
			return all
		}
		text, after := quotedAnswer(rest)
		if len(text) > 0 {
			all = append(all, answer{question, text})
		}
		s = after
	}
}

// quotedAnswer reads up to the quotation mark that ends an answer.
func quotedAnswer(s string) (text []byte, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return text, s[i+1:]
		case '\\':
			c, n := escaped(s[i+1:])
			text = append(text, c...)
			i += n
		default:
			text = append(text, s[i])
		}
	}
	return text, ""
}

// escaped reads what follows a backslash: a letter as in C, \0, \xHH, or the character itself.
func escaped(s string) (c []byte, read int) {
	if s == "" {
		return []byte{'\\'}, 0
	}
	switch s[0] {
	case 'r':
		return []byte{'\r'}, 1
	case 'n':
		return []byte{'\n'}, 1
	case 't':
		return []byte{'\t'}, 1
	case '0':
		return []byte{0}, 1
	case 'x':
		if len(s) >= 3 {
			if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				return []byte{byte(n)}, 3
			}
		}
	}
	return []byte{s[0]}, 1
}

// unescapeBanner reads the output of the script "banner", which writes \xHH for what is
// not printable and leaves backslashes alone.
func unescapeBanner(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		out = append(out, s[i])
	}
	return out
}
