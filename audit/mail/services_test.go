package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"herald/wire"
)

func TestParseService(t *testing.T) {
	for _, test := range []struct {
		text               string
		host               string
		port, as           uint16
		protocol, security string
	}{
		{"mx.test:25", "mx.test", 25, 0, "smtp", "plain"},
		{"MX.test.:993", "mx.test", 993, 0, "imap", "tls"},
		{"127.0.0.1:10025", "127.0.0.1", 10025, 25, "smtp", "plain"},
		{"127.0.0.1:2525", "127.0.0.1", 2525, 25, "smtp", "plain"},
		{"127.0.0.1:10465", "127.0.0.1", 10465, 465, "smtp", "tls"},
		{"127.0.0.1:11587", "127.0.0.1", 11587, 587, "smtp", "plain"},
		{"[::1]:10190", "::1", 10190, 4190, "sieve", "plain"},
		{"127.0.0.1:4444", "127.0.0.1", 4444, 0, "", "plain"},
		{"submission://127.0.0.1:10025", "127.0.0.1", 10025, 587, "smtp", "plain"},
		{"mx://127.0.0.1:4444", "127.0.0.1", 4444, 25, "smtp", "plain"},
		{"imaps://mail.test:993", "mail.test", 993, 0, "imap", "tls"},
	} {
		host, w, err := parseService(test.text)
		if err != nil || host != test.host || w.port != test.port || w.as != test.as || w.protocol != test.protocol || w.security != test.security {
			t.Errorf("%s: %s %+v, %v", test.text, host, w, err)
		}
	}
	for text, want := range map[string]string{
		"mx.test": "write host:port", "mx.test:0": "write host:port", ":25": "write host:port", "mx.test:70000": "write host:port",
		"smtp://mx.test:25": "unknown scheme; there are mx, submissions, submission, imaps, imap, pop3s, pop3, sieve",
	} {
		if _, _, err := parseService(text); !errors.Is(err, ErrQuestion) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A service on a port without a custom is taken for what was said of it, what its port's
// last digits say, or what it says itself; and the facts tell which.
func TestServicesElsewhere(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		w := newWorld(t)
		at := func(port string, real uint16) { w.net.servers["192.0.2.25:"+port] = w.servers[real].serve }
		at("10025", 25)
		at("10587", 587)
		at("10993", 993)
		at("20993", 143) // the digits mislead
		at("20025", 110)
		at("4441", 25)
		at("4442", 587)
		at("4443", 995)
		at("4444", 110)
		at("4445", 25)
		w.gatherer.Caller.Transport = quietOnce{w.net, 4443, new(atomic.Int32)}
		var texts []string
		for _, text := range []string{"10025", "10587", "10993", "20993", "20025", "4441", "4442", "4443", "4444"} {
			texts = append(texts, "192.0.2.25:"+text)
		}
		w.question = Question{Services: append(texts, "submission://192.0.2.25:4445")}
		facts := w.gather(t)
		want := map[uint16]struct {
			custom             uint16
			protocol, security string
			taken              string
		}{
			10025: {25, "smtp", "plain", "its port ends in the digits of 25"},
			10587: {587, "smtp", "plain", "its port ends in the digits of 587"},
			10993: {993, "imap", "tls", "its port ends in the digits of 993"},
			20993: {143, "imap", "plain", "it greets so"},
			20025: {110, "pop3", "plain", "it greets so"},
			4441:  {25, "smtp", "plain", "it greets so, and offers no AUTH"},
			4442:  {587, "smtp", "plain", "it greets so, and offers AUTH"},
			4443:  {995, "pop3", "tls", "it greets so"},
			4444:  {110, "pop3", "plain", "it greets so"},
			4445:  {587, "smtp", "plain", ""},
		}
		for _, s := range facts.Services {
			is := want[s.Port]
			if s.custom() != is.custom || s.Protocol != is.protocol || s.Security != is.security || s.Taken != is.taken || !s.welcome() {
				t.Errorf("%d: as %d, %s %s, %q, welcome %v, %v", s.Port, s.custom(), s.Protocol, s.Security, s.Taken, s.welcome(), s.Failure)
			}
			if got := s.Any("rcpt-relay") != nil; got != (is.custom == 25) {
				t.Errorf("%d: a transaction: %v", s.Port, got)
			}
			delete(want, s.Port)
		}
		if len(want) > 0 {
			t.Errorf("never asked: %v", want)
		}
	})
}

// quietOnce hears nothing on the first connection to a port, as of a server that waits for
// a hello, and does not wait for that.
type quietOnce struct {
	*internet
	port  uint16
	calls *atomic.Int32
}

func (q quietOnce) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	c, err := q.internet.Dial(ctx, e)
	if err == nil && e.Addr.Port() == q.port && q.calls.Add(1) == 1 {
		return noWords{c}, nil
	}
	return c, err
}

// The second kind of key of a server that speaks TLS 1.3 alone is seen and judged.
func TestSecondKeyOfTLS13(t *testing.T) {
	atNoon(t, func(t *testing.T) {
		w := newWorld(t)
		w.replace(t, v6, "")
		w.withoutDANE()
		w.config.MinVersion = tls.VersionTLS13
		w.certify(w.a.leaf(t, testKeys().ec, 20, 70, "mx1.good.test"), w.a.leaf(t, testKeys().rsa, 90, -3, "mx1.good.test"))
		found := false
		for _, f := range Judge(w.gather(t), w.options) {
			if f.Check == "C8" && f.Where == "mx1.good.test:25 (192.0.2.25)" {
				found = true
				if f.State != Fail || !strings.Contains(f.Text, "the RSA certificate: it expired 3 days ago") {
					t.Errorf("%s %s", f.State, f.Text)
				}
			}
		}
		if !found {
			t.Error("C8 says nothing about port 25")
		}
	})
}
