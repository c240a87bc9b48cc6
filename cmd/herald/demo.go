package main

import "github.com/spf13/cobra"

func demoCommand() *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "scan recorded servers, played on loopback", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("demo: the recordings come next") }}
}
