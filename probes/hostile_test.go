package probes_test

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"

	"herald/probes"
	"herald/wire"
)

// Servers that would keep a program busy for ever end at a bound of ours, with a result.
func TestEndlessWordsEnd(t *testing.T) {
	const much = 1 << 20 // bytes: four times what a conversation may hear
	endless := func(begin, line string) string { return begin + strings.Repeat(line, much/len(line)) }
	for _, test := range []struct {
		probe probes.Probe
		what  string
		words string
	}{
		{probes.SMTP, "greeting", endless("", "220-mx.example.org ESMTP\r\n")},
		{probes.SMTP, "lines without a code", endless("220-mx.example.org ESMTP\r\n", "\n")},
		{probes.SMTP, "line", endless("220 ", "a")},
		{probes.SMTP, "extensions", endless("220 mx ESMTP\r\n"+turn, "250-X\r\n")},
		{probes.LMTP, "extensions", endless("220 mx LMTP\r\n"+turn, "250-X\r\n")},
		{probes.FTP, "greeting", endless("220-\r\n", "hello\r\n")},
		{probes.FTP, "features", endless("220 FTP\r\n"+turn+"211-x\r\n", " X\r\n")},
		{probes.POP3, "greeting", endless("+OK ", "a")},
		{probes.POP3, "capabilities", endless("+OK\r\n"+turn+"+OK\r\n", "X\r\n")},
		{probes.IMAP, "greeting", endless("* OK ", "a")},
		{probes.IMAP, "untagged responses", endless("* OK\r\n"+turn, "* X\r\n")},
		{probes.IMAP, "literals", endless("* OK\r\n"+turn+"* X {0}\r\n", " {0}\r\n")},
		{probes.NNTP, "greeting", endless("200 ", "a")},
		{probes.NNTP, "capabilities", endless("200 news\r\n"+turn+"101 list\r\n", "X\r\n")},
		{probes.Sieve, "capabilities", endless("", "\"X\"\r\n")},
		{probes.Sieve, "a string", endless("\"IMPLEMENTATION\" \"", "a")},
		{probes.HTTP, "status line", endless("HTTP/1.1 200 ", "a")},
		{probes.HTTP, "field lines", endless("HTTP/1.1 200 OK\r\n", "A: b\r\n")},
		{probes.HTTP, "a folded field", endless("HTTP/1.1 200 OK\r\nA: b\r\n", " c\r\n")},
		{probes.HTTP, "interim responses", endless("", "HTTP/1.1 100 Continue\r\n\r\n")},
		{probes.HTTPProxy, "field lines", endless(turn+"HTTP/1.1 502 x\r\n", "A: b\r\n")},
		{probes.SSH, "lines", endless("", strings.Repeat("a", 8<<10))},
	} {
		t.Run(test.probe.Info().Name+" "+test.what, func(t *testing.T) {
			how := &wire.Replay{Transcript: spoken([]byte(test.words), false), AnyWords: true}
			c, err := (&wire.Caller{Transport: how}).Open(context.Background(), wire.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1")})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			o := probes.Observe(c)
			err = test.probe.Converse(c, o)
			if kind := wire.KindOf(err); kind != wire.Limit {
				t.Errorf("it ends with %v, not at a limit", err)
			}
			if received, _ := c.Traffic(); received > wire.DefaultLimits.Bytes {
				t.Errorf("%d bytes were taken", received)
			}
			if n := size(o); n > 2*wire.DefaultLimits.Bytes {
				t.Errorf("%d bytes were noted", n)
			}
		})
	}
}

// What was heard in the clear and what was heard inside TLS must never be taken for each
// other.
func TestEvidenceKnowsItsProtection(t *testing.T) {
	for _, r := range transcripts(t) {
		inside := false
		var clear []byte
		for _, e := range r.transcript.Exchanges[0].Events {
			switch e.Mark {
			case '!':
				inside = true
			case '<':
				if !inside {
					clear = append(clear, e.Data...)
				}
			}
		}
		for _, e := range converse(t, r.probe, r.transcript, torn{}).Evidence {
			if e.TLS && !inside {
				t.Errorf("%s: %s is said to be from inside TLS", r.name, e.Key)
			}
			if !e.TLS && inside && strings.HasPrefix(e.Key, r.probe.Info().Name+".") && heardWhole(e.Key) && !bytes.Contains(clear, e.Text) {
				t.Errorf("%s: %s is said to be from the clear: %q", r.name, e.Key, e.Text)
			}
		}
	}
}

// heardWhole is true for the keys whose text is the server's, byte for byte.
func heardWhole(key string) bool {
	return strings.HasSuffix(key, ".greeting") || strings.HasSuffix(key, ".quit") || strings.HasSuffix(key, ".ehlo") || strings.HasSuffix(key, ".capability")
}
