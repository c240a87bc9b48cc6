package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/scan"
	"herald/wire"
)

func replayCommand() *cobra.Command {
	var f resultFlags
	var signatures setFlags
	var port uint16
	c := &cobra.Command{
		Use:   "replay FILE…",
		Short: "conclude again from recorded transcripts, without a network",
		Long: `Replay leads each transcript (written by 'herald scan --transcripts DIR', or by hand)
through the same walk as a scan: the first connection of the record is the first that
the walk opens. Where it took place is read from its first note ("# herald scan TARGET"),
or else from what it concludes ("= port 5269", "= confirmed xmpp") and from its first
words. A wrong answer can be reported with a transcript alone.`,
		Args: arguments(1, -1, "a transcript: a file of herald scan --transcripts"),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := signatures.set(fingerprint.Builtin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			sink, err := f.sink(c.OutOrStdout(), set)
			if err != nil {
				return err
			}
			for _, name := range args {
				t, err := readTranscript(name)
				if err != nil {
					return usage(err)
				}
				target := scan.ReplayTarget(t)
				if port != 0 {
					target.Port = port
				}
				if err := sink.Write(c.Context(), scan.Replay(c.Context(), scan.Options{Signatures: set}, t, target)); err != nil {
					return err
				}
			}
			return sink.Close()
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.format, "format", "table", "table or jsonl")
	fl.BoolVar(&f.why, "why", false, "say why, claim by claim and step by step")
	signatures.register(fl)
	fl.Uint16Var(&port, "port", 0, "the `PORT` that the server stood on (default: as the transcript's first note says, or none)")
	return c
}

func readTranscript(name string) (*wire.Transcript, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	defer f.Close()
	return wire.ReadTranscript(name, f, func(cert string) ([]byte, error) {
		if cert != filepath.Base(cert) {
			return nil, fmt.Errorf("certificate file %q must lie beside the transcript", cert)
		}
		return os.ReadFile(filepath.Join(filepath.Dir(name), cert))
	})
}
