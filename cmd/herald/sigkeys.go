package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
)

// keyInfo is a kind of evidence, and who notes it.
type keyInfo struct {
	Key        string   `json:"key"` // a final ".*" stands for a name that the server chooses
	Probes     []string `json:"probes"`
	About      string   `json:"about"`
	Signatures int      `json:"signatures"` // of the built-in ones that read it
}

// evidenceKeys are all kinds of evidence, sorted by name.
func evidenceKeys() []keyInfo {
	var all []keyInfo
	add := func(by string, k probes.Key) {
		i := slices.IndexFunc(all, func(other keyInfo) bool { return other.Key == k.Name })
		if i < 0 {
			all = append(all, keyInfo{Key: k.Name, About: k.About})
			i = len(all) - 1
		}
		all[i].Probes = append(all[i].Probes, by)
	}
	for _, p := range probes.All() {
		for _, k := range p.Info().Keys {
			add(p.Info().Name, k)
		}
	}
	for _, k := range probes.TLSKeys {
		add("any, inside TLS", k)
	}
	for _, k := range scan.Keys {
		add("any", k)
	}
	slices.SortFunc(all, func(a, b keyInfo) int { return strings.Compare(a.Key, b.Key) })
	for s := range fingerprint.Builtin().All() {
		if k := keyIn(all, s.On); k != nil {
			k.Signatures++
		}
	}
	return all
}

// keyIn finds a key by its name, or the family that it is of: the narrowest.
func keyIn(all []keyInfo, key string) (found *keyInfo) {
	for i := range all {
		k := &all[i]
		if k.Key == key {
			return k
		}
		if strings.HasSuffix(k.Key, "*") && keyFits(key, k.Key) && (found == nil || len(k.Key) > len(found.Key)) {
			found = k
		}
	}
	return found
}

func keyNamed(key string) *keyInfo { return keyIn(evidenceKeys(), key) }

// keyNames are the names of all keys, for fingerprint.Set.Check.
func keyNames() []string {
	var names []string
	for _, k := range evidenceKeys() {
		names = append(names, k.Key)
	}
	return names
}

func keysCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "keys",
		Short: "list the kinds of evidence that signatures can read",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			all := evidenceKeys()
			return writeListing(c.OutOrStdout(), format, all, func(w io.Writer) error { return writeKeys(w, all) })
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or jsonl")
	return c
}

func writeKeys(w io.Writer, all []keyInfo) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tPROBE\tSIGNATURES\tWHAT THE TEXT IS")
	for _, k := range all {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\n", k.Key, strings.Join(k.Probes, ", "), k.Signatures, k.About)
	}
	return t.Flush()
}
