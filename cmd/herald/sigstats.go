package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"herald/fingerprint"
)

// count is what signatures of one protocol, or of one key, amount to.
type count struct {
	Name       string `json:"name"` // protocol, or evidence key
	Signatures int    `json:"signatures"`
	Products   int    `json:"products"`  // different ones
	Version    int    `json:"version"`   // signatures that tell a version
	CPE        int    `json:"cpe"`       // signatures from which a CPE name follows
	Behaviour  int    `json:"behaviour"` // signatures that judge by behaviour
	Adds       int    `json:"adds"`      // signatures that only add
	Examples   int    `json:"examples"`

	products map[string]bool
}

func statsCommand() *cobra.Command {
	var f setFlags
	var by, format string
	c := &cobra.Command{
		Use:   "stats",
		Short: "count the signatures and what they tell",
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if by != "protocol" && by != "key" {
				return usagef("--by %q: protocol or key", by)
			}
			builtin, err := fingerprint.Load(fingerprint.Files()) // with examples
			if err != nil {
				return err
			}
			set, err := f.set(builtin, c.ErrOrStderr())
			if err != nil {
				return err
			}
			counts := countSignatures(set, by)
			return writeListing(c.OutOrStdout(), format, counts, func(w io.Writer) error { return writeCounts(w, by, counts) })
		},
	}
	c.Flags().StringVar(&by, "by", "protocol", "protocol or key")
	c.Flags().StringVar(&format, "format", "table", "table or jsonl")
	f.register(c.Flags())
	return c
}

func writeCounts(w io.Writer, by string, counts []*count) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "SIGNATURES\tPRODUCTS\tVERSION\tCPE\tBEHAVIOUR\tADDS\tEXAMPLES\t  %s\n", strings.ToUpper(by))
	for _, n := range counts {
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", n.Signatures, n.Products, n.Version, n.CPE, n.Behaviour, n.Adds, n.Examples, n.Name)
	}
	return t.Flush()
}

// countSignatures counts by protocol or key, the most first, and all together at the end.
func countSignatures(set *fingerprint.Set, by string) []*count {
	withCPE := map[string]bool{}
	for _, p := range set.Products() {
		withCPE[p.Name] = p.CPE != ""
	}
	all := &count{Name: "all", products: map[string]bool{}}
	found := map[string]*count{}
	var list []*count
	for s := range set.All() {
		name := s.On
		if by == "protocol" {
			name = protocolOf(s.On)
		}
		n := found[name]
		if n == nil {
			n = &count{Name: name, products: map[string]bool{}}
			found[name] = n
			list = append(list, n)
		}
		for _, n := range []*count{n, all} {
			n.add(s, withCPE)
		}
	}
	slices.SortFunc(list, func(a, b *count) int {
		if a.Signatures != b.Signatures {
			return b.Signatures - a.Signatures
		}
		return strings.Compare(a.Name, b.Name)
	})
	list = append(list, all)
	for _, n := range list {
		n.Products = len(n.products)
	}
	return list
}

func (n *count) add(s *fingerprint.Signature, withCPE map[string]bool) {
	n.Signatures++
	n.Examples += len(s.Examples)
	product := claimed(s, "product")
	if product != "" && !strings.Contains(product, "${") {
		n.products[product] = true
	}
	if claimed(s, "version") != "" || strings.Contains(s.Match, "(?P<version>") {
		n.Version++
	}
	if claimed(s, "cpe") != "" || withCPE[product] {
		n.CPE++
	}
	if s.Behaviour {
		n.Behaviour++
	}
	if s.Adds {
		n.Adds++
	}
}
