package probes

import (
	"bytes"
	"strconv"
	"time"

	"herald/wire"
)

// LDAP reads the root DSE, the entry in which a directory server describes itself to
// everybody (RFC 4512, 5.1), and follows StartTLS where that is offered. It never binds.
var LDAP = add(ldap{})

type ldap struct{}

var ldapInfo = Info{
	Name:  "ldap",
	Title: "Lightweight Directory Access Protocol",
	Refs:  []string{"RFC 4511", "RFC 4512"},
	Ports: []Port{{389, wire.Plain}, {636, wire.TLS}, {3268, wire.Plain}, {3269, wire.TLS}},
	Keys: []Key{
		{"ldap.result", "code and diagnostic text of the search's end: \"0 \""},
		{"ldap.notice", "code and diagnostic text of a notice of disconnection"},
		{"ldap.*", "a value of an attribute of the root DSE, under the attribute's name in lower case; one evidence each"},
	},
	Asks: true,
}

// ldapWanted are the attributes that tell the product, and what it offers.
var ldapWanted = []string{
	"objectClass", "structuralObjectClass", "vendorName", "vendorVersion", "supportedLDAPVersion",
	"supportedSASLMechanisms", "supportedExtension", "namingContexts", "configContext", "monitorContext",
	"dnsHostName", "serverName", "domainControllerFunctionality", "forestFunctionality", "isGlobalCatalogReady",
	"ibmdirectoryversion", "dsaVersion", "apacheds", "orcldirectoryversion",
}

const (
	ldapStartTLS   = "1.3.6.1.4.1.1466.20037" // RFC 4511, 4.14.1
	ldapDisconnect = "1.3.6.1.4.1.1466.20036" // RFC 4511, 4.4.1
)

// Tags of messages (RFC 4511, 4.2 to 4.14).
const (
	ldapSearchRequest    = 0x63
	ldapSearchEntry      = 0x64
	ldapSearchDone       = 0x65
	ldapSearchReference  = 0x73
	ldapExtendedRequest  = 0x77
	ldapExtendedResponse = 0x78
	ldapUnbindRequest    = 0x42
)

func (ldap) Info() *Info { return &ldapInfo }

func (ldap) Recognize(words []byte) Likeness {
	if m, ok := parseLDAP(words); ok && m.number == 0 && m.tag == ldapExtendedResponse && bytes.Contains(m.body, []byte(ldapDisconnect)) {
		return Sure
	}
	return Unlike
}

func (l ldap) Overhear(_ string, answer []byte) Likeness { return l.Recognize(answer) }

func (ldap) Converse(c *wire.Conversation, o *Observation) error {
	tls, err := ldapRootDSE(c, o)
	if err != nil || !o.Confirmed {
		return err
	}
	if tls && c.TLS() == nil && !c.Manners().NoUpgrade {
		if err := ldapUpgrade(c); err != nil {
			return err
		}
	}
	return c.Say(ldapMessage(3, ldapUnbindRequest, nil))
}

// ldapUpgrade asks for StartTLS. slapd refuses with operationsError while it still counts
// the search as under way (RFC 4511, 4.14.1), for which the answer is to ask again.
func ldapUpgrade(c *wire.Conversation) error {
	const (
		attempts        = 3
		operationsError = 1
		settles         = 100 * time.Millisecond // for the server to be done with the search
	)
	for n := range attempts {
		if err := c.Say(ldapMessage(byte(2+2*n), ldapExtendedRequest, berValue(0x80, []byte(ldapStartTLS)))); err != nil {
			return err
		}
		m, err := readLDAP(c)
		if err != nil {
			return err
		}
		code, _, ok := m.result()
		if ok && m.tag == ldapExtendedResponse && code == 0 {
			return c.StartTLS()
		}
		if !ok || code != operationsError {
			break
		}
		if _, err := c.Listen(settles); err != nil {
			return err
		}
	}
	return nil
}

// ldapRootDSE asks for the root DSE and says whether StartTLS is offered.
func ldapRootDSE(c *wire.Conversation, o *Observation) (tls bool, err error) {
	var wanted []byte
	for _, a := range ldapWanted {
		wanted = append(wanted, berValue(4, []byte(a))...)
	}
	// RFC 4511, 4.5.1: base "", scope base, never dereference, no limit of size, 5 s,
	// values too, filter (objectClass=*).
	search := []byte{4, 0, 10, 1, 0, 10, 1, 0, 2, 1, 0, 2, 1, 5, 1, 1, 0}
	search = append(search, berValue(0x87, []byte("objectClass"))...)
	search = append(search, berValue(0x30, wanted)...)
	if err := c.Say(ldapMessage(1, ldapSearchRequest, search)); err != nil {
		return false, err
	}
	const most = 16 // messages of one answer
	for range most {
		m, err := readLDAP(c)
		if err != nil {
			return false, err
		}
		switch {
		case m.tag == ldapSearchEntry && m.number == 1:
			values, ok := m.entry()
			if !ok {
				return false, c.Malformed("an entry has a name and attributes", m.body)
			}
			for _, v := range values {
				o.Note("ldap."+v.name, v.text)
				tls = tls || v.name == "supportedextension" && string(v.text) == ldapStartTLS
			}
		case m.tag == ldapSearchReference && m.number == 1:
		case m.tag == ldapSearchDone && m.number == 1:
			code, text, ok := m.result()
			if !ok {
				return false, c.Malformed("a result has a code, a name and a text", m.body)
			}
			o.Note("ldap.result", append(strconv.AppendInt(nil, int64(code), 10), " "+string(text)...))
			o.Confirmed = true
			return tls, nil
		case m.tag == ldapExtendedResponse && m.number == 0:
			code, text, ok := m.result()
			if !ok {
				return false, c.Malformed("a result has a code, a name and a text", m.body)
			}
			o.Note("ldap.notice", append(strconv.AppendInt(nil, int64(code), 10), " "+string(text)...))
			o.Confirmed, o.Declined = true, true
			return false, nil
		default:
			return false, c.Malformed("a search is answered by entries and a result", m.body)
		}
	}
	return false, c.TooMuch("messages of one answer", most)
}

// ldapReply is one LDAPMessage.
type ldapReply struct {
	number int
	tag    int
	body   []byte
}

type ldapValue struct {
	name string // lower case
	text []byte
}

// entry gives the attributes' values of a SearchResultEntry.
func (m ldapReply) entry() ([]ldapValue, bool) {
	t := taker{rest: m.body}
	t.ber(4) // name
	attributes := taker{rest: t.ber(0x30)}
	var values []ldapValue
	for !t.short && len(attributes.rest) > 0 {
		attribute := taker{rest: attributes.ber(0x30)}
		name := attribute.ber(4)
		set := taker{rest: attribute.ber(0x31)}
		if attributes.short || attribute.short || !fitsKey(name) {
			return values, false
		}
		for len(set.rest) > 0 {
			text := set.ber(4)
			if set.short {
				return values, false
			}
			values = append(values, ldapValue{string(bytes.ToLower(name)), text})
		}
	}
	return values, !t.short
}

// result gives code and diagnostic text of an LDAPResult.
func (m ldapReply) result() (code int, text []byte, ok bool) {
	t := taker{rest: m.body}
	number := t.ber(10)
	t.ber(4) // matched name
	text = t.ber(4)
	if t.short || len(number) != 1 {
		return 0, nil, false
	}
	return int(number[0]), text, true
}

func readLDAP(c *wire.Conversation) (ldapReply, error) {
	head, err := c.Peek(2)
	if err != nil {
		return ldapReply{}, err
	}
	const most = 1 << 16
	size, extra := int(head[1]), 0
	if size > 0x80 && size <= 0x84 { // long form, not minimal in Active Directory
		extra = size & 0x7f
		if head, err = c.Peek(2 + extra); err != nil {
			return ldapReply{}, err
		}
		size = 0
		for _, b := range head[2:] {
			size = size<<8 | int(b)
		}
	} else if size >= 0x80 {
		return ldapReply{}, c.Malformed("a message has a definite length", head)
	}
	if head[0] != 0x30 || size > most {
		return ldapReply{}, c.Malformed("a message begins with a sequence", head)
	}
	whole, err := c.ReadFull(2 + extra + size)
	if err != nil {
		return ldapReply{}, err
	}
	m, ok := parseLDAP(whole)
	if !ok {
		return m, c.Malformed("a message has a number and an operation", whole)
	}
	return m, nil
}

func parseLDAP(message []byte) (ldapReply, bool) {
	t := taker{rest: message}
	inner := taker{rest: t.ber(0x30)}
	number := inner.ber(2)
	if t.short || inner.short || len(number) == 0 || len(number) > 4 || len(inner.rest) == 0 {
		return ldapReply{}, false
	}
	m := ldapReply{tag: int(inner.rest[0])}
	for _, b := range number {
		m.number = m.number<<8 | int(b)
	}
	m.body = inner.ber(m.tag)
	return m, !inner.short
}

// ber takes the contents of one element that must have the tag (X.690, 8.1; RFC 4511,
// 5.1: definite lengths only).
func (t *taker) ber(tag int) []byte {
	got, size := t.u8(), t.u8()
	if got != tag {
		t.short = true
	}
	if size >= 0x80 {
		n := size & 0x7f
		if n == 0 || n > 4 {
			t.short = true
		}
		size = 0
		for _, b := range t.bytes(n) {
			size = size<<8 | int(b)
		}
	}
	return t.bytes(size)
}

// berValue writes one element.
func berValue(tag byte, contents []byte) []byte {
	out := []byte{tag}
	switch n := len(contents); {
	case n < 0x80:
		out = append(out, byte(n))
	case n < 0x100:
		out = append(out, 0x81, byte(n))
	default:
		out = append(out, 0x82, byte(n>>8), byte(n))
	}
	return append(out, contents...)
}

func ldapMessage(number byte, tag byte, body []byte) []byte {
	return berValue(0x30, append([]byte{2, 1, number}, berValue(tag, body)...))
}
