package scan

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// ParsePorts reads a list like 25,110,1000-1010,imaps,mail: numbers, ranges, service and
// protocol names, groups. The order is kept, duplicates are dropped.
func ParsePorts(text string) ([]uint16, error) {
	var ports []uint16
	seen := map[uint16]bool{}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			return nil, fmt.Errorf("ports %q: nothing between two commas", text)
		}
		meant, err := portsMeant(word)
		if err != nil {
			return nil, err
		}
		for _, p := range meant {
			if !seen[p] {
				seen[p] = true
				ports = append(ports, p)
			}
		}
	}
	return ports, nil
}

// portsMeant are the ports that one word of a list means.
func portsMeant(word string) ([]uint16, error) {
	from, to, isRange := strings.Cut(word, "-")
	switch {
	case isNumber(word):
		p, err := parsePort(word)
		return []uint16{p}, err
	case isRange && (from == "" || isNumber(from)) && (to == "" || isNumber(to)):
		return portRange(word, cmp.Or(from, "1"), cmp.Or(to, "65535"))
	}
	name := strings.ToLower(word)
	if group := PortGroup(name); group != nil {
		return group, nil
	}
	if named := PortsOf(name); named != nil {
		return named, nil
	}
	return nil, fmt.Errorf("unknown port %q: write a number, a range like 1000-1010, a name like imaps, or a group: %s", word, strings.Join(PortGroups(), ", "))
}

func portRange(word, from, to string) ([]uint16, error) {
	first, err := parsePort(from)
	if err != nil {
		return nil, err
	}
	last, err := parsePort(to)
	if err != nil {
		return nil, err
	}
	if last < first {
		return nil, fmt.Errorf("port range %q ends before it begins", word)
	}
	var ports []uint16
	for p := int(first); p <= int(last); p++ {
		ports = append(ports, uint16(p))
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
