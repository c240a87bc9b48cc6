//go:build integration

package integration

import (
	"crypto/x509"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"herald/audit"
	"herald/audit/login"
	"herald/wire"
)

// zooLogin is a login at a server of the zoo, and how some of its findings must end.
type zooLogin struct {
	service string
	port    uint16
	login.Login
	anonymous bool
	want      map[string]audit.State // by kind of finding, the first of it
}

var zooLogins = []zooLogin{
	{service: "dovecot", port: 143, Login: login.Login{Protocol: "imap", Security: wire.StartTLS}, want: map[string]audit.State{"login-cleartext": audit.Pass, "login": audit.Pass, "mailbox": audit.Pass}},
	{service: "dovecot", port: 993, Login: login.Login{Protocol: "imap", Security: wire.TLS}, want: map[string]audit.State{"login": audit.Pass, "mailbox": audit.Pass}},
	{service: "dovecot", port: 143, Login: login.Login{Protocol: "imap", Security: wire.Plain}, want: map[string]audit.State{"login": audit.Unknown}}, // LOGINDISABLED: not said
	{service: "dovecot", port: 110, Login: login.Login{Protocol: "pop3", Security: wire.StartTLS}, want: map[string]audit.State{"login": audit.Pass, "mailbox": audit.Pass, "message-list": audit.Pass}},
	{service: "dovecot", port: 995, Login: login.Login{Protocol: "pop3", Security: wire.TLS}, want: map[string]audit.State{"login": audit.Pass, "mailbox": audit.Pass}},
	{service: "dovecot", port: 587, Login: login.Login{Protocol: "smtp", Security: wire.StartTLS}, want: map[string]audit.State{"login-cleartext": audit.Pass, "login": audit.Pass}},
	{service: "proftpd", port: 21, Login: login.Login{Protocol: "ftp", Security: wire.Plain, Active: true, Upload: true}, want: map[string]audit.State{"login": audit.Pass, "directory": audit.Pass, "data-channel": audit.Pass, "data-address": audit.Pass, "data-active": audit.Warn, "upload": audit.Pass, "clock": audit.Pass}},
	{service: "proftpd", port: 21, Login: login.Login{Protocol: "ftp", Security: wire.StartTLS, Active: true, Upload: true}, want: map[string]audit.State{"login": audit.Pass, "data-channel": audit.Pass, "data-encryption": audit.Pass, "upload": audit.Pass}},
	{service: "vsftpd", port: 21, anonymous: true, Login: login.Login{Protocol: "ftp", Security: wire.Plain, Active: true}, want: map[string]audit.State{"login": audit.Pass, "data-channel": audit.Pass, "data-address": audit.Pass}},
	{service: "vsftpd", port: 21, anonymous: true, Login: login.Login{Protocol: "ftp", Security: wire.StartTLS}, want: map[string]audit.State{"login": audit.Fail}}, // nobody anonymous inside TLS
	{service: "pure-ftpd", port: 21, anonymous: true, Login: login.Login{Protocol: "ftp", Security: wire.StartTLS}, want: map[string]audit.State{"login": audit.Pass, "data-channel": audit.Pass, "data-encryption": audit.Pass}},
	{service: "squid", port: 3128, Login: login.Login{Protocol: "proxy", Security: wire.Plain, Connect: "127.0.0.1:9"}, want: map[string]audit.State{"login-needed": audit.Unknown, "login": audit.Fail}},
}

// TestLogins logs in to users of our own, in the containers, at their own addresses: the
// data connections of FTP go to ports that are not published.
func TestLogins(t *testing.T) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]bool{}
	for _, z := range zooLogins {
		t.Run(z.service+" "+z.Protocol+" "+string(z.Security), func(t *testing.T) {
			i := slices.IndexFunc(zoo, func(s Served) bool { return s.Service == z.service && s.Port == z.port })
			if i < 0 {
				t.Fatalf("no %s:%d in the zoo", z.service, z.port)
			}
			who := login.Credentials{User: newUser[0], Password: newUser[1]}
			if z.anonymous {
				who = login.Credentials{User: "anonymous", Password: "herald@zoo.example"}
			} else if !made[z.service] {
				makeUser(t, zoo[i])
				made[z.service] = true
			}
			out, err := exec.Command("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", zoo[i].Container).Output()
			if err != nil || len(strings.Fields(string(out))) == 0 {
				t.Fatalf("docker inspect: %v: %s", err, out)
			}
			addr, err := netip.ParseAddr(strings.Fields(string(out))[0])
			if err != nil {
				t.Fatal(err)
			}
			l := z.Login
			l.ID, l.AnyCertificate = z.service, true
			l.At = audit.Place{Host: addr.String(), Port: z.port}
			began := time.Now()
			r := login.Try(t.Context(), wire.Caller{}, wire.Endpoint{Addr: netip.AddrPortFrom(addr, z.port)}, l, who, x509.NewCertPool())
			for kind, state := range z.want {
				i := slices.IndexFunc(r.Steps, func(s login.Step) bool { return s.Kind == kind })
				if i < 0 || r.Steps[i].State != state {
					t.Errorf("%s: want %s", kind, state)
				}
			}
			if strings.Contains(r.Transcript, newUser[1]) {
				t.Error("the password is in the record")
			}
			for _, s := range r.Steps {
				if _, expected := z.want[s.Kind]; !expected && s.State == audit.Fail {
					t.Errorf("%s fails", s.Kind)
				}
				t.Logf("%s %s: %s", s.State, s.Kind, s.Seen)
			}
			if t.Failed() {
				t.Log(r.Transcript)
			}
			t.Logf("%v", time.Since(began).Round(time.Millisecond))
		})
	}
}
