//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"herald/audit/login"
	"herald/audit/mail"
	"herald/wire"
)

// mailbox is the user and the password of the small internet, in a domain.
func mailbox(t *testing.T, domain string) login.Credentials {
	t.Helper()
	values := map[string]string{}
	for line := range strings.Lines(string(inWorld(t, "cat", "/world/mailbox.env"))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = strings.Trim(value, `'"`)
	}
	who := login.Credentials{User: values["MAIL_USER"] + "@" + domain, Password: values["MAIL_PASSWORD"]}
	if values["MAIL_USER"] == "" || who.Password == "" {
		t.Fatal("mailbox.env names no user or no password")
	}
	return who
}

// without is a network in which some ports refuse connections, or swallow what is said.
type without struct {
	wire.Network
	refused, swallowed []uint16
}

func (w without) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	if slices.Contains(w.refused, e.Addr.Port()) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	c, err := w.Network.Dial(ctx, e)
	if err == nil && slices.Contains(w.swallowed, e.Addr.Port()) {
		return deaf{c}, nil
	}
	return c, err
}

// deaf lets nothing through to the server.
type deaf struct{ net.Conn }

func (deaf) Write(p []byte) (int, error) { return len(p), nil }

// A round trip passes on both servers, and where one half is broken the finding tells its
// stage. Nothing is left behind.
func TestRoundTrip(t *testing.T) {
	const hidden = "E6" // both servers tell where the author sits, as they do out of the box
	for _, c := range []struct {
		name, domain string
		network      without
		wrong        bool // the password
		want         []string
		says         string
	}{
		{name: "Postfix and Dovecot", domain: "good.test", want: []string{"warn " + hidden}},
		{name: "Exim and Cyrus", domain: "well.test", want: []string{"warn " + hidden, "warn E8"}}, // Cyrus without its idled tells nobody
		{name: "submission on 465 is closed", domain: "good.test", network: without{refused: []uint16{465}}, want: []string{"fail E1", "warn " + hidden}, says: "no connection fails: dial refused"},
		{name: "POP3 is closed", domain: "good.test", network: without{refused: []uint16{995}}, want: []string{"fail E3", "warn " + hidden}, says: "no connection fails: dial refused"},
		{name: "IMAP is closed", domain: "good.test", network: without{refused: []uint16{993, 143}}, want: []string{"fail E2", "warn " + hidden}, says: "no connection fails: dial refused"},
		{name: "TLS does not begin on 465", domain: "good.test", network: without{swallowed: []uint16{465}}, want: []string{"fail E1", "warn " + hidden}, says: "TLS fails: handshake timeout"},
		{name: "accepted and thrown away", domain: "lost.test", want: []string{"fail E2", "fail E5", "warn E7"}, says: "accepted, and not delivered within 3s: 250 2.0.0 Ok: queued as "},
		{name: "no login is accepted", domain: "clients.test", want: []string{"fail E1", "fail E2", "fail E3", "unknown E5"}, says: "the login is refused: 535 5.7.8"},
		{name: "a wrong password", domain: "good.test", wrong: true, want: []string{"fail E1", "fail E2", "fail E3", "unknown E5"}, says: "the login is refused: NO [AUTHENTICATIONFAILED]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, who := mailInternet(t), mailbox(t, c.domain)
			secret := who.Password
			if c.wrong {
				who.Password = "not-" + who.Password
			}
			request := &mail.TripRequest{Who: who, Patience: time.Minute, Roots: n.roots}
			if c.domain == "lost.test" {
				request.Patience = 3 * time.Second
			}
			g := mail.Gatherer{Records: n.resolver, Trusted: true, Documents: true, Space: 200 * time.Millisecond, RoundTrip: request, Caller: wire.Caller{Transport: c.network}}
			if len(c.network.swallowed) > 0 {
				g.Patience = 5 * time.Second
			}
			facts, err := g.Gather(t.Context(), mail.Question{Domain: c.domain})
			if err != nil {
				t.Fatal(err)
			}
			saved, err := json.Marshal(facts)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(saved, []byte(secret)) {
				t.Error("the password is in the facts")
			}
			var got, texts []string
			for _, f := range mail.Judge(facts, mail.Options{Roots: n.roots}) {
				if f.Area != "round trip" {
					continue
				}
				t.Logf("%s %s %s: %s", f.State, f.Check, f.Where, f.Text)
				if f.State != mail.Pass && f.State != mail.NA {
					got, texts = append(got, string(f.State)+" "+f.Check), append(texts, f.Text)
				}
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Errorf("found %s; want %s", strings.Join(got, ", "), strings.Join(c.want, ", "))
			}
			if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, c.says) }) && c.says != "" {
				t.Errorf("nothing says %q", c.says)
			}
		})
	}
	// Cyrus removes the files later than the messages; of Dovecot nothing may be left.
	out, err := exec.Command("docker", "exec", containerOf(t, "mail-postfix"), "grep", "-rlsi", "^X-Herald-Probe", "/var/mail/virtual", "--include=[0-9]*").Output()
	if none := (*exec.ExitError)(nil); !errors.As(err, &none) || none.ExitCode() != 1 || len(out) > 0 {
		t.Errorf("messages stay behind: %v %s", err, out)
	}
}

// containerOf is the name of a running container, by its service.
func containerOf(t *testing.T, service string) string {
	t.Helper()
	id, err := exec.Command("docker", "ps", "-q", "--filter", "label=com.docker.compose.service="+service).Output()
	if err != nil || strings.TrimSpace(string(id)) == "" {
		t.Fatalf("docker ps: %v: no container %s", err, service)
	}
	return strings.TrimSpace(string(id))
}

// The commands: herald mail with the environment, herald audit with a file that has the
// section "roundtrip".
func TestRoundTripCommands(t *testing.T) {
	dir := t.TempDir()
	herald := filepath.Join(dir, "herald")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	who := mailbox(t, "good.test")
	write("ca.pem", string(inWorld(t, "cat", "/world/ca.pem")))
	write("secrets.yaml", "alice: {user: "+who.User+", password: '"+who.Password+"'}\n")
	write("herald.yaml", `version: 1
dns: {server: "127.0.0.1:23053", trust_ad: true}
trust: {ca_files: [ca.pem]}
roundtrip:
  credentials_file: secrets.yaml
  checks:
    - id: alice-to-alice
      credentials: alice
      submit: ["mx1.good.test:465", "mx1.good.test:587"]
      fetch: ["mx1.good.test:993", "mx1.good.test:995"]
      deliver: mx1.good.test:25
      expect: {delay: "<60s", dkim: pass}
`)
	write("strict.yaml", `version: 1
dns: {server: "127.0.0.1:23053", trust_ad: true}
trust: {ca_files: [ca.pem]}
roundtrip:
  credentials_file: secrets.yaml
  checks:
    - {id: alice, credentials: alice, submit: mx1.good.test:587, fetch: mx1.good.test:995, expect: {leaks_client_ip: false}}
`)
	if out, err := exec.Command("go", "build", "-o", herald, "../cmd/herald").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct {
		args []string
		exit int
		want []string
	}{
		{[]string{"mail", "good.test", "--round-trip", "--dns", "127.0.0.1:23053", "--ca", "ca.pem", "--facts", "facts.json"}, 0,
			[]string{"ROUND TRIP to alice@good.test", "pass             E2 ", "pass             D13  DKIM keys: s1._domainkey.good.test"}},
		{[]string{"mail", "--from", "facts.json", "--ca", "ca.pem", "--format", "jsonl"}, 0, []string{`{"finding":"E3","state":"pass","severity":"high","area":"round trip"`}},
		{[]string{"mail", "--services", "mx1.good.test:587,mx1.good.test:993", "--round-trip", "--dns", "127.0.0.1:23053", "--ca", "ca.pem"}, 0,
			[]string{"pass             E2 ", "no POP3 server is known: nobody needs one"}},
		{[]string{"audit", "herald.yaml", "--all"}, 0, []string{"roundtrip-delay", "roundtrip-dkim", "E7"}},
		{[]string{"audit", "strict.yaml"}, 1, []string{"roundtrip-client-ip"}},
	} {
		t.Run(strings.Join(c.args[:2], " "), func(t *testing.T) {
			command := exec.Command(herald, c.args...)
			command.Dir = dir
			command.Env = append(os.Environ(), "HERALD_LOGIN_ROUNDTRIP_USER="+who.User, "HERALD_LOGIN_ROUNDTRIP_PASSWORD="+who.Password)
			out, err := command.CombinedOutput()
			exit := 0
			if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
				exit = failed.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if exit != c.exit {
				t.Errorf("exit status %d, want %d\n%s", exit, c.exit, out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("without %q:\n%s", want, out)
				}
			}
			if bytes.Contains(out, []byte(who.Password)) {
				t.Error("the password is shown")
			}
		})
	}
}
