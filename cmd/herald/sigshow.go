package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/report"
	"herald/wire"
)

func showCommand() *cobra.Command {
	var f setFlags
	c := &cobra.Command{
		Use:     "show ID…",
		Short:   "show a signature whole, with its examples",
		Example: `  herald signatures show smtp-postfix`,
		Args:    arguments(1, -1, "an id of herald signatures list"),
		RunE: func(c *cobra.Command, ids []string) error {
			builtin, err := fingerprint.Load(fingerprint.Files()) // with examples
			if err != nil {
				return err
			}
			_, all, err := f.locate(builtin, c.ErrOrStderr())
			if err != nil {
				return err
			}
			for i, id := range ids {
				if i > 0 {
					fmt.Fprintln(c.OutOrStdout())
				}
				at := slices.IndexFunc(all, func(s located) bool { return s.ID == id })
				if at < 0 {
					return usagef("no signature %q%s", id, suggest(id, all))
				}
				show(c.OutOrStdout(), all[at])
			}
			return nil
		},
	}
	f.register(c.Flags())
	return c
}

func suggest(id string, all []located) string {
	var near []string
	for _, s := range all {
		if strings.Contains(s.ID, id) && len(near) < 5 {
			near = append(near, s.ID)
		}
	}
	if len(near) == 0 {
		return "; see 'herald signatures list'"
	}
	return "; there are " + strings.Join(near, ", ")
}

func show(w io.Writer, s located) {
	line := func(name, format string, a ...any) {
		fmt.Fprintf(w, "%-11s%s\n", name, fmt.Sprintf(format, a...))
	}
	line("id", "%s", report.Printable(s.ID, 200))
	line("from", "%s", place(s))
	reads := report.Printable(s.On, 80)
	if k := keyNamed(s.On); k != nil {
		reads += ": " + k.About
	}
	line("reads", "%s", reads)
	line("match", "%s", report.Printable(s.Match, 4000))
	for _, t := range s.Claims {
		line(t.Field, "%s", report.Printable(t.Text, 300))
	}
	certainty := fmt.Sprint(s.Certainty)
	if s.Behaviour {
		certainty += ", told by behaviour"
	}
	if s.Adds {
		certainty += "; adds to whatever else matches"
	}
	line("certainty", "%s", certainty)
	line("source", "%s", report.Printable(s.Source, 500))
	for _, e := range s.Examples {
		line("example", "%s", wire.Escape(e.Text))
		for _, field := range fingerprint.Fields {
			if v, ok := e.Gives[field]; ok {
				line("", "gives %s %s", field, report.Printable(v, 300))
			}
		}
	}
	for _, r := range s.Rejects {
		line("not", "%s", wire.Escape(r.Text))
	}
}
