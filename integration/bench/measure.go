//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// measured is what one run of one scanner cost.
type measured struct {
	n           int
	cpu         time.Duration // user and system, of the process
	wall        time.Duration
	rss         float64 // MB at the most
	connections float64
	open        float64 // connections at the most
	right       shares
}

func (o *options) measureAll() error {
	for _, name := range o.only {
		if !slices.Contains(caseNames(), name) {
			return fmt.Errorf("-only %s: unknown; known are %s", name, strings.Join(caseNames(), ", "))
		}
	}
	fmt.Printf("%-16s %-12s %9s %7s %9s %8s %7s %8s %7s\n", "case", "scanner", "CPU µs", "ratio", "wall", "RSS MB", "conns", "protocol", "right")
	missed := 0
	for _, k := range cases {
		if !o.wants(k) {
			continue
		}
		k.n = or(k.n, o.n)
		k.workers = or(k.workers, o.workers)
		k.delay = or(k.delay, o.delay)
		ok, err := o.measure(k)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		if !ok {
			missed++
		}
	}
	if missed > 0 {
		fmt.Printf("%d of the goals are missed\n", missed)
	}
	return nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// measure runs the floor, herald and the peers in turn, as often as there are rounds.
func (o *options) measure(k kase) (met bool, err error) {
	var f farms
	defer func() { f.stop() }() // those that will have been started
	for range max(1, k.split) {
		one, err := startFarm(k.delay)
		if err != nil {
			return false, err
		}
		f = append(f, one)
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	targets, err := o.writeTargets(k.name, k.n, k.port)
	if err != nil {
		return false, err
	}
	var scanners []scanner
	if k.floor != 0 {
		floorTargets, err := o.writeTargets(k.name+"-floor", k.n, k.floor)
		if err != nil {
			return false, err
		}
		line := []string{self, "floor", "-targets", floorTargets, "-workers", strconv.Itoa(k.workers)}
		if k.unknown {
			line = append(line, "-unknown")
		}
		scanners = append(scanners, scanner{name: "floor", line: line})
	}
	line := append([]string{o.herald, "scan", "--targets", targets, "--workers", strconv.Itoa(k.workers), "--format", "jsonl", "--quiet"}, slices.Concat(k.flags, o.heraldFlags)...)
	scanners = append(scanners, scanner{name: "herald", line: line, ours: true})
	for _, peer := range o.peers {
		addresses, err := o.writeAddresses(k.n)
		if err != nil {
			return false, err
		}
		filled := strings.NewReplacer("{targets}", targets, "{addresses}", addresses, "{workers}", strconv.Itoa(k.workers),
			"{port}", strconv.Itoa(k.port), "{output}", filepath.Join(o.dir, "peer")).Replace(peer)
		scanners = append(scanners, scanner{name: filepath.Base(strings.Fields(peer)[0]), line: strings.Fields(filled), writes: strings.Contains(peer, "{output}")})
	}
	for range o.rounds {
		for i := range scanners {
			m, err := o.once(&scanners[i], k, f)
			if err != nil {
				return false, fmt.Errorf("%s: %w", scanners[i].name, err)
			}
			scanners[i].runs = append(scanners[i].runs, m)
		}
	}
	return tell(k, scanners), nil
}

// scanner is a command line and its runs.
type scanner struct {
	name   string
	line   []string
	ours   bool // it is herald
	writes bool // its answers go into a file, not to its standard output
	runs   []measured
}

func (o *options) once(s *scanner, k kase, f farms) (measured, error) {
	if _, err := f.counts(); err != nil {
		return measured{}, err
	}
	path := filepath.Join(o.dir, "output")
	if err := os.Remove(filepath.Join(o.dir, "peer")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return measured{}, err
	}
	output, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return measured{}, err
	}
	defer output.Close()
	began := time.Now()
	var all []*exec.Cmd
	for i := range max(1, k.split) {
		line := s.line
		if k.split > 1 {
			line = append(slices.Clone(line), "--shard", fmt.Sprintf("%d/%d", i+1, k.split), "--workers", strconv.Itoa(k.workers/k.split+1))
		}
		c := exec.Command(line[0], line[1:]...)
		c.Stdout, c.Stderr = output, os.Stderr
		if s.name == "floor" {
			c.Stderr = nil
		}
		if err := c.Start(); err != nil {
			return measured{}, err
		}
		all = append(all, c)
	}
	m := measured{n: k.n, right: shares{-1, -1}}
	for _, c := range all {
		if err := c.Wait(); err != nil {
			return measured{}, err
		}
		m.cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		m.rss += float64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
	}
	m.wall = time.Since(began)
	seen, err := f.counts()
	m.connections, m.open = float64(seen.Connections), float64(seen.MostOpen)
	if s.writes {
		path = filepath.Join(o.dir, "peer")
	}
	if err == nil {
		m.right, err = rightAnswers(path, s.name, k)
	}
	return m, err
}

// farms serve the same endpoints together.
type farms []*farmProcess

func (all farms) counts() (sum counts, err error) {
	for _, f := range all {
		c, err := f.counts()
		if err != nil {
			return sum, err
		}
		sum.Connections += c.Connections
		sum.MostOpen += c.MostOpen
		sum.Handshakes += c.Handshakes
	}
	return sum, nil
}

func (all farms) stop() {
	for _, f := range all {
		f.stop()
	}
}

// tell prints the medians, and says whether the goals of herald are met.
func tell(k kase, all []scanner) bool {
	met := true
	for i, s := range all {
		m := median(s.runs)
		ratio, remark := "", ""
		if k.floor != 0 && i > 0 {
			times := ratioToFloor(all[0].runs, s.runs)
			ratio = fmt.Sprintf("%.2f", times)
			if s.ours && k.must > 0 && times > k.must {
				remark = fmt.Sprintf("  wanted %.1f", k.must)
			}
		}
		if s.ours && k.check != nil {
			if wrong := k.check(m); wrong != "" {
				remark += "  " + wrong
			}
		}
		protocol, right := "", ""
		if m.right.all >= 0 {
			protocol, right = fmt.Sprintf("%.1f %%", 100*m.right.protocol), fmt.Sprintf("%.1f %%", 100*m.right.all)
		}
		fmt.Printf("%-16s %-12s %9.1f %7s %9s %8.1f %7.2f %8s %7s%s\n", k.name, s.name, float64(m.cpu.Microseconds())/float64(m.n), ratio,
			m.wall.Round(time.Millisecond), m.rss, m.connections/float64(m.n), protocol, right, remark)
		met = met && remark == ""
	}
	return met
}

// ratioToFloor is the median of the rounds' ratios: what disturbs a round disturbs both.
func ratioToFloor(floor, runs []measured) float64 {
	var ratios []float64
	for i := range runs {
		ratios = append(ratios, float64(runs[i].cpu)/float64(floor[i].cpu))
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func median(runs []measured) measured {
	of := func(value func(measured) float64) float64 {
		var list []float64
		for _, m := range runs {
			list = append(list, value(m))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return measured{
		n:           runs[0].n,
		cpu:         time.Duration(of(func(m measured) float64 { return float64(m.cpu) })),
		wall:        time.Duration(of(func(m measured) float64 { return float64(m.wall) })),
		rss:         of(func(m measured) float64 { return m.rss }),
		connections: of(func(m measured) float64 { return m.connections }),
		open:        of(func(m measured) float64 { return m.open }),
		right: shares{
			of(func(m measured) float64 { return m.right.protocol }),
			of(func(m measured) float64 { return m.right.all }),
		},
	}
}

// addressOf is the n-th address of the farm, from 0.
func addressOf(n int) netip.Addr {
	n += 1 << 16
	return netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
}

func (o *options) writeTargets(name string, n, port int) (string, error) {
	return o.writeList(name, n, func(w io.Writer, a netip.Addr) { fmt.Fprintf(w, "%s:%d\n", a, port) })
}

func (o *options) writeAddresses(n int) (string, error) {
	return o.writeList("addresses", n, func(w io.Writer, a netip.Addr) { fmt.Fprintln(w, a) })
}

func (o *options) writeList(name string, n int, write func(io.Writer, netip.Addr)) (string, error) {
	path := filepath.Join(o.dir, name)
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(file)
	for i := range n {
		write(w, addressOf(i))
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	return path, file.Close()
}

// farmProcess is the farm, a process of its own.
type farmProcess struct {
	c     *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startFarm(delay time.Duration) (*farmProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &farmProcess{c: exec.Command(self, "farm", "-delay", delay.String())}
	f.c.Stderr = os.Stderr
	f.c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if f.in, err = f.c.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := f.c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := f.c.Start(); err != nil {
		return nil, err
	}
	f.lines = bufio.NewScanner(out)
	if !f.lines.Scan() {
		return nil, fmt.Errorf("the farm does not start: %w", f.c.Wait())
	}
	return f, nil
}

// counts are those since the last call.
func (f *farmProcess) counts() (counts, error) {
	var c counts
	if _, err := fmt.Fprintln(f.in, "counts"); err != nil {
		return c, err
	}
	if !f.lines.Scan() {
		return c, fmt.Errorf("the farm is gone: %w", f.c.Wait())
	}
	return c, json.Unmarshal(f.lines.Bytes(), &c)
}

func (f *farmProcess) stop() {
	f.in.Close()
	f.c.Wait()
}
