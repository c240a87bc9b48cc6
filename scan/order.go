package scan

import (
	"slices"

	"herald/fingerprint"
	"herald/probes"
)

// candidate is a probe with how likely it is to be the right one.
type candidate struct {
	probe probes.Probe
	like  probes.Likeness
}

const (
	hinted      = 15 // added where the port or the user promises the protocol: breaks ties, does not outweigh words
	bySignature = 35 // added where a signature knows the greeting as the protocol's: a name outweighs the form
)

// recognise ranks the probes by what a server said. asked is the probe whose question
// was answered, "" for unasked words.
func (s *Scanner) recognise(words []byte, asked string, promised []Expected) []candidate {
	var ranked []candidate
	for _, p := range s.probes {
		like := p.Recognize(words)
		if over, ok := p.(probes.Overhearer); ok && asked != "" {
			like = max(like, over.Overhear(asked, words))
		}
		if like == probes.Unlike && asked == "" && p.Info().Formless && promises(promised, p.Info().Name) {
			like = 1 // behind everybody who knows the words
		}
		if like == probes.Unlike {
			continue
		}
		if promises(promised, p.Info().Name) {
			like += hinted
		}
		ranked = append(ranked, candidate{p, like})
	}
	if len(ranked) > 1 {
		for i := range ranked {
			if ranked[i].like < probes.Likely && s.known(ranked[i].probe, words) {
				ranked[i].like += bySignature
			}
		}
	}
	slices.SortStableFunc(ranked, func(a, b candidate) int { return int(b.like) - int(a.like) })
	return ranked
}

// promisedIn is the promised probe that takes the words for its protocol's with a word or form
// of its own; nil for none. It need not be compared with the others: the conversation will
// tell, and if it does not, they are asked.
func (w *walk) promisedIn(words []byte) probes.Probe {
	for _, e := range w.service.Expected {
		if p := w.byName[e.Protocol]; p != nil && p.Recognize(words) >= probes.Likely {
			return p
		}
	}
	return nil
}

// known says whether a signature takes the words for a greeting of the probe's protocol.
func (s *Scanner) known(p probes.Probe, words []byte) bool {
	greeting := fingerprint.Evidence{Key: p.Info().Name + ".greeting", Text: trimLineEnd(words)}
	return len(s.signatures.Append(nil, greeting)) > 0
}

func trimLineEnd(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

func promises(promised []Expected, protocol string) bool {
	return slices.ContainsFunc(promised, func(e Expected) bool { return e.Protocol == protocol })
}

// guesses are the questions for a port that tells nothing, in their order: by how many
// servers speak the protocol, and by how many *other* protocols answer its first message
// recognisably. HTTP comes first on both counts; a ClientHello is the second; "line" is a
// bare HELP, which the text protocols that close on an HTTP request answer. What is not
// here is only asked where a port or the user promises it: because it is rare, or because
// a stranger's question could do harm there (printers, machines, remote shells).
// docs/probing.md has the counts behind the order.
var guesses = []string{
	"http", "line", "ldap", "dns", "smb", "mqtt", "socks5", "postgresql", "x11", "mongodb", "mssql", "rdp", "socks4",
}

// rarely are asked last, of servers that hung up on all the others: there a question more
// takes no time, while a port that says nothing has used up its own by then. What a
// stranger's question could harm is not among them.
var rarely = []string{"git", "epmd", "stomp", "zabbix", "milter"}
