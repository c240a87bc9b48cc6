package mail

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// The grammar of RFC 7208, 12 (and 7.1 for macros), in lower case.
const (
	spfExpand   = `(?:%\{[slodiphcrtv][0-9]*r?[.\-+,/_=]*\}|%%|%_|%-)`
	spfMacros   = `(?:` + spfExpand + `|[!-$&-~])*`
	spfTopLabel = `(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])`
	spfDomain   = spfMacros + `(?:\.` + spfTopLabel + `\.?|` + spfExpand + `)`
)

var (
	spfMechanism = regexp.MustCompile(`^[+\-~?]?(?:all|(?:include|exists):` + spfDomain + `|ptr(?::` + spfDomain + `)?|` +
		`(?:a|mx)(?::` + spfDomain + `)?(?:/([0-9]+))?(?://([0-9]+))?|(?:ip4|ip6):([0-9a-f.:]+(?:/[0-9]+)?))$`)
	spfModifier = regexp.MustCompile(`^([a-z][a-z0-9\-_.]*)=(.*)$`)
	spfTarget   = regexp.MustCompile(`^` + spfDomain + `$`)
	spfText     = regexp.MustCompile(`^` + spfMacros + `$`)
)

// spfProblem says what is wrong with a record's syntax, "" for nothing. One wrong term
// anywhere makes the whole record a permerror, whatever stands before it (RFC 7208, 4.6).
func spfProblem(record string) string {
	seen := map[string]bool{}
	for _, term := range strings.Fields(record)[1:] {
		low := strings.ToLower(term)
		if m := spfModifier.FindStringSubmatch(low); m != nil {
			name, value := m[1], m[2]
			switch {
			case name != "redirect" && name != "exp":
				if !spfText.MatchString(value) {
					return fmt.Sprintf("%q: a macro that does not exist (RFC 7208, 7.1)", term)
				}
			case seen[name]:
				return fmt.Sprintf("%s stands there twice (RFC 7208, 6)", name)
			case !spfTarget.MatchString(value):
				return fmt.Sprintf("%q: want a domain", term)
			}
			seen[name] = true
			continue
		}
		m := spfMechanism.FindStringSubmatch(low)
		if m == nil {
			return fmt.Sprintf("%q is no mechanism (RFC 7208, 5)", term)
		}
		if !within(m[1], 32) || !within(m[2], 128) {
			return fmt.Sprintf("%q: a prefix longer than the address", term)
		}
		if m[3] != "" && !spfNetwork(m[3], strings.Contains(low, "ip4:")) {
			return fmt.Sprintf("%q: want an address, or a block like ip4:192.0.2.0/24 or ip6:2001:db8::/32", term)
		}
	}
	return ""
}

func within(digits string, most int) bool {
	n, err := strconv.Atoi(digits)
	return digits == "" || err == nil && n <= most && (n == 0) == (digits == "0") && digits[0] != '+'
}

func spfNetwork(text string, four bool) bool {
	host, bits, block := strings.Cut(text, "/")
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is4() == four && (!block || bits != "" && within(bits, a.BitLen()))
}
