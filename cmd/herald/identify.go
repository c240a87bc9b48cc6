package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/recorded"
	"herald/report"
)

// identifyFlags are the flags of herald identify.
type identifyFlags struct {
	setFlags
	key, input, format string
	why                bool
}

func identifyCommand() *cobra.Command {
	var f identifyFlags
	c := &cobra.Command{
		Use:   "identify [FILE…]",
		Short: "name what was recorded elsewhere, without a network",
		Long: `Identify reads what servers were heard to say, from files or standard input, and
writes a JSON line with its claims for each. It understands

  text    a line is what one server said, with escapes as in Go (\r\n, \x00, \\):
          under --key, or else a greeting whose protocol is found out
  jsonl   {"key":"ftp.greeting","text":"220 …"}, with "base64" for exact bytes;
          lines of 'herald scan' and 'herald identify', judged anew;
          the output of zgrab2
  nmap    the output of nmap -oX: service fingerprints and the scripts banner,
          http-server-header, http-title and ssl-cert

and tells them apart by the first character, unless --input says which.

Exit status: 0 done, 2 something could not be read; it is named with file and line, and
what could be read is written all the same.`,
		Example: `  herald identify --key smtp.greeting < banners.txt
  herald scan 10.0.0.0/24 --format jsonl -o all.jsonl; herald identify all.jsonl --signatures mine
  nmap -sV --script banner -oX - 10.0.0.7 | herald identify --format table`,
		RunE: func(c *cobra.Command, args []string) error { return runIdentify(c, &f, args) },
	}
	fl := c.Flags()
	fl.StringVar(&f.key, "key", "", "the evidence `KEY` of lines of text (see 'herald signatures keys')")
	fl.StringVar(&f.input, "input", "auto", "auto, text, jsonl or nmap")
	fl.StringVar(&f.format, "format", "", "jsonl or table (default: jsonl, or table with --why)")
	fl.BoolVar(&f.why, "why", false, "say why, claim by claim")
	f.setFlags.register(fl)
	return c
}

func runIdentify(c *cobra.Command, f *identifyFlags, args []string) error {
	options, err := f.options()
	if err != nil {
		return err
	}
	set, err := f.set(fingerprint.Builtin(), c.ErrOrStderr())
	if err != nil {
		return err
	}
	options.Signatures = set
	write, end, err := f.writer(c.OutOrStdout(), set)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	r := identifier{set: set, options: options, write: write, complaints: c.ErrOrStderr()}
	for _, name := range args {
		if err := r.file(c, name); err != nil {
			return errors.Join(err, end())
		}
	}
	if err := end(); err != nil {
		return err
	}
	return r.ending()
}

func (f *identifyFlags) options() (recorded.Options, error) {
	o := recorded.Options{Key: f.key}
	if f.input != "auto" {
		o.Format = recorded.Format(f.input)
		if !slices.Contains(recorded.Formats, o.Format) {
			return o, usagef("--input %q: auto, text, jsonl or nmap", f.input)
		}
	}
	if f.key != "" && keyNamed(f.key) == nil {
		return o, usagef("--key %q: no such kind of evidence; see 'herald signatures keys'", f.key)
	}
	return o, nil
}

// writer is what writes a record, and what ends the output.
func (f *identifyFlags) writer(out io.Writer, set *fingerprint.Set) (write func(*report.Heard) error, end func() error, err error) {
	format := f.format
	if format == "" && f.why {
		format = "table"
	}
	switch format {
	case "", "jsonl":
		return report.NewIdentifiedLines(out), func() error { return nil }, nil
	case "table":
		width, _ := terminal(out)
		o := report.TableOptions{Colour: colourful(out), Width: width}
		if f.why {
			o.Why = set
		}
		t := report.NewIdentifiedTable(out, o)
		return t.Write, t.Close, nil
	}
	return nil, nil, usagef("--format %q: jsonl or table", f.format)
}

// identifier names the records of several inputs.
type identifier struct {
	set        *fingerprint.Set
	options    recorded.Options
	write      func(*report.Heard) error
	complaints io.Writer
	bad        int // records that could not be read
	wordless   int // records without a word of the server
}

// mostComplaints are told one by one; the rest is counted.
const mostComplaints = 20

func (r *identifier) file(c *cobra.Command, name string) error {
	in, err := openInput(c, name)
	if err != nil {
		return usagef("identify: %w", err)
	}
	defer in.Close()
	for item, err := range recorded.Read(name, in, r.options) {
		var bad *recorded.BadRecord
		switch {
		case errors.As(err, &bad):
			if r.bad++; r.bad <= mostComplaints {
				fmt.Fprintln(r.complaints, "herald:", report.Printable(err.Error(), 500))
			}
			continue
		case err != nil:
			return err
		case len(item.Heard) == 0:
			r.wordless++
			continue
		}
		h := &report.Heard{Input: item.Place, Target: item.Target, Protocol: item.Protocol, Evidence: item.Heard, Claims: r.set.Match(item.Heard)}
		if err := r.write(h); err != nil {
			return err
		}
	}
	return nil
}

func (r *identifier) ending() error {
	if r.wordless > 0 {
		fmt.Fprintf(r.complaints, "herald: %s without a word of the server passed over\n", counted(r.wordless, "record"))
	}
	if r.bad > mostComplaints {
		fmt.Fprintf(r.complaints, "herald: and %d more that can not be read\n", r.bad-mostComplaints)
	}
	if r.bad > 0 {
		return exitStatus(exitUsage)
	}
	return nil
}
