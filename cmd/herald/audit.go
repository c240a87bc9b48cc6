package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"herald/audit"
	"herald/audit/login"
	"herald/audit/mail"
	"herald/scan"
	"herald/wire"
)

// auditFlags are the flags of herald audit.
type auditFlags struct {
	facts    string
	from     string
	format   string
	output   string
	all      bool
	wait     time.Duration
	profiles []string
	envFiles []string
	hello    string
	relay    string
	workers  int
	progress func(scan.Progress) // told while facts are gathered
}

// auditSections are the sections of an expectations file that packages of their own read.
var auditSections = map[string]audit.Section{"logins": login.Section(os.Getenv), "domains": mail.Section, "roundtrip": mail.TripSection(os.Getenv)}

func auditCommand() *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use:   "audit FILE",
		Short: "say whether services are as a file says that they must be",
		Long: `Audit reads what is expected (an expectations file, or a Compose file with labels),
looks at every place that it names, and says for each expectation whether it holds:
pass, warn, fail, unknown or n/a. docs/audit.md describes both kinds of file.

Exit status: 0 everything holds, 1 something does not, 2 the file is wrong, 3 something
could not be determined and the file says "unknown: fail" (the default). With --format
nagios it is that of a monitoring plugin: 0 OK, 1 warning, 2 critical, 3 unknown.`,
		Example: `  herald audit herald.yaml
  herald audit docker-compose.yml --wait
  herald audit herald.yaml --facts facts.json && herald audit herald.yaml --from facts.json --format junit -o report.xml
  herald audit learn mail.example.org:25,465,587 > herald.yaml`,
		Args: arguments(1, 1, "a file: herald.yaml or docker-compose.yml"),
		RunE: func(c *cobra.Command, args []string) error { return runAudit(c, f, args[0]) },
	}
	fl := c.Flags()
	fl.StringVar(&f.facts, "facts", "", "save what was gathered in `FILE`")
	fl.StringVar(&f.from, "from", "", "judge what `FILE` holds, without a network: saved facts, or JSON lines of a scan")
	fl.StringVar(&f.format, "format", "table", strings.Join(audit.Formats, ", "))
	fl.StringVarP(&f.output, "output", "o", "", "write to `FILE` instead of standard output")
	fl.BoolVarP(&f.all, "all", "a", false, "table: also what passed")
	fl.DurationVar(&f.wait, "wait", 0, "look again until everything holds, so long at most (--wait alone: 60s)")
	fl.Lookup("wait").NoOptDefVal = "60s"
	fl.StringSliceVar(&f.profiles, "profile", nil, "Compose file: also the services of these `PROFILES`")
	fl.StringSliceVar(&f.envFiles, "env-file", nil, "Compose file: take variables from these `FILES` instead of .env")
	fl.StringVar(&f.hello, "helo", "", "`NAME` to introduce ourselves to mail servers (default: the address literal of our side)")
	fl.StringVar(&f.relay, "relay-check", "", "ask proxies to fetch this `URL`, which must be your own")
	fl.IntVar(&f.workers, "workers", 256, "endpoints looked at at once")
	c.AddCommand(auditSchemaCommand(), auditLearnCommand())
	return c
}

func (f auditFlags) options() scan.Options {
	return scan.Options{
		Workers:  f.workers,
		Progress: f.progress,
		Caller:   wire.Caller{Manners: wire.Manners{Hello: f.hello, RelayCheck: f.relay}},
	}
}

func runAudit(c *cobra.Command, f auditFlags, name string) error {
	if !slices.Contains(audit.Formats, f.format) {
		return usagef("--format %q: %s", f.format, strings.Join(audit.Formats, ", "))
	}
	if f.workers < 1 {
		return usagef("--workers %d: at least 1", f.workers)
	}
	file, err := f.read(c, name)
	if err != nil {
		return usage(err)
	}
	if f.wait > 0 {
		file.Defaults.Eventually = f.wait
	}
	progress := newProgress(c.ErrOrStderr(), f.from != "")
	f.progress = progress.show
	facts, findings, err := f.judge(c.Context(), file)
	progress.clear()
	switch {
	case errors.Is(err, login.ErrCredentials), errors.Is(err, mail.ErrMailbox):
		return usage(err)
	case err != nil:
		return err
	}
	if f.facts != "" {
		if err := writeFile(f.facts, facts.Write); err != nil {
			return usagef("--facts: %w", err)
		}
	}
	result := audit.Result{File: file, Findings: findings, Made: facts.Made}
	out := c.OutOrStdout()
	style := audit.Style{All: f.all, Colour: f.output == "" && colourful(out)}
	write := func(w io.Writer) error { return result.Write(w, f.format, style) }
	if err := writeOutput(out, f.output, write); err != nil {
		return err
	}
	if status := result.Exit(f.format); status != 0 {
		return exitStatus(status)
	}
	return nil
}

// read reads an expectations file or a Compose file, whichever it is.
func (f auditFlags) read(c *cobra.Command, name string) (*audit.File, error) {
	data, err := readAll(c, name)
	if err != nil {
		return nil, err
	}
	if audit.IsCompose(data) {
		if name == "-" {
			return nil, errors.New("a Compose file is read with the files beside it: give its name")
		}
		return audit.Compose(c.Context(), name, data, audit.ComposeOptions{Profiles: f.profiles, EnvFiles: f.envFiles})
	}
	if len(f.profiles) > 0 || len(f.envFiles) > 0 {
		return nil, fmt.Errorf("%s is no Compose file: --profile and --env-file are for those", name)
	}
	return audit.Parse(name, bytes.NewReader(data), auditSections)
}

// judge gathers, or takes what was gathered before, and judges it.
func (f auditFlags) judge(ctx context.Context, file *audit.File) (*audit.Facts, []audit.Finding, error) {
	if f.from == "" {
		return audit.Run(ctx, file, f.options())
	}
	in, err := os.Open(f.from)
	if err != nil {
		return nil, nil, usagef("--from: %w", err)
	}
	defer in.Close()
	facts, err := audit.ReadFacts(f.from, in)
	if err != nil {
		return nil, nil, usagef("--from: %w", err)
	}
	switch roots, err := audit.ReadRoots(file); {
	case err == nil && roots != nil:
		facts.Roots = roots
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, nil, usage(err)
	}
	return facts, audit.Judge(file, facts), nil
}
