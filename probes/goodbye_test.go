package probes_test

import (
	"bytes"
	"slices"
	"testing"

	"herald/wire"
)

// goodbyes are the words with which a client leaves, where the protocol has some for a
// client without a user. The rest are left by closing, as their documents have it.
var goodbyes = map[string][]string{
	"ftp": {"QUIT"}, "smtp": {"QUIT"}, "lmtp": {"QUIT"}, "pop3": {"QUIT"}, "nntp": {"QUIT"}, "imap": {"LOGOUT"}, "sieve": {"LOGOUT"},
	"dict": {"QUIT"}, "irc": {"QUIT"}, "beanstalkd": {"quit"}, "memcached": {"quit"},
	"ldap": {"\x42\x00"}, // unbindRequest
}

// Who was spoken with to the end is left with the protocol's goodbye, as the last word.
func TestEverybodySaysGoodbye(t *testing.T) {
	said := map[string]bool{}
	for _, r := range transcripts(t) {
		name := r.probe.Info().Name
		words, known := goodbyes[name]
		events := r.transcript.Exchanges[0].Events
		if !known || r.transcript.Exchanges[0].End != "left" && r.transcript.Exchanges[0].End != "closed" || !says(r, "confirmed") {
			continue
		}
		var last []byte
		for _, e := range events {
			if e.Mark == '>' {
				last = e.Data
			}
		}
		ends := slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(last, []byte(w)) })
		if !ends {
			t.Errorf("%s: the last word is %s, no %q", r.name, wire.Escape(last), words)
		}
		said[name] = true
	}
	for name := range goodbyes {
		if !said[name] {
			t.Errorf("%s: no transcript shows how it is left", name)
		}
	}
}
