package audit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// everything is a file that asks for all that can be asked for.
const everything = `version: 1
services:
  - {id: a, at: "192.0.2.1:25", expect: "smtp; product=Postfix; version>=3.7; starttls; tls>=1.2; has=PIPELINING,SIZE; lacks=XCLIENT; auth-before-tls=none; auth-after-tls=PLAIN; names=a.example; valid>=14d; key=rsa-2048; trusted; greeting-name=a.example; greeting-delay<10s"}
  - {id: b, at: "a.example:3128", expect: "http-proxy; no-open-proxy"}
  - {id: c, at: "192.0.2.1:1", expect: closed}
  - {id: d, at: "192.0.2.1:143", expect: {protocol: imap, tls: {mode: starttls, min_version: TLS1.2}, certificate: {names: [a.example], valid_for: ">=14d", trusted: true}}}
`

// Whatever saved facts hold: they are refused, or judged, and the verdict can be written in
// every format, without a byte of theirs that a terminal would obey.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"format":1,"target":"192.0.2.1:25","address":"192.0.2.1","port":25,"verdict":"expected","protocol":"smtp","product":"Postfix","version":"3.7.11","confirmed":true,"security":"starttls","tls":{"version":"TLS 1.3"},"evidence":[{"key":"smtp.ehlo","text":"250-a\r\n250-AUTH PLAIN\r\n250 SIZE 1"}]}`))
	f.Add([]byte(`{"format":1,"services":[{"at":"192.0.2.1:25","record":{"verdict":"closed","failure":{"op":"dial","kind":"refused"}}},{"at":"a.example:3128","record":{"protocol":"http-proxy","verdict":"expected"},"chain":["MAo="],"system_trust":"\u001b[2J"}]}`))
	f.Add([]byte(`{"format":1,"services":[{"at":"192.0.2.1:143","record":{"protocol":"imap","tls":{},"evidence":[{"key":"imap.capability","base64":"gA=="},null]}}]}`))
	file, err := Parse("a.yaml", strings.NewReader(everything), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		facts, err := ReadFacts("facts.json", bytes.NewReader(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "facts.json: ") {
				t.Errorf("an error without its file: %v", err)
			}
			return
		}
		r := &Result{File: file, Findings: Judge(file, facts), Made: facts.Made}
		for _, format := range Formats {
			var out bytes.Buffer
			if err := r.Write(&out, format, Style{All: true}); err != nil {
				t.Fatal(err)
			}
			printableCheck(t, format, "saved facts", out.Bytes())
		}
	})
}

// Whatever a Compose file holds: it is refused with its name, or read.
func FuzzCompose(f *testing.F) {
	f.Add("services:\n  mail:\n    image: postfix\n    ports: [\"127.0.0.1:2525:25\", \"143\"]\n    labels:\n      herald.expect.25: smtp; product=Postfix\n")
	f.Add("x-herald: {defaults: {unknown: warn}, waivers: []}\nservices:\n  a: &a\n    image: x\n    x-herald: {25: smtp, expect: {protocol: imap}}\n  b: *a\n  c: {<<: *a, network_mode: host}\n")
	f.Add("services:\n  a:\n    ports: [{target: 99999, published: \"1-5\", host_ip: \"::\"}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/") || len(text) > 16<<10 {
			return // no file of this machine is included
		}
		name := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if !IsCompose([]byte(text)) {
			return
		}
		if _, err := Compose(t.Context(), name, []byte(text), ComposeOptions{}); err != nil && !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("an error without its file: %v", err)
		}
	})
}
