package fingerprint

import "testing"

// NISTIR 7695, 6.2.3 has the examples that are marked.
func TestCPEValue(t *testing.T) {
	for value, want := range map[string]string{
		"":                 "*",
		" ":                "*",
		"-":                `\-`,
		"8.0.6001":         "8.0.6001", // 7695
		"7.4.0.1570":       "7.4.0.1570",
		"9.2p1":            "9.2p1",
		"2+deb12u5":        `2\+deb12u5`,
		"1:4.96~RC1":       `1\:4.96\~rc1`,
		"10.1 SP2":         "10.1_sp2",
		"insight_9.3.0-b":  "insight_9.3.0-b",
		"*":                `\*`,
		"?":                `\?`,
		`a\b`:              `a\\b`,
		"foo$bar":          `foo\$bar`, // 7695: big$money
		"caf\u00e9":        "*",
		"1.0\x1b[31m":      "*",
		"1.0\r\n220 hello": "*",
	} {
		if got := cpeValue(value); got != want {
			t.Errorf("cpeValue(%q) = %q, want %q", value, got, want)
		}
		name := cpeName(`cpe:2.3:a:foo\:bar:b`, value)
		if n := len(splitCPE(name)); n != 13 {
			t.Errorf("%s has %d parts, want 13", name, n)
		}
	}
}
