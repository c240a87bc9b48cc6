package audit

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

// FactsFormat is the number of the format of saved facts. It grows when a field changes
// its meaning or goes.
const FactsFormat = 1

// Facts are what was gathered: all that a verdict needs.
type Facts struct {
	Format   int                        `json:"format"`             // 1
	Made     time.Time                  `json:"made"`               // when the gathering ended; what is judged by date is judged by it
	Services []*Fact                    `json:"services"`           // one an endpoint
	Roots    [][]byte                   `json:"roots,omitempty"`    // authorities of trust.ca_files, DER
	Sections map[string]json.RawMessage `json:"sections,omitempty"` // what a [Check] gathered, by its name
}

// Fact is what one endpoint showed.
type Fact struct {
	At     string         `json:"at"`                     // host:port as it was asked for, lower case
	Record *report.Record `json:"record"`                 // as 'herald scan --format jsonl' writes it
	Chain  [][]byte       `json:"chain,omitempty"`        // certificates as sent, DER, leaf first
	System string         `json:"system_trust,omitempty"` // what the system's authorities say of it: "trusted", or why not
}

// FactOf is the fact of a service.
func FactOf(s *scan.Service) *Fact {
	f := &Fact{At: Place{Host: s.Target.Host, Port: s.Target.Port}.Key(), Record: report.RecordOf(s)}
	if t := s.TLS(); t != nil {
		for _, c := range t.Chain {
			f.Chain = append(f.Chain, c.Raw)
		}
	}
	return f
}

// ReadFacts reads saved facts, or the JSON lines of a scan, which lack the certificates
// themselves: who vouches for them can not be said again.
func ReadFacts(name string, r io.Reader) (*Facts, error) {
	const most = 1 << 30 // bytes
	d := json.NewDecoder(io.LimitReader(r, most))
	var facts *Facts
	for n := 1; ; n++ {
		place := fmt.Sprintf("%s: object %d", name, n)
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if facts, err = facts.with(place, raw); err != nil {
			return nil, err
		}
	}
	if facts == nil {
		return nil, fmt.Errorf("%s: empty", name)
	}
	return facts, nil
}

// with adds an object of a file to the facts that stand before it, nil for none. place is for
// errors.
func (f *Facts) with(place string, object json.RawMessage) (*Facts, error) {
	var kind struct {
		Format   int              `json:"format"`
		Services *json.RawMessage `json:"services"`
		Target   string           `json:"target"`
	}
	if err := json.Unmarshal(object, &kind); err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	saved, line := kind.Services != nil, kind.Services == nil && kind.Target != ""
	switch {
	case saved && kind.Format != FactsFormat, line && kind.Format != report.Format:
		return nil, fmt.Errorf("%s: format %d; this version reads format %d", place, kind.Format, FactsFormat)
	case saved && f == nil:
		return savedFacts(place, object)
	case kind.Target != "":
		record := &report.Record{}
		if err := json.Unmarshal(object, record); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if f == nil {
			f = &Facts{Format: FactsFormat}
		}
		f.Services = append(f.Services, &Fact{At: placeOf(record), Record: record})
		if end := record.Started.Add(milliseconds(record.DurationMS)); end.After(f.Made) {
			f.Made = end
		}
		return f, nil
	}
	return nil, fmt.Errorf("%s is neither saved facts nor a line of 'herald scan --format jsonl'", place)
}

func savedFacts(place string, object json.RawMessage) (*Facts, error) {
	facts := &Facts{}
	if err := json.Unmarshal(object, facts); err != nil {
		return nil, fmt.Errorf("%s: %w", place, err)
	}
	for i, f := range facts.Services {
		if f == nil || f.Record == nil {
			return nil, fmt.Errorf("%s: service %d has no record", place, i+1)
		}
	}
	return facts, nil
}

// placeOf is the host and port that a record's target names.
func placeOf(r *report.Record) string {
	target := strings.ToLower(r.Target)
	if _, after, ok := strings.Cut(target, "://"); ok {
		target = after
	}
	return target
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// Write writes facts as JSON.
func (f *Facts) Write(w io.Writer) error {
	if f.Services == nil {
		f.Services = []*Fact{} // a list, though an empty one
	}
	e := json.NewEncoder(report.SafeJSON(w))
	e.SetIndent("", " ")
	return e.Encode(f)
}

// at are the facts of a place, one an address.
func (f *Facts) at(p Place) []*Fact {
	var found []*Fact
	for _, fact := range f.Services {
		if fact.At == p.Key() {
			found = append(found, fact)
		}
	}
	return found
}

// sink collects what a scan finds (scan.Sink).
type sink struct{ facts []*Fact }

func (s *sink) Write(_ context.Context, found *scan.Service) error {
	s.facts = append(s.facts, FactOf(found))
	return nil
}

func (s *sink) Close() error { return nil }

// where is the address and port, for people.
func (f *Fact) where() string {
	at := f.At
	if a, err := netip.ParseAddr(f.Record.Address); err == nil && netip.AddrPortFrom(a, f.Record.Port).String() != at {
		at += " (" + f.Record.Address + ")"
	}
	return at
}

// chain is the certificates as sent, leaf first. What does not parse is left out.
func (f *Fact) chain() []*x509.Certificate {
	var all []*x509.Certificate
	for _, der := range f.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return all
		}
		all = append(all, c)
	}
	return all
}

// evidence is what was heard, as the probes noted it.
func (f *Fact) evidence() []fingerprint.Evidence {
	var all []fingerprint.Evidence
	for _, w := range f.Record.Evidence {
		e := fingerprint.Evidence{Key: w.Key, Text: []byte(w.Text), TLS: w.TLS}
		if w.Base64 != "" {
			if raw, err := base64.StdEncoding.DecodeString(w.Base64); err == nil {
				e.Text = raw
			}
		}
		all = append(all, e)
	}
	return all
}

// said is the last text under a key, "" for none.
func (f *Fact) said(key string) string {
	for _, e := range slices.Backward(f.evidence()) {
		if e.Key == key {
			return string(e.Text)
		}
	}
	return ""
}

// capabilities are what the server says that it can do, in the clear and inside TLS; nil
// where nothing was heard.
func (f *Fact) capabilities() (clear, protected []string) {
	return probes.Capabilities(&probes.Observation{Evidence: f.evidence()})
}

// last are the capabilities under the best protection that was reached.
func (f *Fact) last() []string {
	clear, protected := f.capabilities()
	if protected != nil {
		return protected
	}
	return clear
}

// greetingName is the host that a greeting names, "" where it names none.
func (f *Fact) greetingName() string {
	first := func(text string) []string {
		line, _, _ := strings.Cut(text, "\n")
		return strings.Fields(strings.Replace(line, "220-", "220 ", 1))
	}
	switch f.Record.Protocol {
	case "smtp", "lmtp":
		if w := first(f.said(f.Record.Protocol + ".greeting")); len(w) > 1 { // RFC 5321, 4.2
			return w[1]
		}
		return ""
	}
	// Elsewhere the place of the name is not laid down: the first word that is one.
	for _, w := range first(f.said(f.Record.Protocol + ".greeting")) {
		w = strings.Trim(w, "[]<>(),;")
		if _, after, ok := strings.Cut(w, "@"); ok {
			w = after
		}
		if host := strings.TrimSuffix(w, "."); strings.Count(host, ".") > 0 && isHostName(host) {
			return host
		}
	}
	return ""
}

func isHostName(s string) bool {
	if strings.Trim(s, "0123456789.") == "" {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || label[0] == '-' {
			return false
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return strings.Trim(last, "0123456789") == last && len(last) > 1
}

// spoken is how the protocol is spoken; in the clear where nothing was heard.
func (f *Fact) spoken() wire.Security { return cmp.Or(f.Record.Security, wire.Plain) }
