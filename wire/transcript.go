package wire

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Transcript is the record of the conversations with one endpoint, as a text file that
// is readable in a review, exact to the byte and writable by hand:
//
//	# Dovecot 2.3.19, Debian bookworm
//	< +OK Dovecot ready.\r\n
//	> CAPA\r\n
//	! TLS 1.3 TLS_AES_128_GCM_SHA256 alpn=imap cert=dovecot.pem
//	~ 6.2s
//	. closed
//	= product Dovecot
//
// A line begins with what it is: '#' a note, '<' received, '>' sent, '!' TLS stands from
// here, '~' a silence worth keeping, '.' how the conversation ended, '=' what must be
// concluded. The rest, after one space, is text with escapes as in Go. '.' ends a
// conversation; what follows it is the next connection to the same endpoint.
//
// Goals: one currency of tests, bug reports and reports. Non-goals: timing to the
// millisecond, packets, the bytes of TLS.
type Transcript struct {
	Notes       []string
	Exchanges   []Exchange // one a connection
	Conclusions []string   // the '=' lines: "confirmed pop3", "product Dovecot"
}

// Exchange is one connection's part of a transcript.
type Exchange struct {
	Events []Event
	End    string // "closed" by us ("left"), or a failure: "read timeout", "handshake tls-alert 40"
}

// Event is one line of the protocol, or several that came together.
type Event struct {
	Mark byte // '<', '>', '!', '~'
	Data []byte
	TLS  *TLSState     // for '!'
	Wait time.Duration // for '~'
	Cert string        // for '!': the file of the chain, PEM, as written in the transcript
}

// worthKeeping is a silence that a reader wants to know of.
const worthKeeping = time.Second

// Exchange is what was said and heard until now.
func (c *Conversation) Exchange() Exchange {
	c.lent.Lock()
	defer c.lent.Unlock()
	var x Exchange
	heard, said := c.heard, c.said
	var last time.Duration
	for i, e := range c.record.events {
		if gap := e.at - last; e.kind == eventHeard && gap >= worthKeeping {
			x.Events = append(x.Events, Event{Mark: '~', Wait: gap.Round(100 * time.Millisecond)})
		}
		last = e.at
		n := int(e.bytes)
		switch e.kind {
		case eventHeard:
			if i > 0 && c.record.events[i-1].kind == eventHeard && len(x.Events) > 0 && x.Events[len(x.Events)-1].Mark == '<' {
				p := &x.Events[len(x.Events)-1] // pieces of one message are one message
				p.Data = p.Data[:len(p.Data)+n]
			} else {
				x.Events = append(x.Events, Event{Mark: '<', Data: heard[:n]})
			}
			heard = heard[n:]
		case eventSaid:
			x.Events = append(x.Events, Event{Mark: '>', Data: said[:n:n]})
			said = said[n:]
		case eventTLS:
			x.Events = append(x.Events, Event{Mark: '!', TLS: c.tls})
		}
	}
	if end := c.record.end - last; end >= worthKeeping && c.failure != nil && c.failure.Kind == Timeout {
		x.Events = append(x.Events, Event{Mark: '~', Wait: end.Round(100 * time.Millisecond)})
	}
	x.End = "left"
	if c.failure != nil && !c.record.left {
		x.End = string(c.failure.Op) + " " + string(c.failure.Kind)
		if c.failure.Kind == TLSAlert {
			x.End += " " + strconv.Itoa(int(c.failure.Alert))
		}
	}
	x.mask(c.secrets)
	return x
}

// FailedExchange is the record of a connection that never stood.
func FailedExchange(f *Failure) Exchange {
	return Exchange{End: string(f.Op) + " " + string(f.Kind)}
}

// WriteTo writes the transcript's text. Certificates must have a file in Event.Cert;
// see [Transcript.NameCertificates].
func (t *Transcript) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	for _, n := range t.Notes {
		writeLines(&b, '#', n)
	}
	for _, x := range t.Exchanges {
		for _, e := range x.Events {
			switch e.Mark {
			case '~':
				fmt.Fprintf(&b, "~ %s\n", e.Wait)
			case '!':
				b.WriteString("! " + e.TLS.VersionName() + " " + e.TLS.CipherName())
				if e.TLS.ALPN != "" {
					b.WriteString(" alpn=" + strings.ReplaceAll(Escape([]byte(e.TLS.ALPN)), " ", `\x20`))
				}
				if e.Cert != "" {
					b.WriteString(" cert=" + e.Cert)
				}
				b.WriteByte('\n')
			default:
				for line := range bytes.Lines(e.Data) {
					b.WriteByte(e.Mark)
					b.WriteByte(' ')
					b.WriteString(Escape(line))
					b.WriteByte('\n')
				}
			}
		}
		fmt.Fprintf(&b, ". %s\n", or(x.End, "left"))
	}
	for _, c := range t.Conclusions {
		writeLines(&b, '=', c)
	}
	return b.WriteTo(w)
}

func writeLines(b *bytes.Buffer, mark byte, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "%c %s\n", mark, visible(strings.TrimRight(line, "\n")))
	}
}

// visible is a text for people with what is not printable escaped: a note has the target
// as the user's list spells it.
func visible(text string) string {
	var s strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&s, `\x%02x`, text[i])
		case !strconv.IsPrint(r):
			s.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			s.WriteRune(r)
		}
	}
	return s.String()
}

// Escape writes bytes as Go would inside a string literal, ASCII only, quotes left
// alone: safe for a terminal, a log and a review, and lossless.
func Escape(b []byte) string {
	var s strings.Builder
	s.Grow(len(b) + 8)
	for _, c := range b {
		switch {
		case c == '\\':
			s.WriteString(`\\`)
		case c == '\r':
			s.WriteString(`\r`)
		case c == '\n':
			s.WriteString(`\n`)
		case c == '\t':
			s.WriteString(`\t`)
		case c < 0x20 || c >= 0x7f:
			const hexDigits = "0123456789abcdef"
			s.WriteString(`\x`)
			s.WriteByte(hexDigits[c>>4])
			s.WriteByte(hexDigits[c&15])
		default:
			s.WriteByte(c)
		}
	}
	return s.String()
}

// Unescape reads what [Escape] writes, and Go's other escapes.
func Unescape(s string) ([]byte, error) {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		if s[0] != '\\' {
			out = append(out, s[0])
			s = s[1:]
			continue
		}
		if len(s) > 1 && (s[1] == '"' || s[1] == '\'') {
			out = append(out, s[1])
			s = s[2:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(s, 0)
		if err != nil {
			return nil, fmt.Errorf("bad escape at %.10q", s)
		}
		if multibyte {
			out = append(out, string(r)...)
		} else {
			out = append(out, byte(r))
		}
		s = tail
	}
	return out, nil
}

// PEM is the state's chain as a PEM file, nil without one.
func (s *TLSState) PEM() []byte {
	var out []byte
	for _, c := range s.Chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// NameCertificates gives each certificate chain in the transcript a file name, made of
// the leaf's SHA-256, and returns the files' contents by name.
func (t *Transcript) NameCertificates() map[string][]byte {
	files := map[string][]byte{}
	for x := range t.Exchanges {
		for i := range t.Exchanges[x].Events {
			e := &t.Exchanges[x].Events[i]
			if e.Mark != '!' || len(e.TLS.Chain) == 0 {
				continue
			}
			sum := sha256.Sum256(e.TLS.Chain[0].Raw)
			e.Cert = hex.EncodeToString(sum[:6]) + ".pem"
			files[e.Cert] = e.TLS.PEM()
		}
	}
	return files
}

// ReadRecording reads a transcript that is a file, with the certificates that lie beside it.
func ReadRecording(files fs.FS, name string) (*Transcript, error) {
	text, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	return ReadTranscript(name, text, func(cert string) ([]byte, error) {
		return fs.ReadFile(files, path.Join(path.Dir(name), cert))
	})
}

// ReadTranscript reads a transcript's text. The name is for errors; open gives the
// certificate files that it names, and may be nil where it names none.
func ReadTranscript(name string, r io.Reader, open func(file string) ([]byte, error)) (*Transcript, error) {
	const longest = 1 << 20 // bytes in one line of the file
	t := &Transcript{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	var x *Exchange
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if line == "" {
			continue
		}
		bad := func(format string, a ...any) error {
			return fmt.Errorf("%s:%d: %s", name, n, fmt.Sprintf(format, a...))
		}
		text, spaced := strings.CutPrefix(line[1:], " ")
		if !spaced && line != line[:1] {
			return nil, bad("a space must follow %q", line[:1])
		}
		if strings.IndexByte("<>!~.", line[0]) >= 0 && x == nil {
			t.Exchanges = append(t.Exchanges, Exchange{})
			x = &t.Exchanges[len(t.Exchanges)-1]
		}
		switch line[0] {
		case '#':
			t.Notes = append(t.Notes, text)
		case '=':
			t.Conclusions = append(t.Conclusions, text)
		case '<', '>':
			data, err := Unescape(text)
			if err != nil {
				return nil, bad("%v", err)
			}
			if last := len(x.Events) - 1; last >= 0 && x.Events[last].Mark == line[0] {
				x.Events[last].Data = append(x.Events[last].Data, data...)
			} else {
				x.Events = append(x.Events, Event{Mark: line[0], Data: data})
			}
		case '~':
			wait, err := time.ParseDuration(text)
			if err != nil {
				return nil, bad("a silence is written like 6.2s, not %q", text)
			}
			x.Events = append(x.Events, Event{Mark: '~', Wait: wait})
		case '!':
			e, err := parseTLS(text, open)
			if err != nil {
				return nil, bad("%v", err)
			}
			x.Events = append(x.Events, e)
		case '.':
			x.End = text
			if _, err := endFailure(text); err != nil {
				return nil, bad("%v", err)
			}
			x = nil
		default:
			return nil, bad("a line begins with one of # < > ! ~ . =, not %q", line[:1])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func parseTLS(text string, open func(string) ([]byte, error)) (Event, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return Event{}, fmt.Errorf("TLS is written like %q", "TLS 1.3 TLS_AES_128_GCM_SHA256")
	}
	s := &TLSState{}
	e := Event{Mark: '!', TLS: s}
	for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
		if tls.VersionName(v) == words[0]+" "+words[1] {
			s.Version = v
		}
	}
	for _, id := range allSuites() {
		if tls.CipherSuiteName(id) == words[2] {
			s.Cipher = id
		}
	}
	if s.Version == 0 || s.Cipher == 0 {
		return e, fmt.Errorf("unknown TLS version or suite in %q", text)
	}
	for _, w := range words[3:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "alpn":
			alpn, err := Unescape(value)
			if err != nil {
				return e, err
			}
			s.ALPN = string(alpn)
		case "cert":
			e.Cert = value
			if open == nil {
				return e, fmt.Errorf("no way to open certificate file %q", value)
			}
			data, err := open(value)
			if err != nil {
				return e, err
			}
			for {
				var block *pem.Block
				if block, data = pem.Decode(data); block == nil {
					break
				}
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					return e, fmt.Errorf("%s: %w", value, err)
				}
				s.Chain = append(s.Chain, cert)
			}
		default:
			return e, fmt.Errorf("unknown word %q; allowed: alpn=, cert=", w)
		}
	}
	return e, nil
}

// endFailure reads a '.' line's text: nil where we left by ourselves.
func endFailure(text string) (*Failure, error) {
	words := strings.Fields(text)
	switch {
	case len(words) == 1 && (words[0] == "left" || words[0] == "closed"):
		return nil, nil
	case len(words) < 2:
		return nil, fmt.Errorf("an end is written like %q or %q, not %q", "left", "read timeout", text)
	}
	f := &Failure{Op: Op(words[0]), Kind: Kind(words[1])}
	if len(words) > 2 {
		n, err := strconv.ParseUint(words[2], 10, 8)
		if err != nil {
			return nil, fmt.Errorf("an alert is a number from 0 to 255, not %q", words[2])
		}
		f.Alert = uint8(n)
	}
	return f, nil
}
