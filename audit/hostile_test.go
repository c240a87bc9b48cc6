package audit

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// hostileWords are what a server may say that a finding then cites.
var hostileWords = []string{
	"\x1b[2J\x1b]0;owned\x07", "\u009b31m", "\x9b31m", "a\x7f", "\x00", "\r\nok 99 - forged\r\n", "\n::error::forged\n", "::set-output name=x::y",
	"\u202egpj.exe\u202c", "\u2066\u200f", "\u2028\u2029", "\ufeff\u200b", "\U000e0041", "\ue000", "=cmd|' /C calc'!A0", `"},{"x":"`, `\`, "half \xe2\x82",
	"</failure><x>&amp;]]>", "\ufffe\uffff", "| pass=99", "# TODO", "日本語",
}

// Nothing of a stranger's gets out as it is, in any format, and what has a syntax keeps it.
func TestNothingGetsOutUnescaped(t *testing.T) {
	for _, words := range hostileWords {
		var findings []Finding
		for _, s := range []State{Pass, Warn, Fail, Unknown, NA} {
			findings = append(findings, Finding{
				State: s, ID: "greeting-name", Severity: "low", Service: words, Where: "192.0.2.1:25 " + words, Expected: words, Seen: words, Evidence: words, Fix: words, Waived: words,
				File: "mail.yaml", Line: 3, Column: 5,
			})
		}
		r := &Result{File: &File{Name: "mail.yaml"}, Findings: findings, Made: time.Unix(0, 0)}
		for _, format := range Formats {
			var out bytes.Buffer
			if err := r.Write(&out, format, Style{All: true}); err != nil {
				t.Fatal(err)
			}
			hostileCheck(t, format, words, out.Bytes())
		}
	}
}

func hostileCheck(t *testing.T, format, words string, out []byte) {
	t.Helper()
	printableCheck(t, format, words, out)
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if format == "jsonl" {
		for _, line := range lines {
			var f Finding
			if err := json.Unmarshal([]byte(line), &f); err != nil || f.Seen != string([]rune(words)) {
				t.Errorf("jsonl of %q: %q, %v", words, f.Seen, err)
			}
		}
	}
}

// printableCheck holds that an output has no byte that a terminal obeys, no line of the
// server's making, and the format's syntax.
func printableCheck(t *testing.T, format, words string, out []byte) {
	t.Helper()
	for i := 0; i < len(out); {
		r, n := utf8.DecodeRune(out[i:])
		if r == utf8.RuneError && n == 1 || r != '\n' && unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp) {
			t.Errorf("%s of %q: %U gets out: %q", format, words, r, out[max(0, i-30):min(len(out), i+20)])
			break
		}
		i += n
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for _, line := range lines {
		forged := strings.HasPrefix(line, "ok 99") || strings.HasPrefix(line, "::error::forged")
		if forged {
			t.Errorf("%s: a line is the server's: %q", format, line)
		}
	}
	switch format {
	case "jsonl":
		for _, line := range lines {
			if line != "" && !json.Valid([]byte(line)) {
				t.Errorf("jsonl of %q is no JSON: %q", words, line)
			}
		}
	case "sarif":
		if !json.Valid(out) {
			t.Errorf("sarif of %q is no JSON", words)
		}
	case "junit":
		d := xml.NewDecoder(bytes.NewReader(out))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("junit of %q is no XML: %v", words, err)
				break
			}
		}
	case "nagios":
		if n := strings.Count(string(out), "|"); n != 1 || len(lines) != 1 {
			t.Errorf("nagios of %q: %d lines, %d signs of performance data", words, len(lines), n)
		}
	}
}
