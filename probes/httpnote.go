package probes

import (
	"bytes"
	"slices"
	"strings"
)

// noteResponse notes an answer under "http" or "proxy".
func noteResponse(o *Observation, under string, r *response) {
	keys := &webKeys[0]
	if under == "proxy" {
		keys = &webKeys[1]
	}
	o.Evidence = slices.Grow(o.Evidence, len(r.Fields)+6) // fields, and what is made of them
	o.Note(keys.status, r.Line)
	names := make([]byte, 0, 256)
	for _, f := range r.Fields {
		if len(names) > 0 {
			names = append(names, ',')
		}
		names = append(names, f.Name...)
		o.Note(keys.header(f.Name), f.Value)
		switch {
		case bytes.EqualFold(f.Name, []byte("Set-Cookie")) && under == "http":
			// RFC 6265, 4.1.1: name=value, then attributes
			name, _, _ := bytes.Cut(f.Value, []byte("="))
			o.Note("http.cookie", bytes.TrimSpace(name))
		case bytes.EqualFold(f.Name, []byte(keys.challenge)):
			for _, realm := range realms(f.Value) {
				o.Note(keys.realm, realm)
			}
		}
	}
	o.Note(keys.headers, names)
	if under == "http" {
		for _, line := range r.Broken {
			o.Note("http.malformed", line)
		}
		o.Note("http.location", r.field("Location"))
	}
	o.Note(keys.title, pageTitle(r.Body[:min(len(r.Body), bodyKept)], r.field("Content-Type")))
	o.Note(keys.body, r.Body[:min(len(r.Body), bodyKept)])
}

// keysOf are the keys of answers, spelled once: most fields are the same everywhere.
type keysOf struct {
	status, headers, title, realm, body string
	challenge                           string // the field that has the realm
	prefix                              string
	known                               map[string]string // a field's name in lower case: its key
}

var webKeys = [2]keysOf{keysUnder("http", "WWW-Authenticate"), keysUnder("proxy", "Proxy-Authenticate")}

func keysUnder(under, challenge string) keysOf {
	k := keysOf{
		status: under + ".status", headers: under + ".headers", title: under + ".title", realm: under + ".realm",
		body: under + ".body", challenge: challenge, prefix: under + ".header.", known: map[string]string{},
	}
	for _, name := range strings.Fields(`accept-ranges age allow cache-control connection content-encoding
		content-language content-length content-security-policy content-type date etag expires keep-alive
		last-modified link location mime-version p3p permissions-policy pragma proxy-agent proxy-authenticate
		proxy-connection referrer-policy retry-after server set-cookie strict-transport-security
		transfer-encoding upgrade vary via www-authenticate x-cache x-cache-lookup x-content-type-options
		x-frame-options x-powered-by x-request-id x-xss-protection`) {
		k.known[name] = k.prefix + name
	}
	return k
}

// header is the key of a field.
func (k *keysOf) header(name []byte) string {
	var lower [40]byte
	if len(name) > len(lower) {
		return k.prefix + strings.ToLower(string(name))
	}
	for i, b := range name {
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		lower[i] = b
	}
	if key, ok := k.known[string(lower[:len(name)])]; ok {
		return key
	}
	return k.prefix + string(lower[:len(name)])
}

// realms are the values of realm parameters in a list of challenges (RFC 9110, 11.6.1 and
// 11.5), quotes and backslashes undone.
func realms(challenges []byte) [][]byte {
	var found [][]byte
	for rest := challenges; ; {
		i := indexOutsideQuotes(rest, "realm")
		if i < 0 {
			return found
		}
		starts := i == 0 || rest[i-1] == ' ' || rest[i-1] == ',' || rest[i-1] == '\t'
		rest = rest[i+len("realm"):]
		value := bytes.TrimLeft(rest, " \t")
		if !starts || len(value) == 0 || value[0] != '=' {
			continue
		}
		value = bytes.TrimLeft(value[1:], " \t")
		if len(value) == 0 || value[0] != '"' {
			token := value
			if end := bytes.IndexAny(token, ", \t"); end >= 0 {
				token = token[:end]
			}
			found = append(found, token)
			rest = value[len(token):]
			continue
		}
		text, length := unquote(value)
		found = append(found, text)
		rest = value[length:]
	}
}

// unquote reads a quoted string (RFC 9110, 5.6.4) at the beginning of text, and says how
// many bytes it takes. One that is never closed ends with the text.
func unquote(text []byte) (value []byte, length int) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return value, i + 1
		case '\\':
			if i++; i < len(text) {
				value = append(value, text[i])
			}
		default:
			value = append(value, text[i])
		}
	}
	return value, len(text)
}

// indexOutsideQuotes finds a word that does not stand in a quoted string, without regard
// to case; -1 without.
func indexOutsideQuotes(text []byte, word string) int {
	for i := 0; i < len(text); {
		if text[i] == '"' {
			_, length := unquote(text[i:])
			i += length
			continue
		}
		if i+len(word) <= len(text) && bytes.EqualFold(text[i:i+len(word)], []byte(word)) {
			return i
		}
		i++
	}
	return -1
}
