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
