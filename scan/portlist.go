package scan

import (
	"fmt"
	"strconv"
	"strings"
)

// ParsePorts reads a list like 25,110,1000-1010,imaps,mail: numbers, ranges, service and
// protocol names, groups. The order is kept, duplicates are dropped.
func ParsePorts(text string) ([]uint16, error) {
	var ports []uint16
	seen := map[uint16]bool{}
	add := func(p uint16) {
		if !seen[p] {
			seen[p] = true
			ports = append(ports, p)
		}
	}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		from, to, isRange := strings.Cut(word, "-")
		switch {
		case word == "":
			return nil, fmt.Errorf("ports %q: nothing between two commas", text)
		case isNumber(word):
			p, err := parsePort(word)
			if err != nil {
				return nil, err
			}
			add(p)
		case isRange && (from == "" || isNumber(from)) && (to == "" || isNumber(to)):
			first, last := uint16(1), uint16(65535)
			var err error
			if from != "" {
				if first, err = parsePort(from); err != nil {
					return nil, err
				}
			}
			if to != "" {
				if last, err = parsePort(to); err != nil {
					return nil, err
				}
			}
			if last < first {
				return nil, fmt.Errorf("port range %q ends before it begins", word)
			}
			for p := int(first); p <= int(last); p++ {
				add(uint16(p))
			}
		default:
			named := PortGroup(strings.ToLower(word))
			if named == nil {
				named = PortsOf(strings.ToLower(word))
			}
			if named == nil {
				return nil, fmt.Errorf("unknown port %q: write a number, a range like 1000-1010, a name like imaps, or a group: %s", word, strings.Join(PortGroups(), ", "))
			}
			for _, p := range named {
				add(p)
			}
		}
	}
	return ports, nil
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || n > 65535 {
		return 0, fmt.Errorf("port %s: a port is a number from 1 to 65535", s)
	}
	return uint16(n), nil
}
