// Package report writes services: as JSON lines for machines, as a table for people.
// It does no I/O but through the writer that it is given, and it trusts no byte of a
// stranger: what is not printable is escaped before a terminal sees it.
package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// Format is the number of the JSON lines' format. It grows when a field changes its
// meaning or goes; new fields may come without a new number.
const Format = 1

// Record is one line of the JSON output: one endpoint. Fields without a value are left
// out, except those whose comment says "always".
type Record struct {
	Format      int           `json:"format"`                   // always; 1
	Target      string        `json:"target"`                   // always; as the user named it, with its port
	Address     string        `json:"address,omitempty"`        // IP address; missing where the name did not resolve
	Port        uint16        `json:"port"`                     // always; TCP
	Name        string        `json:"name,omitempty"`           // host name by which the address was found
	Protocol    string        `json:"protocol,omitempty"`       // name of a probe; missing for unknown
	Confirmed   bool          `json:"confirmed"`                // always; the protocol's grammar held through an exchange
	Declined    bool          `json:"declined,omitempty"`       // it spoke the protocol only to turn us away
	Security    wire.Security `json:"security,omitempty"`       // plain, tls, starttls
	Expected    []string      `json:"expected"`                 // always; protocols that the port or the hint promises, "imap/tls" inside TLS; empty for none
	Verdict     scan.Verdict  `json:"verdict"`                  // always; expected, unexpected, unknown, silent, closed, filtered, unresolved, untried
	Product     string        `json:"product,omitempty"`        // the surest claim
	Vendor      string        `json:"vendor,omitempty"`         // of that product
	Version     string        `json:"version,omitempty"`        // of that product, as the server spells it
	OS          string        `json:"os,omitempty"`             // operating system
	CPE         []string      `json:"cpe,omitempty"`            // CPE 2.3 names, surest first
	Certainty   int           `json:"certainty,omitempty"`      // of the product, 1 to 100
	Doubt       string        `json:"doubt,omitempty"`          // why what it says may be made up, as honeypots do; claims are worth little then
	Claims      []ClaimJSON   `json:"claims,omitempty"`         // everything concluded, surest first within a field
	Evidence    []WordsJSON   `json:"evidence,omitempty"`       // everything heard, in order
	TLS         *TLSJSON      `json:"tls,omitempty"`            // the last handshake that stood
	Failure     *FailureJSON  `json:"failure,omitempty"`        // what prevented a better answer
	Stub        string        `json:"stub,omitempty"`           // unknown product: a signature ready to be completed, YAML
	GreetingMS  float64       `json:"greeting_ms,omitempty"`    // from the connection to the server's first word, where it greeted
	Connections int           `json:"connections"`              // always; attempts made
	Received    int           `json:"bytes_received,omitempty"` // TLS removed
	Sent        int           `json:"bytes_sent,omitempty"`     // TLS removed
	Started     time.Time     `json:"started"`                  // always; RFC 3339
	DurationMS  float64       `json:"duration_ms"`              // always
}

// ClaimJSON is one thing concluded, and why.
type ClaimJSON struct {
	Field     string `json:"field"`
	Value     string `json:"value"`
	Product   string `json:"product,omitempty"`   // whose version, vendor or CPE this is
	Signature string `json:"signature"`           // id, see 'herald signatures show'
	Key       string `json:"key"`                 // evidence key
	Certainty int    `json:"certainty"`           // 1 to 100
	Behaviour bool   `json:"behaviour,omitempty"` // concluded from behaviour, not from a name
}

// WordsJSON is one thing heard. Text is readable and valid UTF-8; where it is not the
// exact bytes, Base64 has them.
type WordsJSON struct {
	Key    string `json:"key"`
	Text   string `json:"text"`
	Base64 string `json:"base64,omitempty"`
	TLS    bool   `json:"tls,omitempty"` // heard inside TLS
}

// TLSJSON is a handshake. Nothing in it is verified.
type TLSJSON struct {
	Version    string     `json:"version"`
	Cipher     string     `json:"cipher"`
	Group      string     `json:"group,omitempty"` // key agreement
	ALPN       string     `json:"alpn,omitempty"`
	ServerName string     `json:"server_name,omitempty"` // SNI that was sent
	Chain      []CertJSON `json:"chain,omitempty"`       // as sent, leaf first
}

// CertJSON is one certificate.
type CertJSON struct {
	Subject   string    `json:"subject"` // RFC 4514
	Issuer    string    `json:"issuer"`
	Names     []string  `json:"names,omitempty"` // subject alternative names
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Key       string    `json:"key"`       // "RSA 2048"
	Signature string    `json:"signature"` // algorithm: "SHA256-RSA"
	Serial    string    `json:"serial"`    // hexadecimal
	SHA256    string    `json:"sha256"`    // of the certificate, hexadecimal
}

// FailureJSON is a failure by its stable words.
type FailureJSON struct {
	Op    wire.Op   `json:"op"`
	Kind  wire.Kind `json:"kind"`
	Alert uint8     `json:"alert,omitempty"` // TLS alert number
	Text  string    `json:"text,omitempty"`  // for people
}

// Brief is the failure in a few words, see [wire.Failure.Brief].
func (f *FailureJSON) Brief() string {
	return (&wire.Failure{Op: f.Op, Kind: f.Kind, Alert: f.Alert}).Brief()
}

// RecordOf is a service as a record.
func RecordOf(s *scan.Service) *Record {
	r := &Record{
		Format: Format, Target: s.Target.String(), Port: s.Target.Port, Name: s.Endpoint.Name,
		Protocol: s.Protocol, Confirmed: s.Confirmed, Declined: s.Declined, Security: s.Security,
		Expected: []string{}, Verdict: s.Verdict, Connections: s.Connections, Received: s.Received, Sent: s.Sent,
		Started: s.Started.UTC(), DurationMS: milliseconds(s.Duration), GreetingMS: greetingMS(s.Greeting),
		Stub: s.Stub(), Doubt: s.Doubt,
	}
	if s.Endpoint.Addr.IsValid() {
		r.Address = s.Endpoint.Addr.Addr().String()
	}
	for _, e := range s.Expected {
		r.Expected = append(r.Expected, expectedName(e))
	}
	if product, ok := fingerprint.Best(s.Claims, "product"); ok {
		r.Product, r.Certainty = product.Value, product.Certainty
	}
	r.Vendor, r.Version, r.OS = s.Claim("vendor"), s.Claim("version"), s.Claim("os")
	for _, c := range s.Claims {
		if c.Field == "cpe" {
			r.CPE = append(r.CPE, c.Value)
		}
		r.Claims = append(r.Claims, ClaimJSON(c))
	}
	for _, e := range s.Evidence() {
		r.Evidence = append(r.Evidence, wordsOf(e))
	}
	if t := s.TLS(); t != nil {
		r.TLS = tlsOf(t)
	}
	if f := s.Failure; f != nil {
		r.Failure = &FailureJSON{Op: f.Op, Kind: f.Kind, Alert: f.Alert}
		if f.Err != nil {
			r.Failure.Text = readable([]byte(f.Err.Error()))
		}
	}
	return r
}

func expectedName(e scan.Expected) string {
	if e.Security == wire.TLS {
		return e.Protocol + "/tls"
	}
	return e.Protocol
}

// greetingMS is how long a greeting took in milliseconds: not 0 where there was one, however
// soon it came.
func greetingMS(d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return max(milliseconds(d), 0.01)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

func wordsOf(e fingerprint.Evidence) WordsJSON {
	w := WordsJSON{Key: e.Key, Text: readable(e.Text), TLS: e.TLS}
	if w.Text != string(e.Text) {
		w.Base64 = base64.StdEncoding.EncodeToString(e.Text)
	}
	return w
}

// readable is the text with what is no UTF-8, and NUL, replaced by U+FFFD. JSON escapes
// the other control characters by itself.
func readable(b []byte) string {
	if isReadable(b) {
		return string(b)
	}
	return string(bytes.ReplaceAll(bytes.ToValidUTF8(b, []byte("\uFFFD")), []byte{0}, []byte("\uFFFD")))
}

func tlsOf(s *wire.TLSState) *TLSJSON {
	t := &TLSJSON{Version: s.VersionName(), Cipher: s.CipherName(), Group: s.Curve, ALPN: readable([]byte(s.ALPN)), ServerName: s.ServerName}
	for _, c := range s.Chain {
		sum := sha256.Sum256(c.Raw)
		cert := CertJSON{
			Subject: readable([]byte(c.Subject.String())), Issuer: readable([]byte(c.Issuer.String())),
			NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
			Key: probes.KeyName(c), Signature: c.SignatureAlgorithm.String(), SHA256: hex.EncodeToString(sum[:]),
		}
		if c.SerialNumber != nil {
			cert.Serial = c.SerialNumber.Text(16)
		}
		for _, name := range probes.CertificateNames(c) {
			cert.Names = append(cert.Names, readable([]byte(name)))
		}
		t.Chain = append(t.Chain, cert)
	}
	return t
}
