package fingerprint

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync"
)

// needNoLiteral are the signatures that may go without a literal, each with the reason.
var needNoLiteral = map[string]string{
	"http-cf-ray":                           "only this product sends the header",
	"http-kbn-name":                         "only this product sends the header",
	"http-kbn-version":                      "only this product sends the header",
	"http-x-bluecoat-via":                   "only this product sends the header",
	"http-x-clickhouse-server-display-name": "only this product sends the header",
	"http-x-cocoon-version":                 "only this product sends the header",
	"http-x-confluence-request-time":        "only this product sends the header",
	"http-x-github-request-id":              "only this product sends the header",
	"http-x-hudson":                         "only this product sends the header",
	"http-x-iinfo":                          "only this product sends the header",
	"http-x-influxdb-version":               "only this product sends the header",
	"http-x-jenkins":                        "only this product sends the header",
	"http-x-kubernetes-pf-flowschema-uid":   "only this product sends the header",
	"http-x-owa-version":                    "only this product sends the header",
	"http-x-sucuri-id":                      "only this product sends the header",
	"http-x-syncthing-version":              "only this product sends the header",
	"http-x-transmission-session-id":        "only this product sends the header",
	"http-x-varnish":                        "only this product sends the header",
	"proxy-x-bluecoat-via":                  "only this product sends the header",
	"zabbix-version":                        "a whole answer in the protocol of this product",
}

// minLiteral is how long the literal must be that each match contains, in bytes.
const minLiteral = 2

func (c *checker) breadth(s *Signature) {
	need := literals(s.Match, s.form.alphabet())
	if needNoLiteral[s.ID] == "" && !slices.ContainsFunc(need, func(place []string) bool { return shortest(place) >= minLiteral }) {
		c.fault(s.Line, "no text of %d bytes or more that every match must contain: too broad", minLiteral)
	}
	prog, err := s.compile()
	if err != nil {
		return // told by Parse
	}
	for _, sample := range randomSamples() {
		if sample.mayMatch(need) && prog.re.Match(sample.text) {
			c.fault(s.Line, "matches random text, such as %s: too broad", quoted(sample.raw))
			return
		}
	}
}

// sample is a random text in the forms that matching needs.
type sample struct{ raw, text, folded []byte }

func (s sample) mayMatch(need [][]string) bool {
	for _, place := range need {
		if !slices.ContainsFunc(place, func(l string) bool { return bytes.Contains(s.folded, []byte(l)) }) {
			return false
		}
	}
	return true
}

var randomSamples = sync.OnceValue(func() (list []sample) {
	for _, raw := range randomTexts() {
		text, _ := latin1(raw)
		list = append(list, sample{raw, text, folded(raw)})
	}
	return list
})

func shortest(place []string) int {
	n := len(place[0])
	for _, s := range place {
		n = min(n, len(s))
	}
	return n
}

// randomTexts are texts that no server sends on purpose, some of them behind the codes with which
// replies begin. They are the same in every run.
func randomTexts() [][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	var list [][]byte
	for i := range 400 {
		text := []byte([]string{"", "220 ", "+OK ", "* OK ", "200 ", "SSH-2.0-", "HTTP/1.1 200 ", ""}[i%8])
		for range 8 + random.IntN(60) {
			if i%3 == 0 {
				text = append(text, byte(random.IntN(256)))
			} else {
				text = append(text, byte(' '+random.IntN('~'-' ')))
			}
		}
		list = append(list, text)
	}
	return list
}
