package main

import (
	"fmt"
	"io"
	"os"

	"go4.org/netipx"

	"herald/scan"
)

// specSource joins the targets on the command line, which are checked at once, and those
// in files, which are read as the scan goes.
func specSource(stdin io.Reader, args, files []string) (scan.Specs, func(), error) {
	var given []scan.Spec
	for _, a := range args {
		s, err := scan.ParseSpec(a)
		if err != nil {
			return nil, nil, usage(err)
		}
		given = append(given, s)
	}
	var open []io.Closer
	closeAll := func() {
		for _, c := range open {
			c.Close()
		}
	}
	var lists []scan.Specs
	for _, name := range files {
		if name == "-" {
			lists = append(lists, scan.ReadSpecs("standard input", stdin))
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			closeAll()
			return nil, nil, usagef("--targets: %w", err)
		}
		open = append(open, file)
		lists = append(lists, scan.ReadSpecs(name, file))
	}
	return func(yield func(scan.Spec, error) bool) {
		for _, s := range given {
			if !yield(s, nil) {
				return
			}
		}
		for _, list := range lists {
			for s, err := range list {
				if !yield(s, usage(err)) {
					return
				}
			}
		}
	}, closeAll, nil
}

// mostPublic is how many public addresses may be named without saying --yes.
const mostPublic = 1 << 16

// plan is which targets are looked at, in which order.
func (f scanFlags) plan() (scan.Plan, error) {
	p := scan.Plan{Seed: f.seed, Reserved: f.reserved, MostPublic: mostPublic}
	if f.yes {
		p.MostPublic = 0
	}
	var err error
	if p.Ports, err = scan.ParsePorts(f.ports); err != nil {
		return p, usagef("--ports: %w", err)
	}
	if f.shard != "" {
		if n, err := fmt.Sscanf(f.shard, "%d/%d", &p.Shard, &p.Of); n != 2 || err != nil || p.Shard < 1 || p.Of < p.Shard || fmt.Sprintf("%d/%d", p.Shard, p.Of) != f.shard {
			return p, usagef("--shard %q: write it like 3/16, the third of sixteen", f.shard)
		}
	}
	if len(f.exclude) > 0 {
		if p.Exclude, err = readExclusions(f.exclude); err != nil {
			return p, usage(err)
		}
	}
	return p, nil
}

// readExclusions reads addresses, blocks and ranges.
func readExclusions(names []string) (*netipx.IPSet, error) {
	var b netipx.IPSetBuilder
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--exclude: %w", err)
		}
		defer file.Close()
		for s, err := range scan.ReadSpecs(name, file) {
			switch {
			case err != nil:
				return nil, err
			case s.Name != "" || len(s.Ports) > 0:
				return nil, fmt.Errorf("%s: %q: an exclusion is an address, a block or a range, without port", name, s.Text)
			}
			b.AddRange(netipx.IPRangeFrom(s.First, s.Last))
		}
	}
	return b.IPSet()
}
