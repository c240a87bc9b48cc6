package audit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bound is a condition on a quantity: ">=14d", "<10s", ">=20MiB".
type Bound struct {
	Operator string // <, <=, >, >=
	Value    int64  // nanoseconds, or bytes
	Text     string // as it was written
}

// Holds says whether the quantity satisfies the bound; no bound holds always.
func (b Bound) Holds(v int64) bool {
	switch b.Operator {
	case "<":
		return v < b.Value
	case "<=":
		return v <= b.Value
	case ">":
		return v > b.Value
	case ">=":
		return v >= b.Value
	}
	return true
}

func (b Bound) String() string { return b.Text }

func parseBound(s string, value func(string) (int64, error), example string) (Bound, error) {
	rest := strings.TrimLeft(s, "<>=")
	operator := s[:len(s)-len(rest)]
	switch operator {
	case "<", "<=", ">", ">=":
	default:
		return Bound{}, fmt.Errorf("%q: want <, <=, > or >= and a value, like %s", s, example)
	}
	v, err := value(strings.TrimSpace(rest))
	if err != nil {
		return Bound{}, err
	}
	return Bound{operator, v, s}, nil
}

// DurationBound reads "<10s" or ">=14d".
func DurationBound(s string) (Bound, error) {
	return parseBound(s, func(s string) (int64, error) {
		d, err := ParseDuration(s)
		return int64(d), err
	}, `">=14d" or "<10s"`)
}

// SizeBound reads ">=20MiB".
func SizeBound(s string) (Bound, error) { return parseBound(s, parseSize, `">=20MiB"`) }

// ParseDuration reads a duration with its unit: 500ms, 60s, 1h30m, 14d. A day has 24
// hours.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || strings.HasPrefix(s, "+") {
		return 0, fmt.Errorf("duration %q: want a number and a unit: ms, s, m, h or d", s)
	}
	return d, nil
}

// parseLater reads a duration after a plus sign: +14d.
func parseLater(s string) (time.Duration, error) {
	rest, plus := strings.CutPrefix(s, "+")
	d, err := ParseDuration(rest)
	if err == nil && (!plus || d == 0) {
		err = fmt.Errorf("%q: want a time from now, like +14d", s)
	}
	return d, err
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1000}, {"MB", 1000 * 1000}, {"GB", 1000 * 1000 * 1000}, {"B", 1}}

func parseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			if n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31); err == nil {
				return int64(n) * u.bytes, nil
			}
		}
	}
	return 0, fmt.Errorf("size %q: want a whole number and a unit: B, KiB, MiB, GiB, kB, MB or GB", s)
}

// days is a duration in words for people.
func days(d time.Duration) string {
	if d < 0 {
		return "-" + days(-d)
	}
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}
