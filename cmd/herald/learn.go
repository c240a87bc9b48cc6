package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"herald/audit"
	"herald/scan"
)

func auditSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "print the JSON Schema of expectations files",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(audit.Schema)
			return err
		},
	}
}

func auditLearnCommand() *cobra.Command {
	var output, ports string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "learn TARGET…",
		Short: "write an expectations file from what runs now",
		Long: `Learn looks at targets and writes an expectations file that holds: auditing with it
right after passes. Versions, dates and delays become ranges. Of a target without
ports the open ones are written; of one with ports, the closed ones too.`,
		Example: `  herald audit learn mail.example.org:25,465,587,993 > herald.yaml`,
		Args:    arguments(1, -1, "a target like mail.example.org:25"),
		RunE: func(c *cobra.Command, args []string) error {
			facts, err := learnFacts(c.Context(), args, ports, timeout)
			if err != nil {
				return err
			}
			write := func(w io.Writer) error { return usage(audit.Learn(w, facts)) }
			return writeOutput(c.OutOrStdout(), output, write)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to `FILE` instead of standard output")
	c.Flags().StringVarP(&ports, "ports", "p", "default", "`PORTS` where a target names none, as for scan")
	c.Flags().DurationVar(&timeout, "timeout", scanTimeout, "for one endpoint, all its connections")
	return c
}

// mostLearnt is how many endpoints can be learnt at once.
const mostLearnt = 1 << 14

func learnFacts(ctx context.Context, args []string, ports string, timeout time.Duration) (*audit.Facts, error) {
	usual, err := scan.ParsePorts(ports)
	if err != nil {
		return nil, usagef("--ports: %w", err)
	}
	if timeout <= 0 {
		return nil, usagef("--timeout %s: more than 0", timeout)
	}
	var named, open []scan.Target
	for _, a := range args {
		s, err := scan.ParseSpec(a)
		if err != nil {
			return nil, usage(err)
		}
		if s.Hosts() > mostLearnt {
			return nil, usagef("target %q: more than %d endpoints; learn a part of them", a, mostLearnt)
		}
		for t := range s.Targets(usual) {
			if len(s.Ports) > 0 {
				named = append(named, t)
			} else {
				open = append(open, t)
			}
		}
		if len(named)+len(open) > mostLearnt {
			return nil, usagef("more than %d endpoints; learn a part of them", mostLearnt)
		}
	}
	return audit.GatherTargets(ctx, named, open, scan.Options{Timeout: timeout})
}
