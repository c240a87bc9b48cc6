package scan

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"herald/fingerprint"
	"herald/wire"
)

// FuzzLook lets a server say anything, in any pieces, to the whole walk: each time that
// the client has spoken it says its next words, which are separated by a NUL and a line
// feed, and it does so on every connection.
func FuzzLook(f *testing.F) {
	for _, words := range []string{
		"", "220 mx ESMTP\r\n\x00\n250-mx\r\n250 STARTTLS\r\n\x00\n220 go\r\n", "220 hello\r\n\x00\n530 log in\r\n", "\x00\nHTTP/1.1 200 OK\r\n\r\n",
		"\x00\nHTTP/1.1 400 Bad Request\r\n\r\nplain HTTP to TLS port", "\x00\n\x15\x03\x03\x00\x02\x02\x28", "\x00\n-ERR unknown command 'GET'\r\n",
		"SSH-2.0-x\r\n", "* OK IMAP4rev1\r\n\x00\nh1 OK\r\n", "+OK\r\n\x00\n-ERR\r\n", "\x00\nS", "\x05\x00", "220\xff\r\nSSH-\r\n",
	} {
		f.Add([]byte(words), uint8(3), uint16(25), true)
		f.Add([]byte(words), uint8(0), uint16(443), false)
	}
	fingerprint.Builtin()
	at := netip.MustParseAddr("127.0.0.1")
	f.Fuzz(func(t *testing.T, script []byte, piece uint8, port uint16, closes bool) {
		var x wire.Exchange
		for words := range strings.SplitSeq(string(script), "\x00\n") {
			if len(x.Events) > 0 {
				x.Events = append(x.Events, wire.Event{Mark: '>'})
			}
			if words != "" {
				x.Events = append(x.Events, wire.Event{Mark: '<', Data: []byte(words)})
			}
		}
		if closes {
			x.End = "read closed"
		}
		tr := &wire.Transcript{}
		for range mostConnections {
			tr.Exchanges = append(tr.Exchanges, x)
		}
		options := Options{Caller: wire.Caller{Transport: &wire.Replay{Transcript: tr, Piece: int(piece), AnyWords: true}}}
		found := New(options).Look(t.Context(), Target{Host: "127.0.0.1", Addr: at, Port: port}, wire.Endpoint{Addr: netip.AddrPortFrom(at, port)})
		if found.Failure != nil && found.Failure.Kind == wire.Internal {
			t.Errorf("%v", found.Failure)
		}
		if found.Connections > mostConnections || found.Verdict == "" {
			t.Errorf("%d connections, verdict %q", found.Connections, found.Verdict)
		}
		if found.Verdict == Unknown && len(found.Evidence()) == 0 && found.Received > 0 && found.Failure == nil {
			t.Errorf("%d bytes were heard, and nothing is told of them; steps %v", found.Received, found.Steps)
		}
		var text strings.Builder
		if _, err := found.Transcript().WriteTo(&text); err != nil {
			t.Fatal(err)
		}
		if _, err := wire.ReadTranscript("own", strings.NewReader(text.String()), nil); err != nil {
			t.Errorf("our own transcript is not read: %v\n%s", err, &text)
		}
	})
}

// FuzzSpec holds that a target is refused, or can be written and read again.
func FuzzSpec(f *testing.F) {
	for _, text := range []string{
		"mail.example.org:25,587", "10.0.0.0/30:1-5", "10.0.0.1-9:mail", "[2001:db8::1]:443", "imaps://mail.example.org", "::/0", "a:b:c", "[", "1.2.3.4/33",
		"https://user@host:99999/x", "-", "10.0.0.9-1", "x\x00y", "\u202e", "0.0.0.0/0:1-65535",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text)
		if err != nil {
			return
		}
		n := 0
		for one, err := range s.Targets([]uint16{25}) {
			if err != nil {
				break
			}
			if one.Port == 0 || one.Host == "" && !one.Addr.IsValid() {
				t.Errorf("%q: target %+v", text, one)
			}
			if n++; n == 10 {
				break
			}
		}
	})
}

// FuzzCheckpoint: a file is refused, or continued with what it says.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(`{"format":1,"scan":"x","length":5,"low":3,"done":[4,7]}`))
	f.Add([]byte(`{"format":1,"scan":"x","length":-5,"low":-3,"done":[4,4,1]}`))
	f.Add([]byte(`{"format":1,"scan":"x","low":18446744073709551615,"done":null}`))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "at")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCheckpoint(path, "x")
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("an error without its file: %v", err)
			}
			return
		}
		if c.Length() < 0 || c.Position() > 0 && !c.Skip(c.Position()-1) {
			t.Errorf("%d bytes, position %d", c.Length(), c.Position())
		}
	})
}
