package probes_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
)

// The tests of every probe. They walk the registry and testdata: a transcript in
// testdata/NAME/ is a conversation with a server of that probe's protocol, or with one that
// only looks like it. What must be concluded stands in the transcript:
//
//	= confirmed smtp           the protocol's grammar held through an exchange
//	= declined                 the server turned us away
//	= other protocol           the probe saw that this is somebody else's
//	= failure read timeout     how it ended early
//	= product X, = version Y   what the signatures say of the evidence
//	= rivals ftp lmtp          probes that take the greeting for theirs as surely or more
//	= evidence pop3.apop <1@a> the text of the last evidence under that key, escaped
//	= port 5269                no conclusion: where it was, if not on the probe's first port
//
// Without a "rivals" line the probe must rank alone at the top by the greeting.

// recorded is a transcript of a probe.
type recorded struct {
	name       string // "smtp/postfix-3.7.11"
	probe      probes.Probe
	transcript *wire.Transcript
}

func transcripts(t testing.TB) []recorded {
	t.Helper()
	var all []recorded
	for _, p := range probes.All() {
		name := p.Info().Name
		files, err := filepath.Glob(filepath.Join("testdata", name, "*.txt"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			all = append(all, recorded{name + "/" + strings.TrimSuffix(filepath.Base(file), ".txt"), p, read(t, file)})
		}
	}
	return all
}

func read(t testing.TB, file string) *wire.Transcript {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr, err := wire.ReadTranscript(file, f, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(filepath.Dir(file), name))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Exchanges) == 0 {
		t.Fatalf("%s: no conversation in it", file)
	}
	// Where a scan needed several connections, the last is the one that settled it.
	tr.Exchanges = tr.Exchanges[len(tr.Exchanges)-1:]
	return tr
}

// outcome is what a probe made of a conversation.
type outcome struct {
	*probes.Observation
	err error
}

func TestEveryProbeHasATranscript(t *testing.T) {
	has := map[string]bool{}
	for _, r := range transcripts(t) {
		has[r.probe.Info().Name] = true
	}
	for _, p := range probes.All() {
		if name := p.Info().Name; !has[name] {
			t.Errorf("probe %s has none: record one in testdata/%s", name, name)
		}
	}
	folders, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if name := folder.Name(); name != "fuzz" && probes.Named(name) == nil {
			t.Errorf("testdata/%s: no probe has this name", name)
		}
	}
}

// torn is in which pieces a transcript is played, and where it is cut; see [wire.Replay].
type torn struct{ piece, cut int }

// converse plays a transcript to a probe.
func converse(t testing.TB, p probes.Probe, tr *wire.Transcript, how torn) outcome {
	t.Helper()
	endpoint := wire.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Security: wire.Plain}
	if ports := p.Info().Ports; len(ports) > 0 {
		endpoint.Addr = netip.AddrPortFrom(endpoint.Addr.Addr(), ports[0].Number)
	}
	for _, line := range tr.Conclusions {
		if number, ok := strings.CutPrefix(line, "port "); ok {
			endpoint.Addr = netip.MustParseAddrPort("127.0.0.1:" + number)
		}
	}
	if events := tr.Exchanges[0].Events; len(events) > 0 && events[0].Mark == '!' {
		endpoint.Security = wire.TLS
	}
	c, err := (&wire.Caller{Transport: &wire.Replay{Transcript: tr, Piece: how.piece, Cut: how.cut}}).Open(context.Background(), endpoint)
	if c == nil {
		t.Fatalf("the replay does not open: %v", err)
	}
	defer c.Close()
	o := probes.Observe(c)
	if err == nil {
		c.Listen(0) // as a scan does first
		err = p.Converse(c, o)
	}
	return outcome{o, err}
}

// say is all of the outcome that must not depend on how the bytes came.
func (o outcome) say() string {
	var b strings.Builder
	fmt.Fprintf(&b, "confirmed %v, declined %v, protocol %q, failure %q, other protocol %v\n",
		o.Confirmed, o.Declined, o.Protocol, wire.KindOf(o.err), errors.Is(o.err, probes.ErrOtherProtocol))
	for _, e := range o.Evidence {
		fmt.Fprintf(&b, "%s (TLS %v): %s\n", e.Key, e.TLS, wire.Escape(e.Text))
	}
	return b.String()
}

func TestTranscriptsConcludeWhatTheySay(t *testing.T) {
	for _, r := range transcripts(t) {
		t.Run(r.name, func(t *testing.T) {
			o := converse(t, r.probe, r.transcript, torn{})
			for _, line := range r.transcript.Conclusions {
				hold(t, r, o, line)
			}
			if says(r, "confirmed") != o.Confirmed {
				t.Errorf("confirmed = %v, which the transcript does not say; the outcome is\n%s", o.Confirmed, o.say())
			}
			if says(r, "declined") != o.Declined {
				t.Errorf("declined = %v, which the transcript does not say", o.Declined)
			}
			if other := errors.Is(o.err, probes.ErrOtherProtocol); says(r, "other protocol") != other {
				t.Errorf("other protocol = %v, which the transcript does not say: %v", other, o.err)
			}
			if kind := wire.KindOf(o.err); kind != "" && !says(r, "failure") {
				t.Errorf("it ended early, which the transcript does not say: %v", o.err)
			}
		})
	}
}

// says says whether a transcript has a conclusion that begins with these words.
func says(r recorded, words string) bool {
	return slices.ContainsFunc(r.transcript.Conclusions, func(line string) bool {
		return line == words || strings.HasPrefix(line, words+" ")
	})
}

// hold checks one conclusion.
func hold(t *testing.T, r recorded, o outcome, line string) {
	t.Helper()
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "confirmed":
		protocol := o.Protocol
		if protocol == "" {
			protocol = r.probe.Info().Name
		}
		if !o.Confirmed || rest != protocol {
			t.Errorf("= %s: does not hold: confirmed is %v, the protocol %s\n%s", line, o.Confirmed, protocol, o.say())
		}
	case "declined", "other", "rivals", "port":
	case "failure":
		op, kind, _ := strings.Cut(rest, " ")
		var f *wire.Failure
		if !errors.As(o.err, &f) || string(f.Op) != op || string(f.Kind) != kind {
			t.Errorf("= %s: does not hold: %v", line, o.err)
		}
	case "evidence":
		key, text, _ := strings.Cut(rest, " ")
		if got := wire.Escape(o.Text(key)); got != text {
			t.Errorf("= %s: does not hold: the text is\n%s", line, got)
		}
	default:
		if !slices.Contains(fingerprint.Fields, word) {
			t.Errorf("= %s: no such conclusion", line)
			break
		}
		claims := fingerprint.Builtin().Match(o.Evidence)
		if best, _ := fingerprint.Best(claims, word); best.Value != rest {
			t.Errorf("= %s: does not hold: %s is %q", line, word, best.Value)
		}
	}
}

// TCP keeps the order of bytes and nothing else.
func TestPiecesChangeNothing(t *testing.T) {
	for _, r := range transcripts(t) {
		t.Run(r.name, func(t *testing.T) {
			whole := converse(t, r.probe, r.transcript, torn{}).say()
			for _, n := range []int{1, 2, 3, 7} {
				if got := converse(t, r.probe, r.transcript, torn{piece: n}).say(); got != whole {
					t.Fatalf("in pieces of %d bytes:\n%s\nwhole:\n%s", n, got, whole)
				}
			}
		})
	}
}

// A server may die after any byte. There is a result, and the failure is that it closed,
// or what it was without the cut.
func TestCutsAreFailures(t *testing.T) {
	for _, r := range transcripts(t) {
		t.Run(r.name, func(t *testing.T) {
			total := 0
			for _, e := range r.transcript.Exchanges[0].Events {
				if e.Mark == '<' {
					total += len(e.Data)
				}
			}
			uncut := converse(t, r.probe, r.transcript, torn{})
			for cut := 0; cut <= total; cut++ {
				how := torn{cut: cut}
				if cut == 0 {
					how.cut = -1
				}
				o := converse(t, r.probe, r.transcript, how)
				switch kind := wire.KindOf(o.err); kind {
				case "", wire.Closed, wire.KindOf(uncut.err):
				default:
					t.Fatalf("cut after %d bytes: %v", cut, o.err)
				}
				if len(o.Evidence) > len(uncut.Evidence)+1 { // one more: a text that was cut
					t.Fatalf("cut after %d bytes there is more evidence than without:\n%s", cut, o.say())
				}
				if o.Confirmed && !uncut.Confirmed && !errors.Is(uncut.err, probes.ErrOtherProtocol) {
					t.Fatalf("cut after %d bytes it is confirmed, whole it is not", cut)
				}
			}
		})
	}
}

func TestGreetingsAreRecognized(t *testing.T) {
	for _, r := range transcripts(t) {
		greeting := greetingOf(r.transcript)
		if len(greeting) == 0 || r.probe.Info().Asks {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			own := r.probe.Recognize(greeting)
			if own == probes.Unlike && r.probe.Info().Formless {
				return // it is heard for its port's sake
			}
			if own == probes.Unlike {
				t.Fatalf("the probe does not know its own greeting: %q", greeting)
			}
			var rivals []string
			for _, p := range probes.All() {
				if name := p.Info().Name; p != r.probe && p.Recognize(greeting) >= own {
					rivals = append(rivals, name)
				}
			}
			var told []string
			for _, line := range r.transcript.Conclusions {
				if rest, ok := strings.CutPrefix(line, "rivals "); ok {
					told = strings.Fields(rest)
				}
			}
			slices.Sort(told)
			if !slices.Equal(rivals, told) {
				t.Errorf("%q: as sure or surer (%d) are %q; the transcript tells of %q", greeting, own, rivals, told)
			}
		})
	}
}

// greetingOf is what the server said before we spoke.
func greetingOf(tr *wire.Transcript) []byte {
	for _, e := range tr.Exchanges[0].Events {
		switch e.Mark {
		case '<':
			return e.Data
		case '>':
			return nil
		}
	}
	return nil
}

// The evidence that a probe notes is told in its Info, so that a signature can be written
// by reading the list.
func TestEvidenceHasAKey(t *testing.T) {
	known := map[string]bool{}
	for _, k := range probes.TLSKeys {
		known[k.Name] = true
	}
	for _, p := range probes.All() {
		for _, k := range p.Info().Keys {
			known[k.Name] = true
		}
	}
	told := func(key string) bool {
		for {
			if known[key] {
				return true
			}
			i := strings.LastIndexByte(strings.TrimSuffix(key, ".*"), '.')
			if i < 0 {
				return false
			}
			key = key[:i] + ".*"
		}
	}
	for _, r := range transcripts(t) {
		for _, e := range converse(t, r.probe, r.transcript, torn{}).Evidence {
			if !told(e.Key) {
				t.Errorf("%s: no probe tells of the key %s", r.name, e.Key)
			}
		}
	}
}

func TestInfoIsWhole(t *testing.T) {
	for _, p := range probes.All() {
		info := p.Info()
		if info.Name != strings.ToLower(info.Name) || strings.ContainsAny(info.Name, " ._") {
			t.Errorf("%s: a name is lower case, words joined by -", info.Name)
		}
		if len(info.Keys) == 0 {
			t.Errorf("%s: notes nothing", info.Name)
		}
		for _, k := range info.Keys {
			if k.Name == "" || k.About == "" {
				t.Errorf("%s: key %q says nothing of itself", info.Name, k.Name)
			}
		}
		for _, port := range info.Ports {
			if port.Number == 0 || port.Security != wire.Plain && port.Security != wire.TLS {
				t.Errorf("%s: port %v is no beginning", info.Name, port)
			}
		}
	}
}

// FuzzRecognize asks every probe about bytes of any kind.
func FuzzRecognize(f *testing.F) {
	for _, r := range transcripts(f) {
		f.Add(greetingOf(r.transcript))
	}
	for _, hostile := range hostileWords {
		f.Add([]byte(hostile))
	}
	f.Fuzz(func(t *testing.T, words []byte) {
		for _, p := range probes.All() {
			if like := p.Recognize(words); like < 0 || like > 100 {
				t.Errorf("%s: likeness %d is not from 0 to 100", p.Info().Name, like)
			}
			if o, ok := p.(probes.Overhearer); ok {
				if like := o.Overhear("http", words); like < 0 || like > 100 {
					t.Errorf("%s: likeness %d is not from 0 to 100", p.Info().Name, like)
				}
			}
		}
	})
}

// FuzzConverse lets a server say anything, in any pieces, to every probe. Each time that
// the client has spoken, the server says its next words, which are separated by a line
// that begins with a NUL; a handshake always succeeds.
func FuzzConverse(f *testing.F) {
	for _, r := range transcripts(f) {
		var script []byte
		for _, e := range r.transcript.Exchanges[0].Events {
			switch e.Mark {
			case '<':
				script = append(script, e.Data...)
			case '>':
				script = append(script, turn...)
			}
		}
		if len(script) < 4<<10 {
			f.Add(script, uint8(0), true)
		}
	}
	for _, hostile := range hostileWords {
		f.Add([]byte(hostile), uint8(1), false)
	}
	f.Fuzz(func(t *testing.T, script []byte, piece uint8, closes bool) {
		for _, p := range probes.All() {
			tr := spoken(script, closes)
			for _, security := range []wire.Security{wire.Plain, wire.TLS} {
				how := &wire.Replay{Transcript: tr, Piece: int(piece), AnyWords: true}
				c, err := (&wire.Caller{Transport: how}).Open(context.Background(), wire.Endpoint{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Security: security})
				if err != nil {
					t.Fatal(err)
				}
				o := probes.Observe(c)
				err = p.Converse(c, o)
				if kind := wire.KindOf(err); kind == wire.Internal {
					t.Errorf("%s: %v", p.Info().Name, err)
				}
				if noted := size(o); noted > 8*len(script)+4<<10 {
					t.Errorf("%s: notes %d bytes of %d", p.Info().Name, noted, len(script))
				}
				c.Close()
			}
		}
	})
}

const turn = "\x00\n"

// spoken is a transcript in which the server says the script.
func spoken(script []byte, closes bool) *wire.Transcript {
	var x wire.Exchange
	for words := range strings.SplitSeq(string(script), turn) {
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
	return &wire.Transcript{Exchanges: []wire.Exchange{x}}
}

// size is the number of bytes in the evidence.
func size(o *probes.Observation) (n int) {
	for _, e := range o.Evidence {
		n += len(e.Text)
	}
	return n
}

// hostileWords are what has broken programs of this kind: nothing, three bytes, a line
// end alone, lengths that lie, lines and replies without end.
var hostileWords = []string{
	"", "\n", "\r\n", "220", "220-", "220-\r\n", "+OK", "-", "-ERR", "* ", "* O", "* OK", "* OK\r\n", "OK", `"`, `"IMPLEMENTATION"`, `"\`,
	"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x16\x03\x01\x00\x00", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\n\r\n", "SSH-", "RFB ",
	"* OK {99999999999999999999}\r\n", "* OK x\r\n\x00\nh1 OK {5}\r\n", "\"SIEVE\" {18446744073709551616}\r\n", "* ID (\"a\" {3}\r\n",
	"+OK\r\n\x00\n+OK\r\nSTLS\r\n.\r\n\x00\n+OK\r\ninjected\r\n",
	"220 a\r\n\x00\n250-a\r\n250 STARTTLS\r\n\x00\n220 go\r\n250 injected\r\n",
	"200 a\r\n\x00\n101 list\r\n",
	strings.Repeat("220-endless\r\n", 2000), strings.Repeat("a", 20000), strings.Repeat("\"A\" \"B\"\r\n", 2000),
}
