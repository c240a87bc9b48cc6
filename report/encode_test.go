package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// services are of any kind that a scan might make, with strangers' bytes in every text.
var services = rapid.Custom(func(t *rapid.T) *scan.Service {
	word := rapid.OneOf(
		rapid.SampledFrom([]string{"", "", "smtp", "Postfix", "<b>&\"\\\u2028\u2029\r\n\t\b\f\x00\x7f", "é\xff\xc3", "\xed\xa0\x80", "日本", "\u202e\u0085\U000e0041\u2066"}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	moment := rapid.Map(rapid.Int64Range(0, 4e18), func(n int64) time.Time { return time.Unix(0, n) })
	length := rapid.Map(rapid.Int64Range(0, 1e14), func(n int64) time.Duration { return time.Duration(n) })
	s := &scan.Service{
		Target:   scan.Target{Host: word.Draw(t, "host"), Port: rapid.Uint16().Draw(t, "port"), Protocol: word.Draw(t, "hint")},
		Verdict:  scan.Verdict(word.Draw(t, "verdict")),
		Protocol: word.Draw(t, "protocol"), Security: wire.Security(word.Draw(t, "security")),
		Confirmed: rapid.Bool().Draw(t, "confirmed"), Declined: rapid.Bool().Draw(t, "declined"),
		Connections: rapid.IntRange(0, 9).Draw(t, "connections"), Received: rapid.IntRange(0, 9).Draw(t, "received"), Sent: rapid.IntRange(0, 9).Draw(t, "sent"),
		Started: moment.Draw(t, "started"), Duration: length.Draw(t, "duration"), Greeting: length.Draw(t, "greeting"),
	}
	if rapid.Bool().Draw(t, "doubted") {
		s.Doubt = word.Draw(t, "doubt")
	}
	if rapid.Bool().Draw(t, "addressed") {
		addr := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")))
		if rapid.Bool().Draw(t, "four") {
			addr = netip.AddrFrom4([4]byte(addr.AsSlice()))
		}
		s.Endpoint = wire.Endpoint{Addr: netip.AddrPortFrom(addr, s.Target.Port), Name: word.Draw(t, "name")}
	}
	for range rapid.IntRange(0, 2).Draw(t, "expectations") {
		s.Expected = append(s.Expected, scan.Expected{Protocol: word.Draw(t, "expected"), Security: rapid.SampledFrom([]wire.Security{wire.Plain, wire.TLS}).Draw(t, "within")})
	}
	for range rapid.IntRange(0, 4).Draw(t, "claims") {
		s.Claims = append(s.Claims, fingerprint.Claim{
			Field: rapid.SampledFrom(fingerprint.Fields).Draw(t, "field"), Value: word.Draw(t, "value"), Product: word.Draw(t, "product"),
			Signature: word.Draw(t, "signature"), Key: word.Draw(t, "key"), Certainty: rapid.IntRange(1, 100).Draw(t, "certainty"), Behaviour: rapid.Bool().Draw(t, "behaviour"),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "connections") {
		o := &probes.Observation{}
		for range rapid.IntRange(0, 3).Draw(t, "evidence") {
			o.Evidence = append(o.Evidence, fingerprint.Evidence{Key: word.Draw(t, "key"), Text: []byte(word.Draw(t, "text")), TLS: rapid.Bool().Draw(t, "inside")})
		}
		if rapid.Bool().Draw(t, "handshake") {
			o.TLS = &wire.TLSState{Version: 0x304, Cipher: 0x1301, Curve: word.Draw(t, "curve"), ALPN: word.Draw(t, "alpn"), ServerName: word.Draw(t, "sni")}
		}
		s.Seen = append(s.Seen, o)
	}
	if rapid.Bool().Draw(t, "failed") {
		s.Failure = &wire.Failure{Op: wire.Op(word.Draw(t, "op")), Kind: wire.Kind(word.Draw(t, "kind")), Alert: rapid.Byte().Draw(t, "alert")}
		if text := word.Draw(t, "text"); text != "" {
			s.Failure.Err = errors.New(text)
		}
	}
	return s
})

// The lines are those that encoding/json makes of the documented type, made safe to look at.
func TestLinesAreTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := services.Draw(t, "service")
		want, err := json.Marshal(RecordOf(s))
		if err != nil {
			t.Skip(err) // a year beyond 9999
		}
		want = appendSafe(nil, want)
		got, err := appendRecord(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// A field that is added to Record must be written by both. This fails until the service below
// has it, and then until the line has it.
func TestEveryFieldIsWritten(t *testing.T) {
	s := hostileService(t, "text")
	s.Endpoint.Name, s.Protocol, s.Confirmed, s.Declined, s.Doubt = "name", "smtp", true, true, "doubt"
	s.Expected = []scan.Expected{{Protocol: "smtp", Security: wire.TLS}}
	s.Connections, s.Received, s.Sent, s.Started, s.Duration, s.Greeting = 1, 1, 1, time.Unix(1e9, 1), time.Second, time.Second
	s.Failure.Alert = 40
	for i := range s.Claims {
		s.Claims[i].Behaviour = true
	}
	o := s.Seen[0]
	for i := range o.Evidence {
		o.Evidence[i].TLS, o.Evidence[i].Text = true, []byte("\xff")
	}
	o.TLS.Curve = "X25519"
	r := RecordOf(s)
	unset(t, reflect.ValueOf(*r), "Record")
	want, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := appendRecord(nil, s); err != nil || !bytes.Equal(got, appendSafe(nil, want)) {
		t.Errorf("got  %s\nwant %s, %v", got, want, err)
	}
}

// unset complains of fields without a value, in lists and what they hold too. A stub and a
// product exclude each other.
func unset(t *testing.T, v reflect.Value, path string) {
	switch {
	case path == "Record.Stub", strings.Contains(path, ".Chain"):
	case v.IsZero():
		t.Errorf("%s has no value: the test does not compare it", path)
	case v.Kind() == reflect.Pointer:
		unset(t, v.Elem(), path)
	case v.Kind() == reflect.Slice:
		unset(t, v.Index(0), path+"[0]")
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			unset(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	s := &scan.Service{
		Target:   scan.Target{Host: "192.0.2.1", Port: 25},
		Endpoint: wire.Endpoint{Addr: netip.MustParseAddrPort("192.0.2.1:25")},
		Expected: []scan.Expected{{Protocol: "smtp", Security: wire.Plain}}, Verdict: scan.AsExpected, Protocol: "smtp",
		Confirmed: true, Security: wire.Plain, Connections: 1, Received: 300, Sent: 30, Started: time.Unix(1795385312, 0), Duration: time.Second,
		Claims: []fingerprint.Claim{
			{Field: "product", Value: "Postfix", Product: "Postfix", Signature: "smtp-postfix", Key: "smtp.greeting", Certainty: 95},
			{Field: "host", Value: "mail.example.org", Product: "Postfix", Signature: "smtp-postfix", Key: "smtp.greeting", Certainty: 95},
		},
		Seen: []*probes.Observation{{Evidence: []fingerprint.Evidence{
			{Key: "smtp.greeting", Text: []byte("220 mail.example.org ESMTP Postfix")},
			{Key: "smtp.ehlo", Text: []byte("250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250-ETRN\r\n250-8BITMIME\r\n250 DSN")},
		}}},
	}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if line, err = appendRecord(line[:0], s); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(line)))
}
