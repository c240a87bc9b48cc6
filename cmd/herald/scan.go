package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

const scanTimeout = 20 * time.Second // for one endpoint

// scanFlags are the flags of herald scan.
type scanFlags struct {
	setFlags
	resultFlags
	targets     []string
	ports       string
	workers     int
	perHost     int
	rate        float64
	timeout     time.Duration
	transcripts string
	only        []string
	hello       string
	userAgent   string
	favicon     bool
	noUpgrade   bool
	relayCheck  string
	postQuantum bool
	sources     []string
	quiet       bool
	seed        uint64
	shard       string
	exclude     []string
	reserved    bool
	yes         bool
	perMail     int
	perNet      int
	maxTime     time.Duration
	maxResults  int
	checkpoint  string
}

func scanCommand() *cobra.Command {
	var f scanFlags
	c := &cobra.Command{
		Use:   "scan TARGET…",
		Short: "say what runs on ports",
		Long: `Scan looks at each endpoint that the targets name and writes one row, or one JSON
line, for each.

A target is a host name (all its addresses are looked at), an address, a CIDR
block or a range, each with or without ports; or an URL whose scheme is a
protocol:

  mail.example.org                    the usual ports (see 'herald ports default')
  mail.example.org:25,587,imaps       these ports
  10.0.0.0/30:25,110,1000-1010        of these addresses
  10.0.0.1-9:mail                     a group of ports
  [2001:db8::1]:443                   IPv6
  imaps://mail.example.org            IMAP inside TLS, whatever the port promises`,
		Example: `  herald scan 127.0.0.1:25,110,143
  herald scan mail.example.org -p mail --why
  herald scan --targets hosts.txt -p web --format jsonl -o found.jsonl`,
		RunE: func(c *cobra.Command, args []string) error { return runScan(c, f, args) },
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.targets, "targets", nil, "read targets from `FILE`, one or several a line, '#' begins a remark; - is standard input")
	fl.StringVarP(&f.ports, "ports", "p", "default", "`PORTS` where a target names none: numbers, ranges, names, groups ("+strings.Join(scan.PortGroups(), ", ")+")")
	fl.IntVar(&f.workers, "workers", 256, "endpoints looked at at once")
	fl.IntVar(&f.perHost, "per-host", 8, "endpoints of one address looked at at once")
	fl.Float64Var(&f.rate, "rate", 0, "endpoints begun a second, at most; 0 is no limit")
	fl.DurationVar(&f.timeout, "timeout", scanTimeout, "for one endpoint, all its connections")
	fl.StringVar(&f.format, "format", "", "table or jsonl (default: table, or jsonl where -o ends in .jsonl or .json)")
	fl.StringVarP(&f.output, "output", "o", "", "write to `FILE` instead of standard output")
	fl.StringVar(&f.transcripts, "transcripts", "", "write the transcript of each endpoint into `DIR`")
	fl.BoolVar(&f.why, "why", false, "say why, claim by claim and step by step")
	fl.StringSliceVar(&f.only, "only", nil, "let only these `PROBES` speak (see 'herald probes')")
	fl.StringVar(&f.hello, "helo", "", "`NAME` to introduce ourselves to mail servers (default: the address literal of our side)")
	fl.StringVar(&f.userAgent, "user-agent", "", "HTTP User-Agent (default: "+wire.DefaultUserAgent+")")
	fl.BoolVar(&f.favicon, "favicon", false, "HTTP: also fetch the page's icon, for its hash")
	fl.BoolVar(&f.noUpgrade, "no-starttls", false, "do not upgrade to TLS inside a protocol")
	fl.StringVar(&f.relayCheck, "relay-check", "", "ask proxies to fetch this `URL`, which must be your own")
	fl.StringSliceVar(&f.sources, "source", nil, "call from these `ADDRESSES` of this machine, one chosen for each connection (default: the system's choice)")
	fl.BoolVar(&f.postQuantum, "tls-pq", false, "also offer the post-quantum key share X25519MLKEM768 (costs half as much again)")
	fl.Uint64Var(&f.seed, "seed", 1, "`NUMBER` that the order of the targets follows from")
	fl.StringVar(&f.shard, "shard", "", "look at one part of the targets: `3/16` is the third of sixteen, which together hold each once")
	fl.StringArrayVar(&f.exclude, "exclude", nil, "never touch the addresses and blocks in `FILE`, one or several a line")
	fl.BoolVar(&f.reserved, "reserved", false, "also visit private, multicast and other reserved addresses inside wider ranges")
	fl.BoolVar(&f.yes, "yes", false, fmt.Sprintf("more than %d public addresses, or names, are meant, and you may scan them", mostPublic))
	fl.IntVar(&f.perMail, "per-host-mail", 1, "of these, on mail ports")
	fl.IntVar(&f.perNet, "per-net", 0, "endpoints of one /24 (IPv6: /48) looked at at once; 0 is no bound")
	fl.DurationVar(&f.maxTime, "max-time", 0, "begin nothing new after this time; 0 is no bound")
	fl.IntVar(&f.maxResults, "max-results", 0, "end after so many results; 0 is no bound")
	fl.StringVar(&f.checkpoint, "checkpoint", "", "keep the position in `FILE`, beside -o: started again after being killed, the scan goes on there")
	f.setFlags.register(fl)
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
	return c
}

func runScan(c *cobra.Command, f scanFlags, args []string) error {
	if len(args) == 0 && len(f.targets) == 0 {
		return usagef("scan: no target; write one like mail.example.org:25 or --targets FILE")
	}
	plan, err := f.plan()
	if err != nil {
		return err
	}
	specs, closeSpecs, err := specSource(c.InOrStdin(), args, f.targets)
	if err != nil {
		return err
	}
	defer closeSpecs()
	options, err := f.options()
	if err != nil {
		return err
	}
	options.Exclude = plan.Exclude
	if options.Signatures, err = f.set(fingerprint.Builtin(), c.ErrOrStderr()); err != nil {
		return err
	}
	out, err := f.openOutput(c.OutOrStdout(), args, options.Signatures)
	if err != nil {
		return err
	}
	progress := newProgress(c.ErrOrStderr(), f.quiet || f.output == "" && f.format == "jsonl")
	options.Progress = progress.show
	options.Workers = affordable(c.ErrOrStderr(), options.Workers)
	collectSeldom(options.Workers)
	options.Drain = drainAfter(c.Context(), f.maxTime)
	// An interrupt drains; to cancel as well would cut off what is under way.
	err = scan.New(options).Run(context.WithoutCancel(c.Context()), out.source(plan, specs), out.sink)
	progress.clear()
	if closing := out.close(); closing != nil && (err == nil || errors.Is(err, scan.ErrEnough) || errors.Is(err, scan.ErrDrained)) {
		err = closing
	}
	tellTrouble(c.ErrOrStderr(), progress.state())
	return f.ending(c, err, out, progress.state().Done)
}

// tellTrouble tells what went wrong on this machine, and not on the network.
func tellTrouble(stderr io.Writer, done scan.Progress) {
	if n := done.Exhausted; n > 0 {
		fmt.Fprintf(stderr, "herald: %d endpoints were not tried: this machine ran out of ports, files or memory; use fewer --workers, or raise ulimit -n\n", n)
	}
	if n := done.Defects; n > 0 {
		fmt.Fprintf(stderr, "herald: %d endpoints met a defect of herald itself (failure kind internal); please report one with its transcript (--transcripts DIR)\n", n)
	}
}

// ending says how a scan ended, err being what [scan.Scanner.Run] returned: to have found enough,
// or to have used up its time, is no error.
func (f scanFlags) ending(c *cobra.Command, err error, out *output, done int) error {
	enough, drained := errors.Is(err, scan.ErrEnough), errors.Is(err, scan.ErrDrained)
	if out.spent != nil && (err == nil || enough || drained) {
		fmt.Fprintf(c.ErrOrStderr(), "%d endpoints: %s\n", done, cmp.Or(out.spent.String(), "no connection"))
	}
	switch {
	case enough:
		return nil
	case errors.Is(err, scan.ErrTooMany):
		return usagef("%w, and more than %d need --yes: that you mean them, and may scan them", err, mostPublic)
	case !drained:
		return err
	}
	where := ""
	if out.checkpoint != nil {
		where = fmt.Sprintf("; all positions before %d are done, start the same command again to go on", out.checkpoint.Position())
	}
	stopped := fmt.Errorf("stopped after %d endpoints; what was found is written%s", done, where)
	if c.Context().Err() != nil {
		return stopped // by an interrupt
	}
	fmt.Fprintf(c.ErrOrStderr(), "herald: --max-time is over: %v\n", stopped)
	return nil
}

// drainAfter is closed when the first interrupt comes, or the time is over: nothing new is
// begun from then on, and what is under way is finished.
func drainAfter(ctx context.Context, limit time.Duration) <-chan struct{} {
	drained := make(chan struct{})
	var cancel context.CancelFunc = func() {}
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	context.AfterFunc(ctx, func() { cancel(); close(drained) })
	return drained
}

func (f scanFlags) options() (scan.Options, error) {
	for _, name := range f.only {
		if probes.Named(name) == nil {
			return scan.Options{}, usagef("--only: unknown probe %q; see 'herald probes'", name)
		}
	}
	switch {
	case f.workers < 1:
		return scan.Options{}, usagef("--workers %d: at least 1", f.workers)
	case f.perHost < 1:
		return scan.Options{}, usagef("--per-host %d: at least 1", f.perHost)
	case f.rate < 0:
		return scan.Options{}, usagef("--rate %g: at least 0", f.rate)
	case f.timeout <= 0:
		return scan.Options{}, usagef("--timeout %s: more than 0", f.timeout)
	}
	network, err := networkFrom(f.sources)
	if err != nil {
		return scan.Options{}, err
	}
	return scan.Options{
		Caller: wire.Caller{
			Transport: network,
			Manners:   wire.Manners{Hello: f.hello, UserAgent: f.userAgent, NoUpgrade: f.noUpgrade, Favicon: f.favicon, RelayCheck: f.relayCheck},
			TLS:       wire.TLSOffer{PostQuantum: f.postQuantum},
		},
		Workers: f.workers, PerHost: f.perHost, PerMail: f.perMail, PerNet: f.perNet, Rate: f.rate,
		Timeout: f.timeout, Only: f.only, MostResults: f.maxResults, Explain: f.why,
	}, nil
}
