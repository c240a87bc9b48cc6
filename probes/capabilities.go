package probes

import (
	"bytes"
	"strings"
)

// Capabilities are what the server says that it can do, one a string, as [SMTPExtensions]
// and its like give them: in the clear, and inside TLS. A list is nil where none was
// heard. Where a list was heard twice under the same protection, the later one counts.
func Capabilities(o *Observation) (clear, protected []string) {
	for _, e := range o.Evidence {
		var list []string
		switch e.Key {
		case "smtp.ehlo", "lmtp.lhlo":
			list = SMTPExtensions(e.Text)
		case "pop3.capa":
			list = POP3Capabilities(e.Text)
		case "imap.greeting", "imap.capability":
			list = IMAPCapabilities(e.Text)
		case "nntp.capabilities":
			list = NNTPCapabilities(e.Text)
		case "ftp.feat":
			list = FTPFeatures(e.Text)
		case "sieve.greeting", "sieve.capability":
			list = SieveCapabilities(e.Text)
		}
		switch {
		case list == nil:
		case e.TLS:
			protected = list
		default:
			clear = list
		}
	}
	return clear, protected
}

// SMTPExtensions are the lines of a reply to EHLO or LHLO after the first, each a keyword
// and its parameters: "SIZE 10240000" (RFC 5321, 4.1.1.1). Nil for any other reply.
func SMTPExtensions(text []byte) []string {
	code, _ := replyLine(text)
	r := reply{Code: code, Text: text}
	if !r.positive() {
		return nil
	}
	list := []string{}
	for _, line := range r.lines()[1:] {
		list = appendWord(list, string(line))
	}
	return list
}

// POP3Capabilities are the lines of a reply to CAPA: "SASL PLAIN" (RFC 2449, 5). Nil for
// any other reply.
func POP3Capabilities(text []byte) []string {
	if status(firstLine(text)) != "+OK" {
		return nil
	}
	return blockLines(text)
}

// NNTPCapabilities are the lines of a reply to CAPABILITIES: "LIST ACTIVE NEWSGROUPS" (RFC
// 3977, 5.2). Nil for any other reply.
func NNTPCapabilities(text []byte) []string {
	if code, _ := replyLine(text); code != 101 {
		return nil
	}
	return blockLines(text)
}

// IMAPCapabilities are the atoms in untagged CAPABILITY responses, or failing that in the
// CAPABILITY code of a greeting: "AUTH=PLAIN" (RFC 9051, 7.2.2). Nil where there are none.
func IMAPCapabilities(text []byte) []string {
	var list []string
	for line := range bytes.Lines(text) {
		const untagged = "* CAPABILITY "
		if len(line) > len(untagged) && bytes.EqualFold(line[:len(untagged)], []byte(untagged)) {
			list = append(list, strings.Fields(string(line[len(untagged):]))...)
		}
	}
	const code = "[CAPABILITY "
	if line := firstLine(text); list == nil && imapStatus(line) != "" {
		if at := indexFold(line, code); at >= 0 {
			atoms, _, ended := bytes.Cut(line[at+len(code):], []byte("]"))
			if ended {
				list = strings.Fields(string(atoms))
			}
		}
	}
	return list
}

// FTPFeatures are the lines between the first and the last of a reply to FEAT: "REST
// STREAM" (RFC 2389, 3.2). Nil for any other reply.
func FTPFeatures(text []byte) []string {
	code, more := replyLine(text)
	if code != 211 {
		return nil
	}
	if !more {
		return []string{} // "211 no features"
	}
	lines := reply{Code: code, Text: text}.lines()
	list := make([]string, 0, len(lines))
	for _, line := range lines[1:max(1, len(lines)-1)] {
		list = appendWord(list, string(bytes.TrimLeft(line, " \t")))
	}
	return list
}

// SieveCapabilities are the capabilities of a greeting or a response to CAPABILITY, each a
// name and its value without quotes: "SASL PLAIN LOGIN" (RFC 5804, 1.7). Nil where there
// are none.
func SieveCapabilities(text []byte) []string {
	var list []string
	for len(text) > 0 && text[0] == '"' {
		name, rest := sieveString(text)
		item := string(name)
		if value, more := sieveString(bytes.TrimLeft(rest, " ")); len(value) > 0 {
			item += " " + string(value)
			rest = more
		}
		list = append(list, item)
		_, text, _ = bytes.Cut(rest, []byte("\n"))
	}
	return list
}

// sieveValue is the value of a capability, exactly as sent but for quotes.
func sieveValue(text []byte, name string) ([]byte, bool) {
	for _, item := range SieveCapabilities(text) {
		if word, value, _ := strings.Cut(item, " "); strings.EqualFold(word, name) {
			return []byte(value), value != ""
		}
	}
	return nil, false
}

// sieveString takes the string that the text begins with, quoted or a literal (RFC 5804,
// 1.2), and gives what follows; an unfinished one goes to the end of the text.
func sieveString(text []byte) (value, rest []byte) {
	if len(text) > 0 && text[0] == '{' {
		line, literal, _ := bytes.Cut(text, []byte("\n"))
		n, ok := literalLength(line)
		if !ok {
			return nil, text
		}
		n = min(n, len(literal))
		return literal[:n], literal[n:]
	}
	if len(text) == 0 || text[0] != '"' {
		return nil, text
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if i+1 < len(text) {
				i++
			}
			value = append(value, text[i])
		case '"':
			return value, text[i+1:]
		default:
			value = append(value, text[i])
		}
	}
	return value, nil
}

// blockLines are the lines of a block between its status line and its dot.
func blockLines(text []byte) []string {
	list := make([]string, 0, bytes.Count(text, []byte("\n")))
	_, rest, _ := strings.Cut(string(text), "\n") // whose memory all lines share
	for line := range strings.Lines(rest) {
		line = strings.TrimRight(line, "\r\n")
		if line == "." {
			break
		}
		list = appendWord(list, strings.TrimPrefix(line, ".")) // RFC 1939, 3: doubled dots
	}
	return list
}

// appendWord appends a line unless it is blank.
func appendWord(list []string, line string) []string {
	if s := strings.TrimRight(line, " \t"); s != "" {
		return append(list, s)
	}
	return list
}

// hasWordFirst says whether one of the capabilities has this name, without regard to case.
func hasWordFirst(list []string, name string) bool {
	_, ok := argument(list, name)
	return ok
}

// argument is what follows the name of a capability, and whether it is there.
func argument(list []string, name string) (string, bool) {
	for _, item := range list {
		if word, rest, _ := strings.Cut(item, " "); strings.EqualFold(word, name) {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}
