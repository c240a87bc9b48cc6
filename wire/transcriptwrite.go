package wire

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteTo writes the transcript's text. Certificates must have a file in Event.Cert;
// see [Transcript.NameCertificates].
func (t *Transcript) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	for _, n := range t.Notes {
		writeLines(&b, '#', n)
	}
	for _, x := range t.Exchanges {
		for _, e := range x.Events {
			e.write(&b)
		}
		fmt.Fprintf(&b, ". %s\n", or(x.End, "left"))
	}
	for _, c := range t.Conclusions {
		writeLines(&b, '=', c)
	}
	return b.WriteTo(w)
}

func (e *Event) write(b *bytes.Buffer) {
	switch e.Mark {
	case '~':
		fmt.Fprintf(b, "~ %s\n", e.Wait)
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
			fmt.Fprintf(b, "%c %s\n", e.Mark, Escape(line))
		}
	}
}

// writeLines writes a text of one or several lines, each behind the mark.
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
