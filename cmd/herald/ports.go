package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"herald/probes"
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
			var known []*scan.KnownPort
			for _, n := range numbers {
				p := scan.PortNamed(n)
				if p == nil {
					p = &scan.KnownPort{Number: n, Expected: []scan.Expected{}, About: "nothing is registered here that herald knows of"}
				}
				known = append(known, p)
			}
			switch format {
			case "table":
				return writePorts(c.OutOrStdout(), known)
			case "jsonl":
				enc := json.NewEncoder(c.OutOrStdout())
				for _, p := range known {
					if err := enc.Encode(p); err != nil {
						return err
					}
				}
				return nil
			}
			return usagef("--format %q: table or jsonl", format)
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or jsonl")
	return c
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

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func probesCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "probes",
		Short: "list the protocols that herald speaks",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			switch format {
			case "table":
				t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(t, "PROBE\tPORTS\tFIRST WORD\tPROTOCOL")
				for _, p := range probes.All() {
					info := p.Info()
					var ports []string
					for _, port := range info.Ports {
						ports = append(ports, fmt.Sprint(port.Number))
					}
					first := "server"
					if info.Asks {
						first = "client"
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", info.Name, dash(strings.Join(ports, ",")), first, strings.Join(append([]string{info.Title}, info.Refs...), ", "))
				}
				return t.Flush()
			case "jsonl":
				enc := json.NewEncoder(c.OutOrStdout())
				for _, p := range probes.All() {
					if err := enc.Encode(p.Info()); err != nil {
						return err
					}
				}
				return nil
			}
			return usagef("--format %q: table or jsonl", format)
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or jsonl")
	return c
}
