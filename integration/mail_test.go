//go:build integration

package integration

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"herald/audit/mail"
	"herald/resolve"
)

// internet is what the tests need to know of the small internet of mail.
type internet struct {
	resolver resolve.Server
	roots    *x509.CertPool
}

// mailInternet finds the running containers of the compose profile mail.
func mailInternet(t *testing.T) internet {
	t.Helper()
	ca := inWorld(t, "cat", "/world/ca.pem")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("ca.pem holds no certificate: %q", ca)
	}
	return internet{resolve.Server{Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:23053")}, Trusted: true}, roots}
}

// inWorld runs a command in the container that made the small internet.
func inWorld(t *testing.T, command ...string) []byte {
	t.Helper()
	id, err := exec.Command("docker", "ps", "-q", "--filter", "label=com.docker.compose.service=mail-dns").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(string(id))
	if name == "" || strings.Contains(name, "\n") {
		t.Fatalf("one container mail-dns has to run (COMPOSE_PROFILES=mail integration/docker.sh up), there is %q", name)
	}
	out, err := exec.Command("docker", append([]string{"exec", name}, command...)...).Output()
	if err != nil {
		t.Fatalf("docker exec: %v", err)
	}
	return out
}

func (n internet) judge(ctx context.Context, f Fault) ([]mail.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	g := mail.Gatherer{Records: n.resolver, Resolver: n.resolver.Addrs[0].String(), Trusted: true, Documents: true, Injection: f.Injection, TLSScan: f.TLSScan,
		Space: 200 * time.Millisecond} // the servers are ours
	facts, err := g.Gather(ctx, mail.Question{Domain: f.Domain, Selectors: []string{"s1"}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Domain, err)
	}
	return mail.Judge(facts, mail.Options{Roots: n.roots}), nil
}

// Every planted fault is found by its own checks, and by no others but those that the
// table explains; what is sound is found so.
func TestMailFaults(t *testing.T) {
	all, err := Faults()
	if err != nil {
		t.Fatal(err)
	}
	n := mailInternet(t)
	judged, errs := make([][]mail.Finding, len(all)), make([]error, len(all))
	var together sync.WaitGroup
	free := make(chan struct{}, 24) // most of the time is spent waiting
	for i, f := range all {
		together.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			judged[i], errs[i] = n.judge(t.Context(), f)
		})
	}
	together.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		t.Run(f.Domain, func(t *testing.T) {
			seen := map[string][]string{}
			for _, found := range judged[i] {
				if slices.Contains([]mail.State{mail.Fail, mail.Warn, mail.Unknown}, found.State) {
					seen[found.Check] = append(seen[found.Check], fmt.Sprintf("%s %s: %s %q", found.State, found.Where, found.Text, found.Evidence))
				}
			}
			for _, id := range f.Finds {
				if seen[id] == nil {
					t.Errorf("%s does not find it: %s", id, f.Fault)
				}
			}
			for id, why := range f.Also {
				if seen[id] == nil {
					t.Errorf("%s does not find what the table explains: %s", id, why)
				}
			}
			for id, lines := range seen {
				if _, explained := f.Also[id]; !explained && !slices.Contains(f.Finds, id) {
					t.Errorf("%s finds what nobody planted:\n\t%s", id, strings.Join(lines, "\n\t"))
				}
			}
		})
	}
}

// The command itself, over the resolver that is published, and with the certification
// authority that it is given.
func TestMailCommand(t *testing.T) {
	dir := t.TempDir()
	ca, herald := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "herald")
	if err := os.WriteFile(ca, inWorld(t, "cat", "/world/ca.pem"), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", herald, "../cmd/herald").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"good.test"}, 0, "Postfix"},
		{[]string{"well.test"}, 0, "Exim"},
		{[]string{"--host", "mx1.good.test"}, 0, "Dovecot"},
		{[]string{"starttls-none.test"}, 1, "S1"},
		{[]string{"greet-421.test"}, 3, "R11"},
		{[]string{"cert-expired.test"}, 1, "C3"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			args := append([]string{"mail", "--dns", "127.0.0.1:23053", "--ca", ca, "--dkim", "s1", "--why", "--all"}, c.args...)
			out, err := exec.Command(herald, args...).CombinedOutput()
			exit := 0
			if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
				exit = failed.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if exit != c.exit || !strings.Contains(string(out), c.want) {
				t.Errorf("herald %s: exit status %d, want %d and %q in\n%s", strings.Join(args, " "), exit, c.exit, c.want, out)
			}
		})
	}
}

// A domain takes as long as its slowest server, not as all of them: patient.test has three
// addresses that greet after five seconds each, and each is called up to three times.
func TestMailTakesAsLongAsItsSlowestServer(t *testing.T) {
	n := mailInternet(t)
	g := mail.Gatherer{Records: n.resolver, Trusted: true, Documents: true}
	facts, err := g.Gather(t.Context(), mail.Question{Domain: "patient.test"})
	if err != nil {
		t.Fatal(err)
	}
	greeted := 0
	for _, s := range facts.Services {
		if s.Port == 25 && s.Step("greeting", false) != nil {
			greeted++
		}
	}
	if greeted != 3 {
		t.Errorf("%d addresses greeted, want 3", greeted)
	}
	if took := time.Duration(facts.TookMS) * time.Millisecond; took < 5*time.Second || took > 40*time.Second { // the machine may be busy
		t.Errorf("took %s: one address at a time would take 45 s, the slowest alone 15 s", took)
	}
}
