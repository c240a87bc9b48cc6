package wire

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

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

// ReadTranscript reads a transcript's text. The name is for errors, which begin with it and the
// line; open gives the certificate files that it names, and may be nil where it names none.
func ReadTranscript(name string, r io.Reader, open func(file string) ([]byte, error)) (*Transcript, error) {
	const longest = 1 << 20 // bytes in one line of the file
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	t := transcriptReader{open: open}
	for n := 1; lines.Scan(); n++ {
		if err := t.line(lines.Text()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &t.Transcript, nil
}

// transcriptReader is a transcript that is being read.
type transcriptReader struct {
	Transcript
	open    func(file string) ([]byte, error)
	current *Exchange // that events are added to; nil between two
}

func (t *transcriptReader) line(line string) error {
	if line == "" {
		return nil
	}
	mark := line[0]
	text, spaced := strings.CutPrefix(line[1:], " ")
	if !spaced && line != line[:1] {
		return fmt.Errorf("a space must follow %q", line[:1])
	}
	switch mark {
	case '#':
		t.Notes = append(t.Notes, text)
	case '=':
		t.Conclusions = append(t.Conclusions, text)
	case '<', '>', '!', '~':
		e, err := t.event(mark, text)
		if err != nil {
			return err
		}
		t.exchange().add(e)
	case '.':
		if _, err := endFailure(text); err != nil {
			return err
		}
		t.exchange().End = text
		t.current = nil
	default:
		return fmt.Errorf("a line begins with one of # < > ! ~ . =, not %q", line[:1])
	}
	return nil
}

// exchange is the one that is read, begun where there is none.
func (t *transcriptReader) exchange() *Exchange {
	if t.current == nil {
		t.Exchanges = append(t.Exchanges, Exchange{})
		t.current = &t.Exchanges[len(t.Exchanges)-1]
	}
	return t.current
}

func (t *transcriptReader) event(mark byte, text string) (Event, error) {
	e := Event{Mark: mark}
	var err error
	switch mark {
	case '!':
		return parseTLS(text, t.open)
	case '~':
		if e.Wait, err = time.ParseDuration(text); err != nil {
			return e, fmt.Errorf("a silence is written like 6.2s, not %q", text)
		}
	default:
		e.Data, err = Unescape(text)
	}
	return e, err
}

// add appends an event; lines of one side, one after the other, are one event.
func (x *Exchange) add(e Event) {
	if last := len(x.Events) - 1; last >= 0 && e.Data != nil && x.Events[last].Mark == e.Mark {
		x.Events[last].Data = append(x.Events[last].Data, e.Data...)
		return
	}
	x.Events = append(x.Events, e)
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
		var err error
		switch key {
		case "alpn":
			var alpn []byte
			alpn, err = Unescape(value)
			s.ALPN = string(alpn)
		case "cert":
			e.Cert = value
			s.Chain, err = readChain(value, open)
		default:
			err = fmt.Errorf("unknown word %q; allowed: alpn=, cert=", w)
		}
		if err != nil {
			return e, err
		}
	}
	return e, nil
}

// readChain reads the certificates of a PEM file, in their order.
func readChain(name string, open func(string) ([]byte, error)) (chain []*x509.Certificate, err error) {
	if open == nil {
		return nil, fmt.Errorf("no way to open certificate file %q", name)
	}
	data, err := open(name)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		chain = append(chain, cert)
	}
	return chain, nil
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
