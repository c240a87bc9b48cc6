package mail

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"herald/wire"
)

// The message of a round trip: how it is written, and how it is known again.

// probeField is the header field by which a probe is known where its Message-ID was changed.
const probeField = "X-Herald-Probe"

// probe makes a message's names; the message itself is written when it is sent.
func (t *trip) probe(s *Service, outside bool) *Probe {
	b := make([]byte, 16) // 128 bits: nobody has such a message, nor guesses it
	rand.Read(b)
	token := hex.EncodeToString(b)
	_, domain, _ := strings.Cut(t.out.Mailbox, "@")
	return &Probe{Service: s, Outside: outside, Token: token, ID: token + "@" + domain}
}

// write is the message. Its lines are those that mail systems have been known to change:
// dots, From, blanks at the end, the longest that are allowed (RFC 5322, 2.1.1).
func (p *Probe) write(from, to string, at time.Time) []byte {
	var b bytes.Buffer
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\r\n", a...) }
	line("Date: %s", at.Format(time.RFC1123Z))
	line("From: Herald <%s>", from)
	line("To: <%s>", to)
	line("Subject: Herald round trip %s", p.Token)
	line("Message-ID: <%s>", p.ID)
	line("Auto-Submitted: auto-generated") // RFC 3834, 5: nobody answers that
	line(probeField+": %s", p.Token)
	line("MIME-Version: 1.0")
	line("Content-Type: text/plain; charset=us-ascii")
	line("Content-Transfer-Encoding: 7bit")
	line("")
	line("Herald was asked to try whether mail goes round, and sent this message. It deletes")
	line("it as soon as it has come. Where it is still there, it may be deleted.")
	line("")
	line("Lines that mail systems change:")
	line(".")
	line("..")
	line(".begins with a dot")
	line("From the beginning of a line")
	line(">From there")
	line("ends in blanks  ")
	line("\tbegins with a tab")
	line("%s", strings.Repeat("a long line ", 84)[:mostLine])
	line("%s", p.Token)
	return b.Bytes()
}

// mostLine is how long a line of a message may be, in bytes without its end (RFC 5322,
// 2.1.1).
const mostLine = 998

// dotted is a message as DATA has it: a line's first dot is doubled, a lone dot ends it
// (RFC 5321, 4.5.2).
func dotted(message []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(message) {
		if line[0] == '.' {
			b.WriteByte('.')
		}
		b.Write(line)
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// field is a header field, unfolded.
type field struct{ name, value string }

// split parts a message's header from its body. What is no field is left out.
func split(message []byte) (header []field, body []byte) {
	for len(message) > 0 {
		line, rest, _ := bytes.Cut(message, []byte("\n"))
		message = rest
		text := strings.TrimRight(string(line), "\r")
		if text == "" {
			return header, rest
		}
		if last := len(header) - 1; last >= 0 && (text[0] == ' ' || text[0] == '\t') {
			header[last].value += " " + strings.TrimSpace(text)
			continue
		}
		if name, value, ok := strings.Cut(text, ":"); ok {
			header = append(header, field{strings.TrimRight(name, " \t"), strings.TrimSpace(value)})
		}
	}
	return header, nil
}

// values are those of all fields of a name, the first on top.
func values(header []field, name string) (list []string) {
	for _, f := range header {
		if strings.EqualFold(f.name, name) {
			list = append(list, f.value)
		}
	}
	return list
}

// value is that of the first field of a name, "" without.
func value(header []field, name string) string {
	for _, v := range values(header, name) {
		return v
	}
	return ""
}

// is says that a message with this header is the probe, and no answer to it, no bounce of
// it and nobody else's.
func (p *Probe) is(header []field) bool {
	for _, id := range values(header, "Message-ID") {
		if id == "<"+p.ID+">" {
			return true
		}
	}
	for _, token := range values(header, probeField) {
		if token == p.Token {
			return true
		}
	}
	return false
}

// sender is the address that a message from outside is from. It must not be the mailbox's
// own: DMARC would have it refused.
func sender(c *wire.Conversation) string {
	if hello := c.Manners().Hello; strings.Contains(hello, ".") && !strings.HasPrefix(hello, "[") {
		return "herald@" + hello
	}
	return "herald@" + addressLiteral(c.Local())
}
