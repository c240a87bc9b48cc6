package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"herald/audit"
	"herald/probes"
	"herald/scan"
)

func waitCommand() *cobra.Command {
	var protocol string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "wait TARGET…",
		Short: "wait until services answer in their protocol",
		Long: `Wait looks at each target until it greets and answers in its protocol; that a
connection succeeds is not enough. It writes a line for each, and is fit for a
container's HEALTHCHECK.

Exit status: 0 all answer, 1 one does not in time, 2 wrong usage.`,
		Example: `  herald wait localhost:25 --for smtp --timeout 30s`,
		Args:    arguments(1, -1, "a target like localhost:25"),
		RunE: func(c *cobra.Command, args []string) error {
			if protocol != "" && probes.Named(protocol) == nil {
				if plain := strings.TrimSuffix(protocol, "s"); probes.Named(plain) != nil {
					return usagef("--for %s: the protocol is %s; that it is spoken inside TLS is said by the target: %s://%s", protocol, plain, protocol, args[0])
				}
				return usagef("--for: unknown protocol %q; see 'herald probes'", protocol)
			}
			if timeout <= 0 {
				return usagef("--timeout %s: more than 0", timeout)
			}
			targets, err := fewTargets(args)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			late := false
			for _, a := range audit.Wait(ctx, scan.Options{Timeout: min(timeout, scanTimeout)}, targets, protocol) {
				fmt.Fprintln(c.OutOrStdout(), a)
				late = late || !a.Ready
			}
			if late {
				return exitStatus(1)
			}
			return nil
		},
	}
	c.Flags().StringVar(&protocol, "for", "", "the `PROTOCOL` that must answer (default: any that is understood)")
	c.Flags().DurationVar(&timeout, "timeout", 60*time.Second, "how long to wait, at most")
	return c
}

// mostAwaited is how many endpoints can be waited for.
const mostAwaited = 1024

// fewTargets are targets that name their ports.
func fewTargets(args []string) ([]scan.Target, error) {
	var all []scan.Target
	for _, a := range args {
		s, err := scan.ParseSpec(a)
		switch {
		case err != nil:
			return nil, usage(err)
		case len(s.Ports) == 0:
			return nil, usagef("target %q: name its port: %s:PORT", a, a)
		case s.Hosts() > mostAwaited:
			return nil, usagef("target %q: more than %d endpoints", a, mostAwaited)
		}
		for t := range s.Targets(nil) {
			all = append(all, t)
		}
		if len(all) > mostAwaited {
			return nil, usagef("more than %d endpoints", mostAwaited)
		}
	}
	return all, nil
}
