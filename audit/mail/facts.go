// Package mail verifies the setup of mail: whether a domain's, or a host's, servers do
// what they should, and whether every promise that the domain publishes is true on the
// wire.
//
// [Gather] does all the input and output and gives [Facts]; [Judge] does none and gives
// findings. Facts are saved as JSON and can be judged again: by newer rules, as of another
// day, with another set of trusted roots. Begin with [Gather].
package mail

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"herald/resolve"
	"herald/wire"
)

// Format is the version of the facts' form. Fields are added without notice, never
// renamed or given another meaning under the same number.
const Format = 1

// Question is what is to be verified: a domain (its MX and everything it publishes), or a
// host (all its mail ports), or services (nothing else, and no DNS).
type Question struct {
	Domain    string   `json:"domain,omitempty"`
	Host      string   `json:"host,omitempty"`
	Services  []string `json:"services,omitempty"`  // host:port, or scheme://host:port: mx, submission, submissions, imap, imaps, pop3, pop3s, sieve
	Selectors []string `json:"selectors,omitempty"` // of DKIM keys
	Senders   []string `json:"senders,omitempty"`   // addresses that send for the domain
	SPFFor    []string `json:"spf_for,omitempty"`   // addresses that SPF is evaluated for besides
	Ask       []string `json:"ask,omitempty"`       // further questions of the DNS: "s1._domainkey.example.test TXT"
}

// Facts are everything that was gathered.
type Facts struct {
	Format       int               `json:"format"`
	Question     Question          `json:"question"`
	Began        time.Time         `json:"began"`
	TookMS       float64           `json:"took_ms"`
	Resolver     string            `json:"resolver,omitempty"` // who answered: an address, "zone file", "" for nobody
	Trusted      bool              `json:"trusted,omitempty"`  // the resolver's AD bit is believed
	Scanned      bool              `json:"scanned,omitempty"`  // TLS versions and suites were enumerated
	Injected     bool              `json:"injected,omitempty"` // the injection probe was asked for
	Answers      []resolve.Answer  `json:"answers,omitempty"`
	Services     []*Service        `json:"services,omitempty"`
	Doors        []*Service        `json:"doors,omitempty"` // other ports on which a greeting was listened for, and nothing asked
	Documents    []Document        `json:"documents,omitempty"`
	RoundTrip    *RoundTrip        `json:"round_trip,omitempty"`   // where it was asked for
	Certificates map[string][]byte `json:"certificates,omitempty"` // DER, by the first 16 hex digits of SHA-256

	parsed *sync.Map // certificates by their keys; nil keeps none
}

// Service is what was learnt about one address and port.
type Service struct {
	Host     string     `json:"host"` // by which it was found, no final dot; an address where there was no name
	Addr     netip.Addr `json:"addr"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"`          // that belongs there: smtp, imap, pop3, sieve
	Security string     `json:"security"`          // how it begins there: plain, tls
	As       uint16     `json:"as,omitempty"`      // the port by whose custom it is judged, where that is another
	Taken    string     `json:"taken,omitempty"`   // why it is taken for that, where nobody said so
	Asked    []string   `json:"asked"`             // why: "mx 10", "srv _imaps._tcp", "autoconfig imap", "host", "host of an exchanger", "service"
	Names    []string   `json:"names,omitempty"`   // by which clients know it
	Local    string     `json:"local,omitempty"`   // our address on that connection
	Dials    int        `json:"dials"`             // connections that were made
	Failure  *Failure   `json:"failure,omitempty"` // what ended the ordinary conversation early
	DialMS   float64    `json:"dial_ms,omitempty"`
	Steps    []Step     `json:"steps,omitempty"`
	Unasked  string     `json:"unasked,omitempty"` // what was heard where something else was due, as received
	TLS      *TLS       `json:"tls,omitempty"`
	NoName   *TLS       `json:"tls_without_name,omitempty"`
	OtherKey *TLS       `json:"tls_other_key,omitempty"` // with suites of the other key type alone
	OtherWas string     `json:"other_key,omitempty"`     // which: "RSA", "ECDSA"
	Hellos   []Hello    `json:"hellos,omitempty"`
	Injected *Injection `json:"injection,omitempty"`
}

// Step is one question and its answer. The first is the greeting, to which nothing was
// said.
type Step struct {
	Name  string  `json:"step"` // greeting, ehlo, auth, cancel, starttls, mail, rcpt-postmaster, …
	Said  string  `json:"said,omitempty"`
	Reply string  `json:"reply,omitempty"` // every line as received
	TLS   bool    `json:"tls,omitempty"`   // inside TLS
	MS    float64 `json:"ms"`              // until the reply was complete; for the greeting from the connection on
}

// Failure is a [wire.Failure] as facts keep it.
type Failure struct {
	Step  string    `json:"step,omitempty"`
	Op    wire.Op   `json:"op"`
	Kind  wire.Kind `json:"kind"`
	Alert uint8     `json:"alert,omitempty"`
	Text  string    `json:"text,omitempty"`
	Twice bool      `json:"twice,omitempty"` // a second attempt ended in the same way
}

func (f *Failure) String() string {
	s := string(f.Op) + " " + string(f.Kind)
	if f.Twice {
		s = string(f.Op) + " twice " + string(f.Kind)
	}
	if f.Alert != 0 {
		s += fmt.Sprintf(" %d", f.Alert)
	}
	if f.Step != "" {
		s += " at " + f.Step
	}
	return s
}

func failure(step string, err error) *Failure {
	if err == nil {
		return nil
	}
	f := wire.FailureOf(wire.OpRead, err)
	out := &Failure{Step: step, Op: f.Op, Kind: f.Kind, Alert: f.Alert}
	if f.Err != nil {
		out.Text = clip(f.Err.Error(), 300)
	}
	return out
}

// TLS is what a handshake taught.
type TLS struct {
	Version uint16   `json:"version,omitempty"`
	Suite   uint16   `json:"suite,omitempty"`
	Group   string   `json:"group,omitempty"`
	Name    string   `json:"server_name,omitempty"`
	Chain   []string `json:"chain,omitempty"` // keys of Facts.Certificates, leaf first, as sent
	MS      float64  `json:"ms,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
}

// Hello is the answer to one ClientHello of our own.
type Hello struct {
	Version uint16 `json:"version"`
	Suite   uint16 `json:"suite,omitempty"` // that was chosen of those still offered; 0 for none
	Group   uint16 `json:"group,omitempty"`
	Unknown string `json:"unknown,omitempty"` // why nothing is known
}

// Injection is what the server did with a command that came in one segment with STARTTLS.
type Injection struct {
	Unasked  string   `json:"unasked,omitempty"` // said inside TLS without a question: it took the injected command
	Control  string   `json:"control,omitempty"` // the answer to a command inside TLS
	NotAsked string   `json:"not_asked,omitempty"`
	Failure  *Failure `json:"failure,omitempty"`
}

// Document is what a domain publishes over HTTPS.
type Document struct {
	Role     string     `json:"role"` // mta-sts, autoconfig, autoconfig-wellknown, autodiscover
	URL      string     `json:"url"`
	Addr     netip.Addr `json:"addr,omitzero"`
	Status   int        `json:"status,omitempty"`
	Type     string     `json:"type,omitempty"`
	Location string     `json:"location,omitempty"`
	Body     string     `json:"body,omitempty"`
	Bytes    int        `json:"bytes,omitempty"` // of the body
	Cut      bool       `json:"cut,omitempty"`
	Chain    []string   `json:"chain,omitempty"`
	Failure  *Failure   `json:"failure,omitempty"`
	MS       float64    `json:"ms,omitempty"`
}

// Step is the last step of that name, heard inside TLS or not; nil without.
func (s *Service) Step(name string, tls bool) *Step {
	for i := len(s.Steps) - 1; i >= 0; i-- {
		if s.Steps[i].Name == name && s.Steps[i].TLS == tls {
			return &s.Steps[i]
		}
	}
	return nil
}

// Any is the last step of that name, whether inside TLS or not; nil without.
func (s *Service) Any(name string) *Step {
	if step := s.Step(name, true); step != nil {
		return step
	}
	return s.Step(name, false)
}

// Where is the service as findings name it.
func (s *Service) Where() string {
	addr := netip.AddrPortFrom(s.Addr, s.Port).String()
	if s.Host == "" || s.Host == s.Addr.String() {
		return addr
	}
	return fmt.Sprintf("%s:%d (%s)", s.Host, s.Port, s.Addr)
}

// AskedAs says whether the service was asked for such a reason: "mx", "srv".
func (s *Service) AskedAs(reason string) bool {
	for _, a := range s.Asked {
		if a == reason || strings.HasPrefix(a, reason+" ") {
			return true
		}
	}
	return false
}

// Connections counts the connections that were made, by address.
func (f *Facts) Connections() map[netip.Addr]int {
	n := map[netip.Addr]int{}
	for _, s := range slices.Concat(f.Services, f.Doors) {
		if s.Dials > 0 {
			n[s.Addr] += s.Dials
		}
	}
	if f.RoundTrip != nil {
		for _, p := range f.RoundTrip.Probes {
			n[p.Service.Addr] += p.Service.Dials
		}
		for _, b := range f.RoundTrip.Boxes {
			n[b.Service.Addr] += b.Service.Dials
		}
	}
	for _, d := range f.Documents {
		if d.Addr.IsValid() {
			n[d.Addr]++
		}
	}
	return n
}

// Chain are the certificates of those keys, parsed. ok is false where one is missing or
// cannot be parsed.
func (f *Facts) Chain(keys []string) (chain []*x509.Certificate, ok bool) {
	for _, k := range keys {
		c, err := f.certificate(k)
		if err != nil {
			return chain, false
		}
		chain = append(chain, c)
	}
	return chain, len(chain) > 0
}

func (f *Facts) certificate(key string) (*x509.Certificate, error) {
	if f.parsed != nil {
		if c, ok := f.parsed.Load(key); ok {
			return c.(*x509.Certificate), nil
		}
	}
	c, err := x509.ParseCertificate(f.Certificates[key])
	if err == nil && f.parsed != nil {
		f.parsed.Store(key, c)
	}
	return c, err
}

func certificateKey(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}

// mostFacts bounds a file of facts, in bytes.
const mostFacts = 64 << 20

// ReadFacts reads saved facts.
func ReadFacts(name string, r io.Reader) (*Facts, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostFacts+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > mostFacts {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, mostFacts)
	}
	f := new(Facts)
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s: not saved facts: %w", name, err)
	}
	if f.Format != Format {
		return nil, fmt.Errorf("%s: facts of format %d; this version reads %d", name, f.Format, Format)
	}
	for _, s := range slices.Concat(f.Services, f.Doors) {
		if s == nil {
			return nil, fmt.Errorf("%s: %w", name, errors.New("a service without content"))
		}
	}
	return f, nil
}

// Write saves the facts.
func (f *Facts) Write(w io.Writer) error {
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func clip(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
