package resolve

import (
	"context"
	"strings"

	"github.com/miekg/dns"
)

// Records answers questions of the DNS about any type of record. What goes wrong is told
// in the answer's status: a lookup that failed is never an absent record.
type Records interface {
	Lookup(ctx context.Context, name string, qtype uint16) Answer
}

// Status is how a question of the DNS ended. Stable strings, part of saved facts.
type Status string

const (
	Found    Status = "found"
	NoData   Status = "nodata"   // the name exists, without records of this type (RFC 2308, 2.2)
	NoName   Status = "nxdomain" // the name does not exist, nor anything below it (RFC 8020)
	ServFail Status = "servfail" // the server could not answer
	Bogus    Status = "bogus"    // SERVFAIL that goes away when validation is switched off (RFC 4035, 3.2.2: CD)
	Refused  Status = "refused"  // the server will not answer us
	NoAnswer Status = "timeout"  // nothing came in time
	Failed   Status = "failed"   // the network, or an answer that is none
	Unasked  Status = "unasked"  // the question was not asked: outside a zone file, not in saved facts, over a bound
)

// Answer is the answer to one question. Records are in the presentation format of zone
// files (RFC 1035, 5.1), aliases that were followed first.
type Answer struct {
	Name      string   `json:"name"` // lower case, with the final dot
	Type      string   `json:"type"` // "MX"
	Status    Status   `json:"status"`
	Records   []string `json:"records,omitempty"`
	Authentic bool     `json:"authentic,omitempty"` // validated by a resolver that is trusted with it (AD bit, RFC 4035, 3.2.3)
	Zone      string   `json:"zone,omitempty"`      // owner of the SOA in a negative answer
	Server    string   `json:"server,omitempty"`    // who answered
	Reason    string   `json:"reason,omitempty"`    // for people, where there is no answer
	TookMS    float64  `json:"took_ms,omitempty"`
}

// Known says whether the DNS has answered: with records, or that there are none.
func (a Answer) Known() bool {
	return a.Status == Found || a.Status == NoData || a.Status == NoName
}

// Absent says whether the DNS has said that there are no such records.
func (a Answer) Absent() bool { return a.Status == NoData || a.Status == NoName }

// Of are the answer's records of one kind: Of[*dns.MX](a).
func Of[T dns.RR](a Answer) []T {
	var list []T
	for _, text := range a.Records {
		rr, err := dns.NewRR(text)
		if err != nil || rr == nil {
			continue
		}
		if t, ok := rr.(T); ok {
			list = append(list, t)
		}
	}
	return list
}

// Texts are the TXT records, each joined from its strings without anything between (RFC
// 7208, 3.3).
func (a Answer) Texts() []string {
	var list []string
	for _, rr := range Of[*dns.TXT](a) {
		list = append(list, JoinTXT(rr))
	}
	return list
}

// JoinTXT joins a record's strings and takes the escapes of the presentation format away.
func JoinTXT(rr *dns.TXT) string {
	var b strings.Builder
	for _, s := range rr.Txt {
		b.WriteString(unescape(s))
	}
	return b.String()
}

// unescape takes away \" and \123 (RFC 1035, 5.1).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+3 < len(s) && digits(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
			continue
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Aliases are the targets of the CNAME records that were followed, in order.
func (a Answer) Aliases() []string {
	var list []string
	for _, rr := range Of[*dns.CNAME](a) {
		list = append(list, dns.CanonicalName(rr.Target))
	}
	return list
}

// Question is the name and type of an answer, as it is compared.
func question(name string, qtype uint16) (string, string) {
	return dns.CanonicalName(name), typeName(qtype)
}

func typeName(qtype uint16) string { return dns.Type(qtype).String() }

func unasked(name string, qtype uint16, reason string) Answer {
	n, t := question(name, qtype)
	return Answer{Name: n, Type: t, Status: Unasked, Reason: reason}
}
