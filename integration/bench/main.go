//go:build linux

// Command bench measures what a look at an endpoint costs: against a farm of thousands of
// pretended servers on loopback, beside the floor that the kernel sets and beside any other
// scanner, in the same minutes, so that the ratios hold on a busy machine too. docs/speed.md
// has the results.
//
//	go run ./integration/bench                     all, three rounds
//	go run ./integration/bench -only smtp,http -n 20000 -rounds 5
//	go run ./integration/bench -only smtp -peer 'zgrab2 smtp -s {workers} -b /dev/null -f {addresses} -o {output}'
//
// It runs in a network namespace with only lo. CPU is user and system time of the scanner's
// process, from wait4; connections are counted by the farm; an answer is right where protocol
// and product (and the version, where the voice tells it) are.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	n, workers, rounds int
	only               []string
	herald, dir        string
	heraldFlags        []string
	peers              []string
	delay              time.Duration
	large              bool
}

func run() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "farm":
			return farmMain(os.Args[2:])
		case "floor":
			return floorMain(os.Args[2:])
		}
	}
	var o options
	var only, flags string
	flag.IntVar(&o.n, "n", 10000, "endpoints")
	flag.IntVar(&o.workers, "workers", 1000, "endpoints at once")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; medians are told")
	flag.StringVar(&only, "only", "", "these cases alone, comma between: "+strings.Join(caseNames(), ", "))
	flag.StringVar(&o.herald, "herald", "", "measure this binary instead of building ./cmd/herald")
	flag.StringVar(&flags, "flags", "", "further flags of herald scan")
	flag.DurationVar(&o.delay, "delay", 0, "the farm waits before each answer")
	flag.BoolVar(&o.large, "large", false, "also the cases that take minutes: a million targets")
	flag.Func("peer", "another scanner's command line; {targets}, {addresses}, {output}, {workers}, {port} stand for ours. May be given several times", func(s string) error {
		o.peers = append(o.peers, s)
		return nil
	})
	flag.Parse()
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	o.heraldFlags = strings.Fields(flags)
	if os.Getenv(isolated) == "" {
		dir, err := os.MkdirTemp("", "herald-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if o.herald == "" {
			build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "herald"), "herald/cmd/herald")
			build.Stderr = os.Stderr
			if err := build.Run(); err != nil {
				return fmt.Errorf("building herald: %w", err)
			}
			os.Args = append(os.Args, "-herald", filepath.Join(dir, "herald"))
		}
		return isolate()
	}
	if err := raiseLoopback(); err != nil {
		return err
	}
	raiseFiles()
	var err error
	if o.dir, err = os.MkdirTemp("", "herald-bench-run-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	return o.measureAll()
}
