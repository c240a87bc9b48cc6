package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"herald/probes"
)

func probesCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "probes",
		Short: "list the protocols that herald speaks",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			var all []*probes.Info
			for _, p := range probes.All() {
				all = append(all, p.Info())
			}
			return writeListing(c.OutOrStdout(), format, all, func(w io.Writer) error { return writeProbes(w, all) })
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or jsonl")
	return c
}

func writeProbes(w io.Writer, all []*probes.Info) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROBE\tPORTS\tFIRST WORD\tPROTOCOL")
	for _, info := range all {
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
}
