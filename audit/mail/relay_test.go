package mail

import (
	"net/netip"
	"strings"
	"testing"
)

// What a relay test proves depends on who asked: the address as the server sees it.
func TestRelayIsJudgedByWhoAsked(t *testing.T) {
	for _, test := range []struct {
		name, local, server, hello, rcpt string
		want                             string // state, severity, and words of the text
	}{
		{"from outside", "203.0.113.7:5000", "192.0.2.25", "250-mx.test", "250 2.1.5 Ok", "fail high asked from 203.0.113.7"},
		{"from the next door", "192.0.2.99:5000", "192.0.2.25", "250-mx.test", "250 2.1.5 Ok", "warn info from 192.0.2.99, which lies in its own"},
		{"from the same private network", "172.16.238.1:5000", "172.16.238.11", "250-mx.test", "250 2.1.5 Ok", "warn info from 172.16.238.1, which lies in its own"},
		{"from behind address translation", "192.168.1.5:5000", "192.0.2.25", "250-mx.test", "250 2.1.5 Ok", "fail high behind address translation"},
		{"behind address translation, and the server says as whom", "192.168.1.5:5000", "192.0.2.25", "250-mx.test Hello home [203.0.113.7]", "250 2.1.5 Ok", "fail high asked from 203.0.113.7"},
		{"through a proxy inside", "203.0.113.7:5000", "192.0.2.25", "250-mx.test Hello proxy [10.0.0.3]", "250 2.1.5 Ok", "warn info from 10.0.0.3, which lies in its own"},
		{"IPv6, and the server says so", "[2001:db8:1::7]:5000", "2001:db8:2::25", "250-mx.test Hello [IPv6:2001:db8:1::7]", "250 2.1.5 Ok", "fail high asked from 2001:db8:1::7"},
		{"refused", "203.0.113.7:5000", "192.0.2.25", "250-mx.test", "554 5.7.1 Relay access denied", "pass critical refuses it: 554"},
		{"refused for now, as Postfix does by default", "203.0.113.7:5000", "192.0.2.25", "250-mx.test", "454 4.7.1 <a@example.net>: Relay access denied", "pass critical refuses it, for now at least: 454"},
		{"greylisted", "203.0.113.7:5000", "192.0.2.25", "250-mx.test", "450 4.7.1 greylisted, come again", "unknown critical put off: 450"},
	} {
		s := &Service{Host: "mx.test", Addr: netip.MustParseAddr(test.server), Port: 25, Protocol: "smtp", Security: "plain", Asked: []string{"mx 10"}, Local: test.local, Steps: []Step{
			{Name: "greeting", Reply: "220 mx.test ESMTP\r\n"}, {Name: "ehlo", Reply: test.hello + "\r\n250 SIZE\r\n"}, {Name: "mail", Said: "MAIL FROM:<>", Reply: "250 Ok\r\n"},
			{Name: "rcpt-relay", Said: "RCPT TO:<a@example.net>", Reply: test.rcpt + "\r\n"},
		}}
		found := false
		for _, f := range Judge(&Facts{Format: Format, Question: Question{Services: []string{"mx.test:25"}}, Services: []*Service{s}}, Options{At: noon}) {
			if f.Check != "X1" {
				continue
			}
			found = true
			words := strings.SplitN(test.want, " ", 3)
			if string(f.State) != words[0] || string(f.Severity) != words[1] || !strings.Contains(f.Text, words[2]) {
				t.Errorf("%s: %s %s %s; want %s", test.name, f.State, f.Severity, f.Text, test.want)
			}
		}
		if !found {
			t.Errorf("%s: X1 says nothing", test.name)
		}
	}
}
