package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/probes"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

const scanTimeout = 20 * time.Second // for one endpoint

// scanFlags are the flags of herald scan.
type scanFlags struct {
	targets     []string
	ports       string
	workers     int
	perHost     int
	rate        float64
	timeout     time.Duration
	format      string
	output      string
	transcripts string
	why         bool
	only        []string
	hello       string
	userAgent   string
	favicon     bool
	noUpgrade   bool
	relayCheck  string
	postQuantum bool
	quiet       bool
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
	fl.BoolVar(&f.postQuantum, "tls-pq", false, "also offer the post-quantum key share X25519MLKEM768 (costs half as much again)")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
	return c
}

func runScan(c *cobra.Command, f scanFlags, args []string) (err error) {
	if len(args) == 0 && len(f.targets) == 0 {
		return usagef("scan: no target; write one like mail.example.org:25 or --targets FILE")
	}
	ports, err := scan.ParsePorts(f.ports)
	if err != nil {
		return usagef("--ports: %w", err)
	}
	source, closeSource, err := targetSource(c.InOrStdin(), args, f.targets, ports)
	if err != nil {
		return err
	}
	defer closeSource()
	options, err := f.options()
	if err != nil {
		return err
	}
	if f.transcripts != "" {
		if err := os.MkdirAll(f.transcripts, 0o755); err != nil {
			return usagef("--transcripts: %w", err)
		}
	}
	out, closeOut, err := openOutput(c.OutOrStdout(), f.output)
	if err != nil {
		return err
	}
	sink, err := f.sink(out)
	if err != nil {
		return err
	}
	if f.transcripts != "" {
		sink = &transcriptSink{Sink: sink, dir: f.transcripts}
	}
	progress := newProgress(c.ErrOrStderr(), f.quiet || f.output == "" && f.format == "jsonl")
	options.Progress = progress.show
	scanErr := scan.New(options).Run(c.Context(), source, sink)
	progress.clear()
	if err := errors.Join(sink.Close(), closeOut()); err != nil {
		return err
	}
	var bad *badTarget
	switch {
	case errors.As(scanErr, &bad):
		return usage(bad.error)
	case errors.Is(scanErr, context.Canceled):
		return fmt.Errorf("stopped; what was found until then is written")
	}
	return scanErr
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
	return scan.Options{
		Caller: wire.Caller{
			Manners: wire.Manners{Hello: f.hello, UserAgent: f.userAgent, NoUpgrade: f.noUpgrade, Favicon: f.favicon, RelayCheck: f.relayCheck},
			TLS:     wire.TLSOffer{PostQuantum: f.postQuantum},
		},
		Workers: f.workers, PerHost: f.perHost, Rate: f.rate, Timeout: f.timeout, Only: f.only,
	}, nil
}

func (f scanFlags) sink(out io.Writer) (scan.Sink, error) {
	format := f.format
	if format == "" {
		format = "table"
		if ext := filepath.Ext(f.output); ext == ".jsonl" || ext == ".json" {
			format = "jsonl"
		}
	}
	switch format {
	case "table":
		width, _ := terminal(out)
		o := report.TableOptions{Colour: colourful(out), Width: width}
		if f.why {
			o.Why = fingerprint.Builtin()
		}
		return report.NewTable(out, o), nil
	case "jsonl":
		return report.NewJSONLines(out), nil
	}
	return nil, usagef("--format %q: table or jsonl", format)
}

// badTarget marks an error in what the user named.
type badTarget struct{ error }

func (b *badTarget) Unwrap() error { return b.error }

// targetSource joins the targets on the command line, which are checked at once, and
// those in files, which are read as the scan goes.
func targetSource(stdin io.Reader, args, files []string, ports []uint16) (scan.Source, func(), error) {
	var sources []scan.Source
	var open []io.Closer
	closeAll := func() {
		for _, c := range open {
			c.Close()
		}
	}
	for _, a := range args {
		s, err := scan.ParseSpec(a)
		if err != nil {
			return nil, closeAll, usage(err)
		}
		sources = append(sources, s.Targets(ports))
	}
	for _, name := range files {
		if name == "-" {
			sources = append(sources, scan.ReadTargets("standard input", stdin, ports))
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			closeAll()
			return nil, func() {}, usagef("--targets: %w", err)
		}
		open = append(open, file)
		sources = append(sources, scan.ReadTargets(name, file, ports))
	}
	all := scan.Chain(sources...)
	return func(yield func(scan.Target, error) bool) {
		for t, err := range all {
			if err != nil {
				err = &badTarget{err}
			}
			if !yield(t, err) {
				return
			}
		}
	}, closeAll, nil
}

// openOutput opens a file to write, or takes standard output.
func openOutput(stdout io.Writer, name string) (io.Writer, func() error, error) {
	if name == "" || name == "-" {
		return stdout, func() error { return nil }, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, nil, usagef("--output: %w", err)
	}
	return f, f.Close, nil
}

// transcriptSink writes the transcript of each service into a directory, then hands the
// service on.
type transcriptSink struct {
	scan.Sink
	dir string
}

func (t *transcriptSink) Write(ctx context.Context, s *scan.Service) error {
	if err := writeTranscript(t.dir, s); err != nil {
		return err
	}
	return t.Sink.Write(ctx, s)
}

// writeTranscript names the file by the address and port; certificates lie beside it.
func writeTranscript(dir string, s *scan.Service) error {
	transcript := s.Transcript()
	for name, chain := range transcript.NameCertificates() {
		if err := os.WriteFile(filepath.Join(dir, name), chain, 0o644); err != nil {
			return err
		}
	}
	var text strings.Builder
	if _, err := transcript.WriteTo(&text); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, transcriptName(s)), []byte(text.String()), 0o644)
}

func transcriptName(s *scan.Service) string {
	host := s.Target.Host
	if s.Endpoint.Addr.IsValid() {
		host = s.Endpoint.Addr.Addr().String()
	}
	safe := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' {
			return r
		}
		return '_'
	}, host)
	if len(safe) > 120 {
		safe = safe[:100] + hex.EncodeToString([]byte(safe[100:110]))
	}
	return fmt.Sprintf("%s_%d.txt", safe, s.Target.Port)
}
