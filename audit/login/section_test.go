package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"herald/audit"
	"herald/resolve"
	"herald/scan"
	"herald/wire"
)

func parse(t *testing.T, name, text string, env map[string]string) (*audit.File, error) {
	t.Helper()
	get := func(key string) string { return env[key] }
	return audit.Parse(name, strings.NewReader(text), map[string]audit.Section{Name: Section(get)})
}

func TestExampleIsRead(t *testing.T) {
	const name = "../../docs/examples/logins.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parse(t, name, string(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := f.Checks[0].(*check)
	if c.file != filepath.Join(filepath.Dir(name), "secrets.yaml") || len(c.logins) < 8 {
		t.Errorf("file %s, %d logins", c.file, len(c.logins))
	}
	protocols := map[string]Login{}
	for _, l := range c.logins {
		protocols[l.ID] = l
	}
	if l := protocols["alice-files"]; !l.Active || !l.Upload || l.Refused || l.Security != wire.StartTLS || l.At.Port != 21 {
		t.Errorf("%+v", l)
	}
	if l := protocols["nobody-in-the-clear"]; !l.Refused || l.Security != wire.Plain {
		t.Errorf("%+v", l)
	}
}

// A section is gathered and judged; who was answered is not asked again, who was not is.
func TestEachLoginOnce(t *testing.T) {
	var refused, shut atomic.Int32
	no := words{"USER": "+OK\r\n", "PASS": "-ERR no\r\n"}
	answers := start(t, func(c net.Conn) { refused.Add(1); talk(c, "+OK\r\n", no.answer) })
	turns := start(t, func(c net.Conn) { shut.Add(1); talk(c, "-ERR later\r\n", no.answer) })
	text := fmt.Sprintf("version: 1\nlogins:\n  checks:\n    - {id: a, at: %q, protocol: pop3, security: plain, credentials: alice}\n    - {id: b, at: %q, protocol: pop3, security: plain, credentials: alice}\n",
		answers.Addr, turns.Addr)
	f, err := parse(t, "x.yaml", text, map[string]string{"HERALD_LOGIN_ALICE_USER": alice.User, "HERALD_LOGIN_ALICE_PASSWORD": alice.Password})
	if err != nil {
		t.Fatal(err)
	}
	facts := &audit.Facts{Sections: map[string]json.RawMessage{}}
	for range 3 {
		raw, err := f.Checks[0].Gather(t.Context(), f, scan.Options{Resolver: resolve.Map{Names: map[string][]netip.Addr{}}})
		if err != nil {
			t.Fatal(err)
		}
		facts.Sections[Name] = raw
	}
	if refused.Load() != 1 || shut.Load() != 3 {
		t.Errorf("asked %d times who refused, %d who turned away; want 1 and 3", refused.Load(), shut.Load())
	}
	if strings.Contains(string(facts.Sections[Name]), "word") {
		t.Errorf("the password is in the facts: %s", facts.Sections[Name])
	}
	findings := audit.Judge(f, facts)
	slices.SortFunc(findings, func(a, b audit.Finding) int { return strings.Compare(a.Service, b.Service) })
	if len(findings) != 2 || findings[0].State != audit.Fail || findings[0].ID != "login" || findings[0].Service != "a" || findings[0].Line != 4 || findings[1].State != audit.Unknown {
		t.Errorf("%+v", findings)
	}
	if findings := audit.Judge(f, &audit.Facts{}); len(findings) != 2 || findings[0].State != audit.Unknown {
		t.Errorf("without facts: %+v", findings)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	none := func(string) string { return "" }
	const good = "alice: {user: a, password: b}\n"
	s, err := NewStore(write("good", good, 0o600), none)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Get("alice"); err != nil || c.User != "a" || c.Password != "b" {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := s.Get("bob"); err == nil {
		t.Errorf("bob is %v", c)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o601} {
		if _, err := NewStore(write(mode.String(), good, mode), none); err == nil {
			t.Errorf("mode %v is taken", mode)
		}
	}
	for _, text := range []string{"alice: {user: a}\n", "alice: {user: a, pass: b}\n", "alice: {user: a, password: \"b\\r\\nDELE 1\"}\n", "- a\n"} {
		if _, err := NewStore(write("bad", text, 0o600), none); err == nil || strings.Contains(err.Error(), "DELE") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := NewStore(filepath.Join(dir, "nowhere"), none); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	env := map[string]string{"HERALD_LOGIN_A_B_USER": "u", "HERALD_LOGIN_A_B_PASSWORD": "p"}
	s, err = NewStore("", func(key string) string { return env[key] })
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Get("a-b"); err != nil || c != (Credentials{"u", "p"}) {
		t.Errorf("%v, %v", c, err)
	}
	env["HERALD_LOGIN_A_B_PASSWORD"] = ""
	if _, err := s.Get("a-b"); err == nil {
		t.Error("half of it is taken")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", alice, alice, alice, alice); strings.Contains(text, "word") {
		t.Error(text)
	}
}
