//go:build !race

package fingerprint

import "testing"

// The race detector makes sync.Pool forget at random, so that this is not tested with it.
func TestNothingIsAllocatedWhereNothingMatches(t *testing.T) {
	set := Builtin()
	var dst []Claim
	for _, ev := range []Evidence{
		{Key: "smtp.greeting", Text: []byte("220 mail.example.org ESMTP Nothing that anybody has heard of")},
		{Key: "ftp.greeting", Text: []byte("220 gr\xfc\xdf dich, FTP server ready")},
		{Key: "no.such", Text: []byte("220")},
	} {
		if set.Append(nil, ev) != nil {
			t.Fatalf("%s %q matches", ev.Key, ev.Text)
		}
		if n := testing.AllocsPerRun(100, func() { dst = set.Append(dst[:0], ev) }); n != 0 {
			t.Errorf("%s: %v allocations", ev.Key, n)
		}
	}
}
