package report

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// hostileTexts are words that a terminal, a spreadsheet, a parser of JSON or a reader
// must not be harmed or fooled by.
var hostileTexts = []string{
	"\x1b[2J\x1b]0;owned\x07", "\u009b31m", "\x9b31m", "a\x7f\x7f\x7f", "\x00", "\r\noverwritten\rline",
	"\u202egpj.exe\u202c", "\u2066\u2069\u200f", "\u2028\u2029", "\ufeff\u200b\u00ad", "\U000e0041\U000f0000", "\ue000",
	"=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(1)", `"},{"format":9,"x":"`, `\u0000\`, "half a \xe2\x82", "\xff\xfe", "\ufffd",
	"</script><img src=x>", "日本語", strings.Repeat("\x1b[A", 50_000),
}

// hostileService has one hostile text wherever a stranger's words, or those of somebody
// who makes target lists, can stand.
func hostileService(t testing.TB, text string) *scan.Service {
	t.Helper()
	failure := &wire.Failure{Op: wire.OpRead, Kind: wire.Protocol, Err: errors.New("a word " + text)}
	chain := []*x509.Certificate{hostileCertificate(t, text)}
	state := &wire.TLSState{Version: tls.VersionTLS13, Cipher: tls.TLS_AES_128_GCM_SHA256, ALPN: text, ServerName: text, Chain: chain}
	o := &probes.Observation{
		Probe: "smtp", TLS: state, Failure: failure,
		Recorded: &wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte(text)}, {Mark: '!', TLS: state}, {Mark: '>', Data: []byte(text)}}, End: "read protocol"},
	}
	o.Note("smtp.greeting", []byte("220 "+text+" ESMTP Postfix"))
	o.Note("http.header."+"x-\u202e", []byte(text))
	probes.NoteTLS(o, state)
	s := &scan.Service{
		Target:   scan.Target{Host: text, Port: 25},
		Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:25"), Name: text},
		Verdict:  scan.Unknown, Security: wire.TLS, Seen: []*probes.Observation{o}, Failure: failure,
		Steps: []scan.Step{{Connection: 1, What: text, Why: text}}, Connections: 1,
	}
	for _, field := range []string{"product", "version", "vendor", "os", "device", "component", "distribution", "cpe", "host"} {
		s.Claims = append(s.Claims, fingerprint.Claim{Field: field, Value: text, Product: text, Signature: "test", Key: "smtp.greeting", Certainty: 50, Behaviour: field == "product"})
	}
	return s
}

// hostileCertificate has the text in its names, as a certificate can that nobody checked.
func hostileCertificate(t testing.TB, text string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ToValidUTF8(text, "?")
	name = name[:len(strings.ToValidUTF8(name[:min(len(name), 1000)], ""))]
	raw, err := asn1.MarshalWithParams(name, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Unix(4e9, 0),
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: asn1.RawValue{FullBytes: raw}}}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	// Parsers differ in what they let into these; ours must not rely on any.
	c.DNSNames = []string{text}
	c.EmailAddresses = []string{text}
	c.URIs = []*url.URL{{Scheme: "https", Host: text}}
	return c
}

// checkSafe fails where an output has a character that is not for showing; line feeds
// are the output's own.
func checkSafe(t *testing.T, what string, out []byte) {
	t.Helper()
	for i := 0; i < len(out); {
		r, n := utf8.DecodeRune(out[i:])
		bad := r == utf8.RuneError && n == 1 || r != '\n' && unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)
		if bad {
			t.Errorf("%s: %U gets out: %q", what, r, out[max(0, i-40):min(len(out), i+20)])
			return
		}
		i += n
	}
}

// sinks are every way in which services are written.
var sinks = map[string]func(io.Writer) scan.Sink{
	"table":      func(w io.Writer) scan.Sink { return NewTable(w, TableOptions{}) },
	"narrow":     func(w io.Writer) scan.Sink { return NewTable(w, TableOptions{Width: 80}) },
	"why":        func(w io.Writer) scan.Sink { return NewTable(w, TableOptions{Why: fingerprint.Builtin()}) },
	"json lines": func(w io.Writer) scan.Sink { return NewJSONLines(w, 0) },
}

func write(t *testing.T, open func(io.Writer) scan.Sink, services ...*scan.Service) []byte {
	t.Helper()
	var out bytes.Buffer
	sink := open(&out)
	for _, s := range services {
		if err := sink.Write(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestNothingGetsOutUnescaped(t *testing.T) {
	for _, text := range hostileTexts {
		named, unnamed := hostileService(t, text), hostileService(t, text)
		unnamed.Claims = nil // the words themselves are shown, and a stub made of them
		unresolved := hostileService(t, text)
		unresolved.Endpoint.Addr = netip.AddrPort{}
		for name, open := range sinks {
			what := name + " of " + wire.Escape([]byte(text[:min(len(text), 20)]))
			checkSafe(t, what, write(t, open, named, unnamed, unresolved))
		}
		var transcript bytes.Buffer
		record := named.Transcript()
		record.NameCertificates()
		if _, err := record.WriteTo(&transcript); err != nil {
			t.Fatal(err)
		}
		checkSafe(t, "transcript", transcript.Bytes())
		if _, err := wire.ReadTranscript("own", &transcript, func(string) ([]byte, error) { return nil, nil }); err != nil && named.Seen[0].TLS.ALPN == "" {
			t.Errorf("our own transcript is not read: %v", err)
		}
	}
}

// Every line is JSON, and has every byte that was heard.
func TestJSONLinesAreLossless(t *testing.T) {
	for _, text := range hostileTexts {
		s := hostileService(t, text)
		out := write(t, sinks["json lines"], s)
		if n := bytes.Count(out, []byte("\n")); n != 1 {
			t.Fatalf("%q: %d lines for one service", text[:min(len(text), 20)], n)
		}
		var r Record
		decoder := json.NewDecoder(bytes.NewReader(out))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&r); err != nil {
			t.Fatalf("%q: %v", text[:min(len(text), 20)], err)
		}
		heard := s.Evidence()
		if len(r.Evidence) != len(heard) {
			t.Fatalf("%d texts, heard %d", len(r.Evidence), len(heard))
		}
		for i, w := range r.Evidence {
			got := []byte(w.Text)
			if w.Base64 != "" {
				var err error
				if got, err = base64.StdEncoding.DecodeString(w.Base64); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, heard[i].Text) || w.Key != heard[i].Key {
				t.Errorf("%s: %q, heard %q", w.Key, got[:min(len(got), 60)], heard[i].Text[:min(len(heard[i].Text), 60)])
			}
		}
	}
}

// FuzzSafe holds that whatever is shown is printable, and JSON stays what it was.
func FuzzSafe(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text[:min(len(text), 100)])
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkSafe(t, "text", []byte(Printable(text, 1<<20)))
		plain, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		safe := appendSafe(nil, plain)
		checkSafe(t, "JSON", safe)
		var before, after string
		if err := errors.Join(json.Unmarshal(plain, &before), json.Unmarshal(safe, &after)); err != nil || before != after {
			t.Errorf("%q became %q: %v", before, after, err)
		}
	})
}
