package probes

import (
	"bytes"
	"html"

	"golang.org/x/net/html/charset"
)

// pageTitle is the text of an HTML page's title: entities decoded, white space folded,
// UTF-8. It is nil where there is none, or where its end was not received.
func pageTitle(page, contentType []byte) []byte {
	start := indexTag(page, "title")
	if start < 0 {
		return nil
	}
	open := bytes.IndexByte(page[start:], '>')
	if open < 0 {
		return nil
	}
	text := page[start+open+1:]
	end := indexTag(text, "/title")
	if end < 0 {
		return nil
	}
	return readable(text[:end], page, contentType)
}

// readable decodes text of a page: its character set, its entities, its white space.
func readable(text, page, contentType []byte) []byte {
	if !isASCII(text) {
		encoding, _, _ := charset.DetermineEncoding(page, string(contentType))
		if decoded, err := encoding.NewDecoder().Bytes(text); err == nil {
			text = decoded
		}
	}
	if bytes.IndexByte(text, '&') >= 0 {
		text = []byte(html.UnescapeString(string(text)))
	}
	return bytes.Join(bytes.Fields(text), []byte(" "))
}

func isASCII(text []byte) bool {
	for _, b := range text {
		if b >= 0x80 {
			return false
		}
	}
	return true
}

// indexTag finds "<name" without regard to case, where the name ends there; -1 without.
func indexTag(page []byte, name string) int {
	for from := 0; ; {
		i := bytes.IndexByte(page[from:], '<')
		if i < 0 {
			return -1
		}
		from += i
		rest := page[from+1:]
		if len(rest) > len(name) && bytes.EqualFold(rest[:len(name)], []byte(name)) {
			if b := rest[len(name)]; b == '>' || b == '/' || b <= ' ' {
				return from
			}
		}
		from++
	}
}
