package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"herald/scan"
	"herald/wire"
)

func portsCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "ports [NAME|NUMBER]…",
		Short: "say what is expected on which port",
		Example: `  herald ports 587
  herald ports mail
  herald ports imaps --format jsonl`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"all"}
			}
			numbers, err := scan.ParsePorts(strings.Join(args, ","))
			if err != nil {
				return usage(err)
			}
			known := knownPorts(numbers)
			return writeListing(c.OutOrStdout(), format, known, func(w io.Writer) error { return writePorts(w, known) })
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or jsonl")
	return c
}

// knownPorts are the ports of these numbers, those of which nothing is known included.
func knownPorts(numbers []uint16) []*scan.KnownPort {
	var known []*scan.KnownPort
	for _, n := range numbers {
		p := scan.PortNamed(n)
		if p == nil {
			p = &scan.KnownPort{Number: n, Expected: []scan.Expected{}, About: "nothing is registered here that herald knows of"}
		}
		known = append(known, p)
	}
	return known
}

func writePorts(w io.Writer, known []*scan.KnownPort) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PORT\tEXPECTED\tGROUP\tINSIDE TLS\tWHAT IT IS FOR")
	for _, p := range known {
		var expected []string
		for _, e := range p.Expected {
			name := e.Protocol
			if e.Security == wire.TLS {
				name += " in TLS"
			}
			expected = append(expected, name)
		}
		if len(expected) == 0 && p.Service != "" {
			expected = []string{"(" + p.Service + ")"}
		}
		twin := "-"
		if p.SecurePort != 0 {
			twin = fmt.Sprint(p.SecurePort)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", p.Number, dash(strings.Join(expected, ", ")), dash(p.Group), twin, p.About)
	}
	return t.Flush()
}
