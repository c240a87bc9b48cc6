package report

import (
	"io"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
	"herald/scan"
)

// WhyOptions are by what, and how, reasons are written.
type WhyOptions struct {
	Signatures *fingerprint.Set
	Colour     bool // use colours
	Width      int  // columns, at most; 0 is 100
}

// Why writes why a service is what herald says: for each connection what was done and why,
// what was sent and what came back; then what [WhyHeard] writes.
func Why(w io.Writer, o WhyOptions, s *scan.Service) error {
	e := newExplainer(o)
	title := where(s)
	for _, more := range []string{what(s), product(s)} {
		if more != "" && more != "-" {
			title += "  " + more
		}
	}
	e.b.WriteByte('\n')
	e.line(0, e.paint(title, text.Bold))
	e.connections(s)
	e.heard(s.Claims, s.Evidence())
	if stub := s.Stub(); stub != "" {
		e.head("a signature to be completed")
		e.b.WriteString(indent(stub, "    "))
	}
	_, err := e.b.WriteTo(w)
	return err
}

// WhyHeard writes what is concluded from evidence: each claim with its signature, the
// evidence with the matched bytes marked, who is surer where it disagrees, and, where no
// product is named, the signatures that came nearest and what was missing.
func WhyHeard(w io.Writer, o WhyOptions, title string, claims []fingerprint.Claim, heard []fingerprint.Evidence) error {
	e := newExplainer(o)
	e.b.WriteByte('\n')
	e.line(0, e.paint(Printable(title, 200), text.Bold))
	e.heard(claims, heard)
	_, err := e.b.WriteTo(w)
	return err
}
