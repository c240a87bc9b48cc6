package recorded

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"unicode"
	"unicode/utf8"

	"herald/fingerprint"
	"herald/scan"
	"herald/wire"
)

// hearer leads words of which the protocol is not known through the walk of a scan, as if
// a server had said them: the probes know their own.
type hearer struct{ options scan.Options }

// recordedAddress stands for every server; some protocols say the address.
var recordedAddress = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// greeting takes words for what a server says unasked. A port, where it is known, breaks
// ties as it does in a scan.
func (h *hearer) greeting(words []byte, port uint16) Item {
	if len(bytes.TrimSpace(words)) == 0 {
		return Item{}
	}
	ends := []string{""}
	if words[len(words)-1] != '\n' && isText(words) {
		ends = []string{"\r\n", "\n"} // cut where it was written down
	}
	for _, end := range ends {
		s := h.walk(scan.Target{Port: port}, wire.Event{Mark: '<', Data: append(bytes.Clone(words), end...)})
		promised := slices.ContainsFunc(s.Expected, func(e scan.Expected) bool { return e.Protocol == protocolOf(s.Evidence()) })
		if s.Protocol != "" || promised || s.Claim("product") != "" {
			return Item{Protocol: s.Protocol, Heard: s.Evidence()}
		}
	}
	return Item{Heard: note(nil, "tcp.greeting", words)} // nobody's, or more than one protocol greets so
}

// answer takes words for the answer to a question of a protocol, by its probe's name.
func (h *hearer) answer(protocol string, words []byte) Item {
	if len(words) == 0 {
		return Item{}
	}
	s := h.walk(scan.Target{Protocol: protocol}, wire.Event{Mark: '>'}, wire.Event{Mark: '<', Data: words})
	return Item{Protocol: s.Protocol, Heard: s.Evidence()}
}

func (h *hearer) walk(t scan.Target, events ...wire.Event) *scan.Service {
	t.Host, t.Addr = recordedAddress.String(), recordedAddress
	return scan.Heard(context.Background(), h.options, &wire.Transcript{Exchanges: []wire.Exchange{{Events: events, End: "read closed"}}}, t)
}

// isText says whether words are lines of text, rather than a message of another form.
func isText(words []byte) bool {
	for len(words) > 0 {
		r, n := utf8.DecodeRune(words)
		if r == utf8.RuneError && n == 1 {
			r = rune(words[0]) // Latin-1
		}
		if unicode.IsControl(r) && r != '\r' && r != '\n' && r != '\t' {
			return false
		}
		words = words[n:]
	}
	return true
}

// without leaves out what a record can not tell.
func without(key string, all []fingerprint.Evidence) []fingerprint.Evidence {
	var kept []fingerprint.Evidence
	for _, e := range all {
		if e.Key != key {
			kept = append(kept, e)
		}
	}
	return kept
}
