package scan

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"herald/probes"
)

// A honeypot may say the banner of every protocol at once, so that whoever looks for one
// finds it. No server speaks three protocols in one message.
const tooMany = 3

// doubtful is the most that a claim is worth there, of 100.
const doubtful = 10

// doubt says why what an endpoint said of itself may be made up, "" where nothing speaks
// for that.
func (s *Scanner) doubt(seen []*probes.Observation) string {
	for _, o := range seen {
		if spoken := s.spokenAtOnce(firstWords(o)); len(spoken) >= tooMany {
			return fmt.Sprintf("one message of it has the words of %s", strings.Join(spoken, ", "))
		}
	}
	return ""
}

// firstWords are the first that were heard on a connection.
func firstWords(o *probes.Observation) []byte {
	for _, e := range o.Exchange().Events {
		if e.Mark == '<' {
			return e.Data
		}
	}
	return nil
}

// spokenAtOnce are the protocols of which a message has a line that could be no other's.
func (s *Scanner) spokenAtOnce(words []byte) (protocols []string) {
	const longest, most = 2 << 10, 32 // bytes, lines
	lines := 0
	for line := range bytes.Lines(words[:min(len(words), longest)]) {
		if lines++; lines > most {
			break
		}
		var knows []string
		for _, p := range s.probes {
			if p.Recognize(line) >= probes.Sure {
				knows = append(knows, p.Info().Name)
			}
		}
		if len(knows) == 1 && !slices.Contains(protocols, knows[0]) {
			protocols = append(protocols, knows[0])
		}
	}
	return protocols
}
