package mail

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"herald/audit"
)

func tripSection(env map[string]string) map[string]audit.Section {
	return map[string]audit.Section{"roundtrip": TripSection(func(k string) string { return env[k] })}
}

func TestTripExampleIsRead(t *testing.T) {
	const name = "../../docs/examples/roundtrip.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := audit.Parse(name, strings.NewReader(string(text)), tripSection(nil))
	if err != nil {
		t.Fatal(err)
	}
	list := f.Checks[0].(*Trips).list
	want := []TripPlace{
		{"submit", "mail.example.test", 465, "smtp", "tls"}, {"submit", "mail.example.test", 587, "smtp", "plain"},
		{"fetch", "mail.example.test", 993, "imap", "tls"}, {"fetch", "mail.example.test", 995, "pop3", "tls"},
		{"deliver", "mail.example.test", 25, "smtp", "plain"},
	}
	if got := list[0].at; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if one := list[0]; one.patience != time.Minute || !one.hidesAuthor || one.dkim != "pass" || one.delay.Value != int64(30*time.Second) || one.anyCertificate {
		t.Errorf("%+v", one)
	}
	want = []TripPlace{{"submit", "172.16.238.12", 10587, "smtp", "plain"}, {"fetch", "172.16.238.12", 10993, "imap", "tls"}}
	if one := list[1]; !slices.Equal(one.at, want) || !one.anyCertificate || one.hidesAuthor {
		t.Errorf("%+v", one)
	}
}
