package probes_test

import (
	"slices"
	"testing"

	"herald/probes"
)

// What a server offers in the clear and inside TLS is read from the recordings.
func TestCapabilitiesBeforeAndInsideTLS(t *testing.T) {
	sieveDovecot := "SIEVE fileinto reject envelope encoded-character vacation subaddress comparator-i;ascii-numeric relational regex imap4flags copy include variables body enotify environment mailbox date index ihave duplicate mime foreverypart extracttext"
	for name, want := range map[string]struct{ clear, protected []string }{
		"smtp/dovecot-2.3.19-submission": {
			[]string{"8BITMIME", "AUTH", "BURL imap", "CHUNKING", "ENHANCEDSTATUSCODES", "SIZE", "STARTTLS", "PIPELINING"},
			[]string{"8BITMIME", "AUTH PLAIN", "BURL imap", "CHUNKING", "ENHANCEDSTATUSCODES", "SIZE", "PIPELINING"},
		},
		"smtp/postfix-3.7.11-tls": {
			nil,
			[]string{"PIPELINING", "SIZE 10240000", "VRFY", "ETRN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"},
		},
		"smtp/ehlo-refused":     {nil, nil},
		"smtp/bare-220":         {[]string{}, nil},
		"smtp/starttls-refused": {[]string{"starttls", "PIPELINING"}, nil},
		"smtp/dovecot-2.3.19-lmtp": {
			[]string{"8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING", "STARTTLS"},
			[]string{"8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "PIPELINING"},
		},
		"pop3/dovecot-2.3.19": {
			[]string{"CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "STLS", "SASL"},
			[]string{"CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "USER", "SASL PLAIN"},
		},
		"pop3/apop":     {[]string{"TOP", "STLS", ".DOT", "IMPLEMENTATION Shlemazle-Plotz-v302"}, []string{"USER"}},
		"pop3/ok-alone": {nil, nil},
		"imap/dovecot-2.3.19": {
			[]string{"IMAP4rev1", "SASL-IR", "LOGIN-REFERRALS", "ID", "ENABLE", "IDLE", "LITERAL+", "STARTTLS", "LOGINDISABLED"},
			[]string{"IMAP4rev1", "SASL-IR", "LOGIN-REFERRALS", "ID", "ENABLE", "IDLE", "LITERAL+", "AUTH=PLAIN"},
		},
		"imap/no-code": {[]string{"IMAP4rev1", "STARTTLS", "LOGINDISABLED"}, []string{"IMAP4rev1", "AUTH=PLAIN"}},
		"imap/bye":     {nil, nil},
		"nntp/mode-reader": {
			[]string{"VERSION 2", "READER", "LIST ACTIVE NEWSGROUPS"}, nil,
		},
		"nntp/capabilities-refused": {nil, nil},
		"ftp/passive-before-login":  {[]string{"EPSV", "PASV"}, nil},
		"ftp/greeting-digits":       {[]string{}, nil},
		"ftp/vsftpd-3.0.3-tls": {
			nil, []string{"AUTH TLS", "EPRT", "EPSV", "MDTM", "PASV", "PBSZ", "PROT", "REST STREAM", "SIZE", "TVFS"},
		},
		"sieve/dovecot-2.3.19": {
			[]string{"IMPLEMENTATION Dovecot (Debian) Pigeonhole", sieveDovecot, "NOTIFY mailto", "SASL", "STARTTLS", "VERSION 1.0"},
			[]string{"IMPLEMENTATION Dovecot (Debian) Pigeonhole", sieveDovecot, "NOTIFY mailto", "SASL PLAIN", "VERSION 1.0"},
		},
		"sieve/silent-after-tls": {[]string{`IMPLEMENTATION old "sieve"`, "SIEVE fileinto", "STARTTLS"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(transcripts(t), func(r recorded) bool { return r.name == name })
			if i < 0 {
				t.Fatal("there is no such transcript")
			}
			r := transcripts(t)[i]
			clear, protected := probes.Capabilities(converse(t, r.probe, r.transcript, torn{}).Observation)
			same(t, "in the clear", clear, want.clear)
			same(t, "inside TLS", protected, want.protected)
		})
	}
}

// same holds that two lists are equal, and that both are lists or neither.
func same(t *testing.T, where string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) || (got == nil) != (want == nil) {
		t.Errorf("%s: %q, want %q", where, got, want)
	}
}
