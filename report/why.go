package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"herald/fingerprint"
	"herald/scan"
)

// Why writes why a service is what herald says: the steps of the walk, each claim with
// its signature, the evidence with the matched bytes marked, and, where no product was
// named, the signatures that came nearest and what was missing.
func Why(w io.Writer, set *fingerprint.Set, s *scan.Service) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n%s\n", where(s))
	for _, step := range s.Steps {
		why := step.Why
		if why != "" {
			why = ": " + why
		}
		fmt.Fprintf(&b, "  connection %d  %s%s\n", step.Connection, Printable(step.What, 200), Printable(why, 200))
	}
	for _, e := range s.Evidence() {
		whyEvidence(&b, set, e)
	}
	if rivals := rivalProducts(s.Claims); len(rivals) > 1 {
		fmt.Fprintf(&b, "  evidence disagrees: %s; the surest is told\n", strings.Join(rivals, ", "))
	}
	if stub := s.Stub(); stub != "" {
		fmt.Fprintf(&b, "  a signature to be completed:\n%s", indent(stub, "    "))
	}
	_, err := b.WriteTo(w)
	return err
}

// WhyEvidence writes what the signatures say of one piece of evidence.
func WhyEvidence(w io.Writer, set *fingerprint.Set, e fingerprint.Evidence) error {
	var b bytes.Buffer
	whyEvidence(&b, set, e)
	_, err := b.WriteTo(w)
	return err
}

func whyEvidence(b *bytes.Buffer, set *fingerprint.Set, e fingerprint.Evidence) {
	const shown = 300 // characters of a text
	layer := ""
	if e.TLS {
		layer = " (inside TLS)"
	}
	fmt.Fprintf(b, "  %s%s\n    %s\n", Printable(e.Key, 80), layer, Printable(string(e.Text), shown))
	if strings.HasPrefix(e.Key, "tls.") {
		return
	}
	for _, m := range set.Explain(e) {
		if m.Near {
			fmt.Fprintf(b, "    near %s:", m.Signature.ID)
			if m.Missing != "" {
				fmt.Fprintf(b, " %s does not occur", quoted(m.Missing))
			}
			if m.Wanted != "" {
				fmt.Fprintf(b, " wanted %s next", quoted(m.Wanted))
			}
			b.WriteByte('\n')
			continue
		}
		fmt.Fprintf(b, "    %s\n", marks(e, m))
		var claims []string
		for _, c := range m.Claims {
			claims = append(claims, c.Field+" "+Printable(c.Value, 80))
		}
		how := ""
		if m.Signature.Behaviour {
			how = ", told by behaviour"
		}
		fmt.Fprintf(b, "    %s: %s (%d %% sure%s; %s)\n", m.Signature.ID, strings.Join(claims, ", "), m.Signature.Certainty, how, m.Signature.Source)
	}
}

// marks underlines what a signature took: '^' for the match, the name of each group
// where it stands.
func marks(e fingerprint.Evidence, m fingerprint.Match) string {
	if len(m.Groups) == 0 {
		return ""
	}
	if !bytes.Equal(m.Text, e.Text) {
		return "matched in: " + Printable(string(m.Text), 200)
	}
	column := func(at int) int { return len([]rune(Printable(string(e.Text[:at]), 1<<20))) }
	const most = 300
	line := []rune(strings.Repeat(" ", min(column(m.Groups[0].End), most)))
	for i := column(m.Groups[0].Start); i < len(line); i++ {
		line[i] = '-'
	}
	var named []string
	for _, g := range m.Groups[1:] {
		if g.Name == "" || g.End <= g.Start {
			continue
		}
		for i := column(g.Start); i < min(column(g.End), len(line)); i++ {
			line[i] = '^'
		}
		named = append(named, g.Name)
	}
	s := string(line)
	if len(named) > 0 {
		s += " " + strings.Join(named, ", ")
	}
	return s
}

func quoted(s string) string { return `"` + Printable(s, 60) + `"` }

func indent(s, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by) + "\n"
}

func rivalProducts(claims []fingerprint.Claim) []string {
	var names []string
	for _, c := range claims {
		if c.Field == "product" {
			name := fmt.Sprintf("%s (%d %%, %s)", Printable(c.Value, 60), c.Certainty, Printable(c.Key, 80))
			names = append(names, name)
		}
	}
	return names
}
