package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/report"
)

func signaturesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "signatures",
		Short: "look into the signatures, and test your own",
		Long: `A signature says what a server's words mean: which evidence it reads, the pattern,
what is claimed, how sure that is, and where the form of the text is known from.`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q (see 'herald signatures --help')", args[0])
			}
			return c.Help()
		},
	}
	c.AddCommand(listCommand(), showCommand(), testCommand(), statsCommand(), keysCommand())
	return c
}

// located is a signature with the place that it comes from.
type located struct {
	*fingerprint.Signature
	from string // built-in, own, recog
}

// locate lists the signatures of a set in their order.
func (f *setFlags) locate(builtin *fingerprint.Set, stderr io.Writer) (*fingerprint.Set, []located, error) {
	set, err := f.set(builtin, stderr)
	if err != nil {
		return nil, nil, err
	}
	with := &setFlags{own: f.own}
	ours, err := with.set(builtin, io.Discard)
	if err != nil {
		return nil, nil, err
	}
	own := ours.Len() - builtin.Len()
	var all []located
	for s := range set.All() {
		from := "built-in"
		switch i := len(all); {
		case i < own:
			from = "own"
		case i >= ours.Len():
			from = "recog"
		}
		all = append(all, located{s, from})
	}
	return set, all, nil
}

func listCommand() *cobra.Command {
	var f setFlags
	var protocol, key, product, format string
	c := &cobra.Command{
		Use:   "list",
		Short: "list the signatures in the order in which they are tried",
		Example: `  herald signatures list --protocol ftp
  herald signatures list --key http.header.server --product nginx`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if protocol != "" && !slices.ContainsFunc(evidenceKeys(), func(k keyInfo) bool { return protocolOf(k.Key) == protocol }) {
				return usagef("--protocol %q: no kind of evidence begins so; see 'herald signatures keys'", protocol)
			}
			_, all, err := f.locate(fingerprint.Builtin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(s located) bool {
				return protocol != "" && protocolOf(s.On) != protocol ||
					key != "" && !keyFits(s.On, key) ||
					product != "" && !strings.Contains(strings.ToLower(claimed(s.Signature, "product")), strings.ToLower(product))
			})
			return writeListing(c.OutOrStdout(), format, signatureLines(all), func(w io.Writer) error { return writeSignatures(w, all) })
		},
	}
	fl := c.Flags()
	fl.StringVar(&protocol, "protocol", "", "only those that read evidence of this `PROTOCOL`: smtp, http, proxy, …")
	fl.StringVar(&key, "key", "", "only those that read this evidence `KEY`; a final * stands for any end")
	fl.StringVar(&product, "product", "", "only those whose product contains this `TEXT`")
	fl.StringVar(&format, "format", "table", "table or jsonl")
	f.register(fl)
	return c
}

func writeSignatures(w io.Writer, all []located) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tREADS\tPRODUCT\tSURE\tFROM")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", report.Printable(s.ID, 60), report.Printable(s.On, 60),
			dash(report.Printable(claimed(s.Signature, "product"), 40)), sure(s.Signature), place(s))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, counted(len(all), "signature"))
	return err
}

// sure is the certainty, with a mark for what is told by behaviour and for what only adds.
func sure(s *fingerprint.Signature) string {
	text := fmt.Sprint(s.Certainty)
	if s.Behaviour {
		text += " behaviour"
	}
	if s.Adds {
		text += " adds"
	}
	return text
}

func place(s located) string {
	at := fmt.Sprintf("%s:%d", report.Printable(s.File, 80), s.Line)
	if s.Line == 0 {
		at = report.Printable(s.File, 80)
	}
	if s.from != "built-in" {
		at += " (" + s.from + ")"
	}
	return at
}

// protocolOf is the protocol of an evidence key: what stands before the first dot.
func protocolOf(key string) string {
	protocol, _, _ := strings.Cut(key, ".")
	return protocol
}

func keyFits(key, wanted string) bool {
	family, open := strings.CutSuffix(wanted, "*")
	return key == wanted || open && strings.HasPrefix(key, family)
}

// claimed is the text of a signature's claim, a template where it has groups; "" for none.
func claimed(s *fingerprint.Signature, field string) string {
	for _, t := range s.Claims {
		if t.Field == field {
			return t.Text
		}
	}
	return ""
}

// signatureLine is a line of 'herald signatures list --format jsonl'.
type signatureLine struct {
	ID        string            `json:"id"`
	Key       string            `json:"key"`
	Match     string            `json:"match"`
	Claims    map[string]string `json:"claims"` // field to text or template; groups named like a field claim it too
	Certainty int               `json:"certainty"`
	Adds      bool              `json:"adds,omitempty"`
	Behaviour bool              `json:"behaviour,omitempty"`
	Source    string            `json:"source"`
	From      string            `json:"from"` // built-in, own, recog
	File      string            `json:"file"`
	Line      int               `json:"line,omitempty"`
}

func signatureLines(all []located) []signatureLine {
	lines := make([]signatureLine, len(all))
	for i, s := range all {
		lines[i] = signatureLine{
			ID: s.ID, Key: s.On, Match: s.Match, Claims: map[string]string{}, Certainty: s.Certainty,
			Adds: s.Adds, Behaviour: s.Behaviour, Source: s.Source, From: s.from, File: s.File, Line: s.Line,
		}
		for _, t := range s.Claims {
			lines[i].Claims[t.Field] = t.Text
		}
	}
	return lines
}
