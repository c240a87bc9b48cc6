package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"strconv"
	"time"
)

// Transcript is the record of the conversations with one endpoint, as a text file that
// is readable in a review, exact to the byte and writable by hand:
//
//	# Dovecot 2.3.19, Debian bookworm
//	< +OK Dovecot ready.\r\n
//	> CAPA\r\n
//	! TLS 1.3 TLS_AES_128_GCM_SHA256 alpn=imap cert=dovecot.pem
//	~ 6.2s
//	. closed
//	= product Dovecot
//
// A line begins with what it is: '#' a note, '<' received, '>' sent, '!' TLS stands from
// here, '~' a silence worth keeping, '.' how the conversation ended, '=' what must be
// concluded. The rest, after one space, is text with escapes as in Go. '.' ends a
// conversation; what follows it is the next connection to the same endpoint.
//
// Goals: one currency of tests, bug reports and reports. Non-goals: timing to the
// millisecond, packets, the bytes of TLS.
type Transcript struct {
	Notes       []string
	Exchanges   []Exchange // one a connection
	Conclusions []string   // the '=' lines: "confirmed pop3", "product Dovecot"
}

// Exchange is one connection's part of a transcript.
type Exchange struct {
	Events []Event
	End    string // "left" or "closed" by us, or a failure: "read timeout", "handshake tls-alert 40"
}

// Event is one line of the protocol, or several that came together.
type Event struct {
	Mark byte // '<', '>', '!', '~'
	Data []byte
	TLS  *TLSState     // for '!'
	Wait time.Duration // for '~'
	Cert string        // for '!': the file of the chain, PEM, as written in the transcript
}

// worthKeeping is a silence that a reader wants to know of.
const worthKeeping = time.Second

// Exchange is what was said and heard until now.
func (c *Conversation) Exchange() Exchange {
	c.lent.Lock()
	defer c.lent.Unlock()
	var x Exchange
	heard, said := c.heard, c.said
	var last time.Duration
	for i, e := range c.record.events {
		if gap := e.at - last; e.kind == eventHeard && gap >= worthKeeping {
			x.Events = append(x.Events, Event{Mark: '~', Wait: gap.Round(100 * time.Millisecond)})
		}
		last = e.at
		n := int(e.bytes)
		switch e.kind {
		case eventHeard:
			if i > 0 && c.record.events[i-1].kind == eventHeard && len(x.Events) > 0 && x.Events[len(x.Events)-1].Mark == '<' {
				p := &x.Events[len(x.Events)-1] // pieces of one message are one message
				p.Data = p.Data[:len(p.Data)+n]
			} else {
				x.Events = append(x.Events, Event{Mark: '<', Data: heard[:n]})
			}
			heard = heard[n:]
		case eventSaid:
			x.Events = append(x.Events, Event{Mark: '>', Data: said[:n:n]})
			said = said[n:]
		case eventTLS:
			x.Events = append(x.Events, Event{Mark: '!', TLS: c.tls})
		}
	}
	if end := c.record.end - last; end >= worthKeeping && c.failure != nil && c.failure.Kind == Timeout {
		x.Events = append(x.Events, Event{Mark: '~', Wait: end.Round(100 * time.Millisecond)})
	}
	x.End = "left"
	if c.failure != nil && !c.record.left {
		x.End = string(c.failure.Op) + " " + string(c.failure.Kind)
		if c.failure.Kind == TLSAlert {
			x.End += " " + strconv.Itoa(int(c.failure.Alert))
		}
	}
	x.mask(c.secrets)
	return x
}

// FailedExchange is the record of a connection that never stood.
func FailedExchange(f *Failure) Exchange {
	return Exchange{End: string(f.Op) + " " + string(f.Kind)}
}

// PEM is the state's chain as a PEM file, nil without one.
func (s *TLSState) PEM() []byte {
	var out []byte
	for _, c := range s.Chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// NameCertificates gives each certificate chain in the transcript a file name, made of
// the leaf's SHA-256, and returns the files' contents by name.
func (t *Transcript) NameCertificates() map[string][]byte {
	files := map[string][]byte{}
	for x := range t.Exchanges {
		for i := range t.Exchanges[x].Events {
			e := &t.Exchanges[x].Events[i]
			if e.Mark != '!' || len(e.TLS.Chain) == 0 {
				continue
			}
			sum := sha256.Sum256(e.TLS.Chain[0].Raw)
			e.Cert = hex.EncodeToString(sum[:6]) + ".pem"
			files[e.Cert] = e.TLS.PEM()
		}
	}
	return files
}
