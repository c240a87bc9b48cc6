package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"herald/wire"
)

// FuzzTranscript holds that a transcript is refused, or says the same after it was written
// and read again.
func FuzzTranscript(f *testing.F) {
	for _, text := range []string{
		"# note\n< +OK \\xff\\r\\n\n> QUIT\\r\\n\n~ 6.2s\n. read closed\n= confirmed pop3\n", "! TLS 1.3 TLS_AES_128_GCM_SHA256 alpn=h2 cert=a.pem\n. handshake tls-alert 40\n",
		"< a\n. left\n< b\n. dial refused\n", "<\n", "< \\u20ac\\'\\\"\n", ". \n", "~ -1h\n", "! TLS 1.3 x\n", "#\x00\n", "< \\q\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		noCertificate := func(string) ([]byte, error) { return nil, nil }
		tr, err := wire.ReadTranscript("t", strings.NewReader(text), noCertificate)
		if err != nil {
			return
		}
		var once, twice strings.Builder
		tr.WriteTo(&once)
		again, err := wire.ReadTranscript("t", strings.NewReader(once.String()), noCertificate)
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, &once)
		}
		again.WriteTo(&twice)
		if once.String() != twice.String() {
			t.Errorf("written once:\n%s\ntwice:\n%s", &once, &twice)
		}
	})
}

// FuzzEscape holds that escapes are lossless and ASCII alone.
func FuzzEscape(f *testing.F) {
	f.Add([]byte("a\\b\r\n\t\x00\xff\u202e\"'"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := wire.Escape(b)
		if i := strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }); i >= 0 {
			t.Errorf("%q has a character that is not printable ASCII", s)
		}
		back, err := wire.Unescape(s)
		if err != nil || !bytes.Equal(back, b) {
			t.Errorf("%q came back as %q: %v", b, back, err)
		}
	})
}
