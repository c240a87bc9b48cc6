package scan

import (
	"slices"
	"strings"
	"testing"

	"herald/probes"
	"herald/wire"
)

func TestParseSpec(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:25":                      "127.0.0.1:25",
		"127.0.0.1":                         "127.0.0.1:80",
		"mail.example.org":                  "mail.example.org:80",
		"mail.example.org.:25,110":          "mail.example.org:25 mail.example.org:110",
		"10.0.0.0/30:25,110,1000-1001":      "10.0.0.0:25 10.0.0.1:25 10.0.0.2:25 10.0.0.3:25 10.0.0.0:110 10.0.0.1:110 10.0.0.2:110 10.0.0.3:110 10.0.0.0:1000 10.0.0.1:1000 10.0.0.2:1000 10.0.0.3:1000 10.0.0.0:1001 10.0.0.1:1001 10.0.0.2:1001 10.0.0.3:1001",
		"10.0.0.7-9:25":                     "10.0.0.7:25 10.0.0.8:25 10.0.0.9:25",
		"10.0.0.7-10.0.0.8":                 "10.0.0.7:80 10.0.0.8:80",
		"::1":                               "[::1]:80",
		"[::1]:25":                          "[::1]:25",
		"[2001:db8::/127]:25":               "[2001:db8::]:25 [2001:db8::1]:25",
		"2001:db8::/127":                    "[2001:db8::]:80 [2001:db8::1]:80",
		"imaps://mail.example.org":          "imaps://mail.example.org:993",
		"submission://mail.example.org":     "smtp://mail.example.org:587",
		"submissions://mail.example.org":    "smtps://mail.example.org:465",
		"https://www.example.org/":          "https://www.example.org:443",
		"http://www.example.org:8080/x?y=z": "http://www.example.org:8080",
		"ftp://[::1]:2121":                  "ftp://[::1]:2121",
		"localhost:imaps":                   "localhost:993",
	} {
		s, err := ParseSpec(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for target, err := range s.Targets([]uint16{80}) {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			got = append(got, target.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s gives\n%s, want\n%s", text, strings.Join(got, " "), want)
		}
	}
}

func TestParseSpecRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:70000":         "port 70000: a port is a number from 1 to 65535",
		"127.0.0.1:0":             "port 0: a port is a number",
		"127.0.0.1:":              "no port after the colon",
		"10.0.0.0/33:25":          "not a CIDR block",
		"10.0.0.9-1:25":           "ends before it begins",
		"10.0.0.256:25":           "not an IPv4 address",
		"[::1:25":                 "a [ without its ]",
		"host:25-20":              "ends before it begins",
		"host:nonsense":           `unknown port "nonsense"`,
		"gopherx://host":          `unknown scheme "gopherx"`,
		"tls://host":              "has no usual port",
		"imap://user:secret@host": "a user name does not belong into a target",
		"":                        "no host",
		"a b":                     "neither an address nor a host name",
		"-x":                      "neither an address nor a host name",
	} {
		if s, err := ParseSpec(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, %v; want an error with %q", text, s, err, want)
		}
	}
}

// What the error of an unknown scheme tells to write is a scheme.
func TestEveryProbeIsAScheme(t *testing.T) {
	for _, p := range probes.All() {
		name := p.Info().Name
		for scheme, security := range map[string]wire.Security{name: wire.Plain, name + "s": wire.TLS} {
			s, err := ParseSpec(scheme + "://127.0.0.1:1")
			if err != nil || s.Protocol != name || s.Security != security {
				t.Errorf("%s:// is %q, %q, %v", scheme, s.Protocol, s.Security, err)
			}
		}
	}
}

func TestReadSpecsNamesTheLine(t *testing.T) {
	list := "127.0.0.1:25 # a remark\n\n# nothing\nlocalhost:110 localhost:143\n10.0.0.0/99:25\n127.0.0.2:25\n"
	var got []string
	var failed error
	for target, err := range (Plan{}).Targets(ReadSpecs("list.txt", strings.NewReader(list))) {
		if err != nil {
			failed = err
			continue
		}
		got = append(got, target.String())
	}
	slices.Sort(got)
	if want := []string{"127.0.0.1:25", "localhost:110", "localhost:143"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if failed == nil || !strings.HasPrefix(failed.Error(), "list.txt:5: ") {
		t.Errorf("error is %v, want one that begins with list.txt:5", failed)
	}
}

func TestPortsFileIsSound(t *testing.T) {
	for _, p := range Ports() {
		if p.About == "" {
			t.Errorf("port %d has no description", p.Number)
		}
		if twin := PortNamed(p.SecurePort); p.SecurePort != 0 && (twin == nil || twin.Number == p.Number) {
			t.Errorf("port %d: its secure twin %d is not in the file", p.Number, p.SecurePort)
		}
	}
	for _, n := range usualPorts {
		if p := PortNamed(n); p == nil || len(p.Expected) == 0 {
			t.Errorf("port %d of the usual ones has no expectation", n)
		}
	}
}

// An expectation names a probe: what nobody can ask for is not expected of a port.
func TestExpectedProtocolsHaveProbes(t *testing.T) {
	for _, p := range Ports() {
		for _, e := range p.Expected {
			if probes.Named(e.Protocol) == nil {
				t.Errorf("port %d expects %s, for which there is no probe", p.Number, e.Protocol)
			}
		}
	}
}
