//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// TestCostOfDeciding prints what it costs to decide what runs on a port that promises
// nothing: the table of docs/probing.md. Run it alone, on a machine that does nothing else:
//
//	go test -tags integration -count=1 -v -run TestCostOfDeciding ./integration
func TestCostOfDeciding(t *testing.T) {
	zoo, err := Zoo()
	if err != nil {
		t.Fatal(err)
	}
	found := scanZoo(t, zoo)
	type cost struct{ ports, decided, connections, sent, received, milliseconds int }
	costs := map[string]*cost{}
	for _, want := range zoo {
		s := found[want.Published]
		if s == nil {
			t.Fatalf("%s is not in the output", want)
		}
		name := want.Protocol
		if want.Security == "tls" {
			name += " in TLS"
		}
		c := costs[name]
		if c == nil {
			c = &cost{}
			costs[name] = c
		}
		c.ports++
		if s.Protocol == want.Protocol {
			c.decided++
		}
		c.connections += s.Connections
		c.sent += s.Sent
		c.received += s.Received
		c.milliseconds += int(s.Duration.Milliseconds())
	}
	var names []string
	for name := range costs {
		names = append(names, name)
	}
	slices.Sort(names)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| protocol\t| ports\t| decided\t| connections\t| bytes sent\t| bytes received\t| ms\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, name := range names {
		c := costs[name]
		fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %.1f\t| %d\t| %d\t| %d\t|\n", name, c.ports, c.decided,
			float64(c.connections)/float64(c.ports), c.sent/c.ports, c.received/c.ports, c.milliseconds/c.ports)
	}
	w.Flush()
	t.Log("\n" + table.String())
}
