package main

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
	"herald/wire"
)

// demonstrated are the recordings that the demonstration plays, as patterns below
// probes/testdata: the versions in the names change with every new recording.
var demonstrated = []string{
	"smtp/postfix-*", "smtp/exim-*", "smtp/opensmtpd-*", "imap/dovecot-2*", "pop3/dovecot-2*", "sieve/dovecot-2*",
	"imap/cyrus-3*", "pop3/courier-*", "nntp/inn-2*", "ftp/vsftpd-*", "ftp/proftpd-*", "ftp/pure-ftpd-*",
	"http/nginx-1.??", "http/apache-2.?", "http/lighttpd-1.?", "ssh/openssh-*", "mysql/mariadb-10.??",
}

// demonstratedWalks are recordings of more than one connection, below scan/testdata.
var demonstratedWalks = []string{"then/squid-*"}

func demoCommand() *cobra.Command {
	var f resultFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "scan recorded servers, played on loopback: a first look",
		Long: `Demo plays recorded conversations of real servers from listeners on loopback, on odd
ports that promise nothing, and scans them. It needs no server and no network.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c, f) },
	}
	c.Flags().StringVar(&f.format, "format", "table", "table or jsonl")
	c.Flags().BoolVar(&f.why, "why", false, "say why, claim by claim and step by step")
	return c
}

func runDemo(c *cobra.Command, f resultFlags) error {
	recordings, err := demoRecordings()
	if err != nil {
		return err
	}
	var transcripts []*wire.Transcript
	for _, r := range recordings {
		transcripts = append(transcripts, r.transcript)
	}
	player, ports, err := wire.Play(transcripts...)
	if err != nil {
		return err
	}
	defer player.Close()
	out := c.OutOrStdout()
	sink, err := f.sink(out, fingerprint.Builtin())
	if err != nil {
		return err
	}
	if f.format == "table" {
		fmt.Fprintf(out, "%d recorded conversations of real servers are played on loopback, on ports that promise\nnothing. Nothing leaves this machine. Herald is told the ports, and finds out the rest:\n\n", len(recordings))
	}
	var words []string
	for _, p := range ports {
		words = append(words, p.String())
	}
	targets := scan.Plan{}.Targets(scan.ReadSpecs("demo", strings.NewReader(strings.Join(words, "\n"))))
	if err := scan.New(scan.Options{Workers: 32, PerHost: 32, Explain: f.why}).Run(c.Context(), targets, sink); err != nil {
		return err
	}
	if err := sink.Close(); err != nil {
		return err
	}
	if f.format == "table" {
		fmt.Fprintf(out, "\nWhat was recorded:\n")
		for i, r := range recordings {
			fmt.Fprintf(out, "  %-16s %s\n", ports[i], strings.TrimPrefix(r.transcript.Notes[0], "# "))
		}
		fmt.Fprintf(out, "\nNow a real one: herald scan localhost, or herald scan mail.example.org -p mail --why\n")
	}
	return nil
}

type recording struct {
	name       string
	transcript *wire.Transcript
}

func demoRecordings() ([]recording, error) {
	single, err := readRecordings(probes.Recordings, demonstrated)
	if err != nil {
		return nil, err
	}
	walks, err := readRecordings(scan.Recordings, demonstratedWalks)
	return append(single, walks...), err
}

func readRecordings(from fs.FS, patterns []string) ([]recording, error) {
	var found []recording
	for _, pattern := range patterns {
		names, err := fs.Glob(from, "testdata/"+pattern+".txt")
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("demo: no recording %s", pattern)
		}
		name := names[len(names)-1]
		t, err := wire.ReadRecording(from, name)
		if err != nil {
			return nil, err
		}
		found = append(found, recording{name, t})
	}
	return found, nil
}
