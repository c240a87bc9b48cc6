package probes

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"herald/wire"
)

// DNS asks over TCP for the names in which servers tell about themselves: version.bind,
// and id.server. It asks for no name of the world and never for a transfer.
var DNS = add(domain{})

type domain struct{}

var dnsInfo = Info{
	Name:  "dns",
	Title: "Domain Name System over TCP",
	Refs:  []string{"RFC 1035", "RFC 7766", "RFC 4892"},
	Ports: []Port{{53, wire.Plain}, {853, wire.TLS}},
	Keys: []Key{
		{"dns.rcode", "code of the answer to version.bind: NOERROR, REFUSED, …"},
		{"dns.version-bind", "TXT record version.bind of class CH"},
		{"dns.id-server", "TXT record id.server of class CH"},
	},
	Asks: true,
}

func (domain) Info() *Info { return &dnsInfo }

func (domain) Recognize([]byte) Likeness { return Unlike }

func (domain) Converse(c *wire.Conversation, o *Observation) error {
	answer, err := askDNS(c, 1, "version.bind.")
	if err != nil {
		return err
	}
	o.Confirmed = true
	rcode, known := dns.RcodeToString[answer.Rcode]
	if !known {
		rcode = strconv.Itoa(answer.Rcode)
	}
	o.Note("dns.rcode", []byte(rcode))
	noteTXT(o, "dns.version-bind", answer)
	if answer.Rcode != dns.RcodeSuccess {
		return nil // it does not tell; RFC 4892's other name would fare alike
	}
	if answer, err = askDNS(c, 2, "id.server."); err != nil {
		return nil // some close after one question
	}
	noteTXT(o, "dns.id-server", answer)
	return nil
}

func noteTXT(o *Observation, key string, m *dns.Msg) {
	for _, r := range m.Answer {
		if txt, ok := r.(*dns.TXT); ok {
			o.Note(key, dnsText(strings.Join(txt.Txt, "")))
		}
	}
}

// dnsText undoes the escapes that the library puts into character strings, \. and \065.
func dnsText(s string) []byte {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		if n, rest := number([]byte(s[i+1 : min(len(s), i+4)])); n >= 0 && n < 256 && len(rest) == 0 && i+3 < len(s) {
			out = append(out, byte(n))
			i += 3
			continue
		}
		i++
		out = append(out, s[i])
	}
	return out
}

// askDNS asks one question of class CH and reads the answer to it.
func askDNS(c *wire.Conversation, id uint16, name string) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.Id = id
	q.Question = []dns.Question{{Name: name, Qtype: dns.TypeTXT, Qclass: dns.ClassCHAOS}}
	question, err := q.Pack()
	if err != nil {
		return nil, err
	}
	// RFC 7766, 8: length and message in one segment.
	if err := c.Say(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...)); err != nil {
		return nil, err
	}
	head, err := c.Peek(4)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(head))
	if size < 12 || binary.BigEndian.Uint16(head[2:]) != id {
		return nil, c.Malformed("an answer has its length and the question's number", head)
	}
	message, err := c.ReadFull(2 + size)
	if err != nil {
		return nil, err
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(message[2:]); err != nil || !answer.Response || answer.Opcode != dns.OpcodeQuery {
		return nil, c.Malformed("a DNS answer", message)
	}
	if len(answer.Question) > 0 && !strings.EqualFold(answer.Question[0].Name, name) {
		return nil, c.Malformed("an answer repeats its question", message)
	}
	return answer, nil
}
