package fingerprint

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Each line is in ascending order; "=" joins equals.
var versionOrders = []string{
	"8.9 8.9.3 8.11.0 8.12.11 8.13.8 8.14.4 8.17.1 8.17.1.9 8.17.2 8.18.1",
	"2.2.36 2.3.4 2.3.19 2.3.19.1 2.3.20 2.4.0",
	"6.6 6.6p1 7.2 7.2p2 8.4p1 9.2 9.2p1 9.2p2 9.10p1 10.0p2",
	"6.1.7601 6.3.9600 10.0.14393 10.0.17763 10.0.20348.1 10.0.20348.2",
	"4.94.2 4.96~RC1 4.96-RC1 4.96 4.96-15 4.96-15+deb12u3 4.96-15+deb12u10 4.97",
	"1.25.3dev1 1.25.3a1 1.25.3b1 1.25.3rc1 1.25.3rc2 1.25.3=1.25.3.0 1.25.3.1 1.26",
	"1.0.1 1.0.1e 1.0.1k 1.0.2 1.0.2a 1.0.2zg",
	"2.0-SNAPSHOT 2.0-alpha 2.0-beta2 2.0-rc1 2.0=v2.0=V2.0=2 2.1",
	"20081119 20240101 20250101.1",
	"3.8=3.8.0=3.08 3.8.0.1 3.9 3.10 3.100 3.1000000000000000000000000 3.2000000000000000000000000",
	"0=0.0 0.1 1",
}

func TestCompareVersions(t *testing.T) {
	for _, line := range versionOrders {
		var all []string
		var rank []int
		for i, group := range strings.Fields(line) {
			for _, v := range strings.Split(group, "=") {
				all, rank = append(all, v), append(rank, i)
			}
		}
		for i, a := range all {
			for j, b := range all {
				want := 0
				if rank[i] < rank[j] {
					want = -1
				} else if rank[i] > rank[j] {
					want = 1
				}
				if got := CompareVersions(a, b); got != want {
					t.Errorf("CompareVersions(%q, %q) = %d, want %d", a, b, got, want)
				}
			}
		}
	}
}

func TestVersionsHaveATotalOrder(t *testing.T) {
	version := rapid.StringOf(rapid.SampledFrom([]rune("0012349.-~+_vabrcpZ \xff")))
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		ab, bc, ac := CompareVersions(a, b), CompareVersions(b, c), CompareVersions(a, c)
		if CompareVersions(a, a) != 0 {
			t.Fatalf("%q differs from itself", a)
		}
		if ab != -CompareVersions(b, a) {
			t.Fatalf("%q and %q: %d one way, %d the other", a, b, ab, CompareVersions(b, a))
		}
		if ab <= 0 && bc <= 0 && ac > 0 || ab == 0 && bc == 0 && ac != 0 {
			t.Fatalf("%q <= %q <= %q, but the last is before the first", a, b, c)
		}
		if ab == 0 && ac != bc {
			t.Fatalf("%q equals %q, but they compare to %q as %d and %d", a, b, c, ac, bc)
		}
	})
}

func TestConstraint(t *testing.T) {
	for _, test := range []struct {
		constraint   string
		holds, fails string
	}{
		{">=3.8 <4", "3.8 3.8.0 3.9 3.99.1", "3.7.9 3.8rc1 4 4.0.1"},
		{">=3.8, <4", "3.8", "4.0"},
		{">= 3.8 < 4", "3.8", "4.0"},
		{"=9.2p1", "9.2p1 v9.2p1", "9.2 9.2p2"},
		{"9.2p1", "9.2p1", "9.2"},
		{"==2.0", "2.0.0 2", "2.0.1"},
		{"!=2.4.49 >=2.4", "2.4.48 2.4.50", "2.4.49 2.2"},
		{">4.96-15+deb12u3", "4.96-15+deb12u4 4.97", "4.96 4.96-15+deb12u3"},
		{"<=10.0.20348.1", "10.0.20348.1 10.0.17763", "10.0.20348.2"},
	} {
		c, err := ParseConstraint(test.constraint)
		if err != nil {
			t.Error(err)
			continue
		}
		if c.String() != test.constraint {
			t.Errorf("String() = %q, want %q", c, test.constraint)
		}
		for _, v := range strings.Fields(test.holds) {
			if !c.Holds(v) {
				t.Errorf("%q does not hold for %q", test.constraint, v)
			}
		}
		for _, v := range append(strings.Fields(test.fails), "") {
			if c.Holds(v) {
				t.Errorf("%q holds for %q", test.constraint, v)
			}
		}
	}
}

func TestConstraintErrors(t *testing.T) {
	for s, want := range map[string]string{
		"":        `version constraint "": want terms such as >=3.8 or <4`,
		"latest":  `version constraint "latest": want terms such as >=3.8 or <4, not "latest"`,
		">=3.8 <": `version constraint ">=3.8 <": want terms such as >=3.8 or <4, not "<"`,
		"=>3":     `version constraint "=>3": want terms such as >=3.8 or <4, not "=>3"`,
	} {
		if _, err := ParseConstraint(s); err == nil || err.Error() != want {
			t.Errorf("ParseConstraint(%q): %v, want %s", s, err, want)
		}
	}
}

func FuzzVersions(f *testing.F) {
	f.Add("9.2p1", "10.0.20348.1")
	f.Add(">=3.8 <4", "1.25.3rc1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if CompareVersions(a, b) != -CompareVersions(b, a) {
			t.Errorf("%q and %q have no order", a, b)
		}
		if c, err := ParseConstraint(a); err == nil {
			c.Holds(b)
		}
	})
}
