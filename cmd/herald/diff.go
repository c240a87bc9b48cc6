package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"herald/audit"
)

func diffCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "say what changed between two scans",
		Long: `Diff compares two results of scans: our JSON lines, saved facts, or nmap's XML. It says
which services appeared, are gone or changed (protocol, product, version, TLS,
certificate, capabilities); what one of the files does not tell is not compared. One of
them can be -, standard input.

Exit status: 0 no difference, 1 differences, 2 a file is wrong.`,
		Example: `  herald scan mail.example.org -p mail -o today.jsonl && herald diff yesterday.jsonl today.jsonl
  herald scan mail.example.org -p mail --format jsonl | herald diff yesterday.jsonl -`,
		Args: arguments(2, 2, "two results of scans: OLD and NEW"),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(audit.DiffFormats, format) {
				return usagef("--format %q: %s", format, strings.Join(audit.DiffFormats, ", "))
			}
			var scans [2]*audit.Scan
			if args[0] == "-" && args[1] == "-" {
				return usagef("diff: standard input is one of the two results, not both")
			}
			for i, name := range args {
				file, err := openInput(c, name)
				if err != nil {
					return usage(err)
				}
				scans[i], err = audit.ReadScan(name, file)
				file.Close()
				if err != nil {
					return usage(err)
				}
			}
			changes := audit.Diff(scans[0], scans[1])
			out := c.OutOrStdout()
			if err := audit.WriteChanges(out, changes, format, colourful(out)); err != nil {
				return err
			}
			if len(changes) > 0 {
				return exitStatus(1)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "table", strings.Join(audit.DiffFormats, ", "))
	return c
}
