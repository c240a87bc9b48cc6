// Package probes speaks the protocols: one file for each, and the list of files is the
// list of protocols. A probe knows how to recognise a server's first words, asks the few
// questions that a polite client may ask before it has a user, and notes the answers as
// evidence. It does not know time, buffers, TLS settings or products.
//
// To add a protocol, write its file with a declaration
//
//	var NNTP = add(nntp{})
//
// its signatures (fingerprint/db) and a recorded transcript (testdata/nntp). The tests
// here walk the registry; no test is written for it.
package probes

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"herald/fingerprint"
	"herald/wire"
)

// Probe speaks one protocol.
type Probe interface {
	Info() *Info

	// Recognize says how much the unasked first words of a server look like this
	// protocol. It does no I/O, and is asked about bytes of any kind and length.
	Recognize(greeting []byte) Likeness

	// Converse holds the conversation from its beginning: what the server has said is
	// still unread. It notes evidence as it comes, sets Confirmed when the grammar held
	// through an exchange, and returns the failure that ended it early, or nil.
	// Returning [ErrOtherProtocol] (wrapped) or a failure of kind protocol before
	// Confirmed says: this is somebody else's.
	Converse(c *wire.Conversation, o *Observation) error
}

// Overhearer is a probe that knows its protocol by what such a server answers to a
// question of another one: Redis answers an HTTP request with an error of its own.
type Overhearer interface {
	// Overhear says how much an answer looks like this protocol. asked is the name of
	// the probe whose first message was answered.
	Overhear(asked string, answer []byte) Likeness
}

// Info is what is known of a probe without running it. It is data.
type Info struct {
	Name  string   // "pop3": stable, lower case, part of every output
	Title string   // "Post Office Protocol, version 3"
	Refs  []string // the standards it speaks: "RFC 1939"
	Ports []Port   // where it is usually found
	Keys  []Key    // the evidence that it notes
	Asks  bool     // the client speaks first: silence is the server's right

	// Formless says that anything may be its words: on its own ports it is heard where
	// nobody recognises them.
	Formless bool
}

// Port is a usual place of a protocol.
type Port struct {
	Number   uint16
	Security wire.Security // how a conversation begins there: Plain or TLS
}

// Key is a kind of evidence: the contract between the probe that asks and the signatures
// that read.
type Key struct {
	Name  string // "pop3.greeting"; a final ".*" stands for a name that the server chooses
	About string // what the text is, in a few words
}

// Likeness is how much bytes look like a protocol, 0 to 100.
type Likeness int

const (
	Unlike   Likeness = 0
	Possible Likeness = 30 // the form fits, and fits others too
	Likely   Likeness = 60 // form and a word of the protocol
	Sure     Likeness = 90 // no other protocol says this
)

// Observation is what one conversation taught.
type Observation struct {
	Probe     string                 // Info.Name, "" where no probe took part
	Protocol  string                 // where the answers showed a sibling of the probe's own protocol: its name; "" is Probe
	Security  wire.Security          // how the last words were protected
	Evidence  []fingerprint.Evidence // in the order heard
	Confirmed bool                   // the protocol's grammar held through an exchange
	Declined  bool                   // spoke the protocol only to turn us away: 421, 554, -ERR, * BYE
	Failure   *wire.Failure          // how it ended early, nil where we left
	TLS       *wire.TLSState         // nil in the clear

	Connection int // which connection to the endpoint it was, from 1; 0 outside a scan

	// Then names a probe that the answers suggest for a fresh connection to the same
	// endpoint, "" for none: a web server that refuses as a proxy would, and closes. The
	// observation of that connection has this one in After, so that both are judged together.
	Then  string
	After *Observation

	Recorded *wire.Exchange // the record of an observation that was not made here; nil for the conversation's own

	heard *wire.Conversation
	web   webAnswers // what the probes of HTTP heard, to judge by
}

// Speaks is the protocol that was found: Protocol, or the probe's name.
func (o *Observation) Speaks() string {
	if o.Protocol != "" {
		return o.Protocol
	}
	return o.Probe
}

// Exchange is the record of the conversation. It is made when it is asked for.
func (o *Observation) Exchange() wire.Exchange {
	if o.Recorded != nil {
		return *o.Recorded
	}
	if o.heard == nil {
		return wire.FailedExchange(o.Failure)
	}
	return o.heard.Exchange()
}

// Observe begins an observation of a conversation.
func Observe(c *wire.Conversation) *Observation {
	return &Observation{heard: c, Security: c.Security()}
}

// Note keeps the server's own words under a key, whole; only the final line end is cut.
// Bytes are kept as received. Nothing is noted for empty words.
func (o *Observation) Note(key string, text []byte) {
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return
	}
	if o.Evidence == nil {
		o.Evidence = make([]fingerprint.Evidence, 0, 6) // most conversations note no more
	}
	o.Evidence = append(o.Evidence, fingerprint.Evidence{Key: key, Text: text, TLS: o.heard != nil && o.heard.TLS() != nil})
}

// Text is the last evidence under a key, nil without.
func (o *Observation) Text(key string) []byte {
	for _, e := range slices.Backward(o.Evidence) {
		if e.Key == key {
			return e.Text
		}
	}
	return nil
}

// ErrOtherProtocol says that the conversation went well enough to see that the server
// speaks another protocol.
var ErrOtherProtocol = fmt.Errorf("another protocol")

var registry []Probe

// add registers a probe. A name given twice, or a key that does not begin with a name,
// is a defect that must not get past the first run.
func add[P Probe](p P) P {
	info := p.Info()
	if info.Name == "" || info.Title == "" {
		panic(fmt.Sprintf("probes: %T has no name or title", p))
	}
	if Named(info.Name) != nil {
		panic("probes: two probes are named " + info.Name)
	}
	registry = append(registry, p)
	return p
}

// All are the probes, sorted by name.
func All() []Probe {
	all := slices.Clone(registry)
	slices.SortFunc(all, func(a, b Probe) int { return strings.Compare(a.Info().Name, b.Info().Name) })
	return all
}

// Named is the probe of that name, nil where there is none.
func Named(name string) Probe {
	for _, p := range registry {
		if p.Info().Name == name {
			return p
		}
	}
	return nil
}
