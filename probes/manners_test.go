package probes_test

import (
	"bytes"
	"context"
	"net/netip"
	"regexp"
	"testing"

	"herald/probes"
	"herald/wire"
)

// play has a probe converse with whatever a transcript's server says, and gives what the
// probe said.
func play(t *testing.T, r recorded, m wire.Manners) (said []byte, o *probes.Observation, upgraded bool) {
	t.Helper()
	how := &wire.Replay{Transcript: r.transcript, AnyWords: true}
	c, err := (&wire.Caller{Transport: how, Manners: m}).Open(context.Background(), wire.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o = probes.Observe(c)
	c.Listen(0)
	r.probe.Converse(c, o)
	for _, e := range c.Exchange().Events {
		if e.Mark == '>' {
			said = append(said, e.Data...)
		}
	}
	return said, o, c.TLS() != nil
}

// Who asks for no upgrade gets none, wherever the recordings have one.
func TestNoUpgradeIsHonoured(t *testing.T) {
	for _, r := range transcripts(t) {
		events := r.transcript.Exchanges[0].Events
		inside := false
		for i, e := range events {
			inside = inside || i > 0 && e.Mark == '!'
		}
		if !inside {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			if _, _, upgraded := play(t, r, wire.Manners{}); !upgraded {
				t.Error("without the wish there is no TLS either")
			}
			said, _, upgraded := play(t, r, wire.Manners{NoUpgrade: true})
			if upgraded {
				t.Errorf("it went under TLS all the same; it said\n%s", said)
			}
		})
	}
}

// login is what begins a login, a mail transaction or a transfer in the protocols of
// files, mail and news. None of it is ever said.
var login = regexp.MustCompile(`(?mi)^(h\d+ )?(USER|PASS|APOP|AUTH(?: PLAIN| LOGIN|ENTICATE|INFO)|LOGIN|MAIL|RCPT|DATA|VRFY|EXPN|POST|IHAVE|RETR|STOR|LIST\s*$|NLST|SELECT|EXAMINE)\b`)

func TestNobodyLogsIn(t *testing.T) {
	for _, r := range transcripts(t) {
		switch r.probe {
		case probes.FTP, probes.SMTP, probes.LMTP, probes.POP3, probes.IMAP, probes.NNTP, probes.Sieve:
		default:
			continue
		}
		said, _, _ := play(t, r, wire.Manners{})
		if what := login.Find(said); what != nil {
			t.Errorf("%s: it says %q", r.name, what)
		}
	}
}

// The name that the caller gives is the one by which we introduce ourselves; without one
// it is the address literal of our side, which is valid towards an address too (RFC 5321,
// 4.1.3).
func TestIntroduction(t *testing.T) {
	for _, r := range transcripts(t) {
		if r.name != "smtp/ehlo-refused" && r.name != "lmtp/lhlo-refused" {
			continue
		}
		for name, want := range map[string]string{"": "LO [127.0.0.1]\r\n", "scan.example.org": "LO scan.example.org\r\n"} {
			said, _, _ := play(t, r, wire.Manners{Hello: name})
			if !bytes.Contains(said, []byte(want)) {
				t.Errorf("%s as %q: it says %q", r.name, name, said)
			}
		}
		said, _, _ := play(t, r, wire.Manners{Hello: "a\r\nQUIT"})
		if len(said) != 0 {
			t.Errorf("%s: a name with a line break is said: %q", r.name, said)
		}
	}
}
