package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/debug"

	"herald/wire"
)

// networkFrom is the network as it is called from the given addresses.
func networkFrom(sources []string) (wire.Network, error) {
	var n wire.Network
	for _, text := range sources {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return n, usagef("--source %q: write an address of this machine", text)
		}
		n.Sources = append(n.Sources, addr)
	}
	if err := n.Check(); err != nil {
		return n, usagef("--source %w", err)
	}
	return n, nil
}

// collectSeldom trades memory for the garbage collector's time where there is some to trade, that
// is with few endpoints at once: 400 % up to 1,000, 50 % from 3,000. docs/speed.md has what
// both are worth. Whoever sets GOGC or GOMEMLIMIT has decided already.
func collectSeldom(workers int) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(min(400, max(50, 400*1000*1000/max(1, workers*workers))))
	}
}

// filesBeside is how many files are open beside the connections: output, input, the poller's.
const filesBeside = 32

// affordable is how many endpoints this process can look at at once: each is an open file.
// The Go runtime has raised the soft limit to the hard one already.
func affordable(stderr io.Writer, workers int) int {
	most, ok := mostFiles(uint64(workers) + filesBeside)
	if !ok || uint64(workers)+filesBeside <= most {
		return workers
	}
	fewer := max(1, int(most)-filesBeside)
	fmt.Fprintf(stderr, "herald: this process may open %d files: %d endpoints at once instead of %d; raise it with ulimit -Hn\n", most, fewer, workers)
	return fewer
}
