package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
	"herald/scan"
)

// IdentifiedFormat is the number of the format of Identified, as Format is of Record.
const IdentifiedFormat = 1

// Identified is one line of the output of 'herald identify': what a recorded server is.
// Fields without a value are left out, except those whose comment says "always".
type Identified struct {
	Format    int         `json:"format"`              // always; 1
	Input     string      `json:"input"`               // always; file and line of the record, "-:3" of standard input
	Target    string      `json:"target,omitempty"`    // as the record names it
	Protocol  string      `json:"protocol,omitempty"`  // name of a probe, where the record or the words tell it
	Product   string      `json:"product,omitempty"`   // the surest claim
	Vendor    string      `json:"vendor,omitempty"`    // of that product
	Version   string      `json:"version,omitempty"`   // of that product, as the server spells it
	OS        string      `json:"os,omitempty"`        // operating system
	CPE       []string    `json:"cpe,omitempty"`       // CPE 2.3 names, surest first
	Certainty int         `json:"certainty,omitempty"` // of the product, 1 to 100
	Claims    []ClaimJSON `json:"claims"`              // always; everything concluded, surest first within a field
	Evidence  []WordsJSON `json:"evidence"`            // always; what the record has of the server's words
	Stub      string      `json:"stub,omitempty"`      // unknown product: a signature ready to be completed, YAML
}

// Heard is what a record has of one server.
type Heard struct {
	Input    string
	Target   string
	Protocol string
	Evidence []fingerprint.Evidence
	Claims   []fingerprint.Claim
}

// IdentifiedOf is a record with what is concluded from it.
func IdentifiedOf(h *Heard) *Identified {
	r := &Identified{
		Format: IdentifiedFormat, Input: h.Input, Target: h.Target, Protocol: h.protocol(),
		Vendor: h.best("vendor"), Version: h.best("version"), OS: h.best("os"),
		Claims: []ClaimJSON{}, Evidence: []WordsJSON{}, Stub: scan.Stub(h.Claims, h.Evidence),
	}
	if product, ok := fingerprint.Best(h.Claims, "product"); ok {
		r.Product, r.Certainty = product.Value, product.Certainty
	}
	for _, c := range h.Claims {
		if c.Field == "cpe" {
			r.CPE = append(r.CPE, c.Value)
		}
		r.Claims = append(r.Claims, ClaimJSON(c))
	}
	for _, e := range h.Evidence {
		r.Evidence = append(r.Evidence, wordsOf(e))
	}
	return r
}

func (h *Heard) best(field string) string {
	c, _ := fingerprint.Best(h.Claims, field)
	return c.Value
}

func (h *Heard) protocol() string {
	if h.Protocol != "" {
		return h.Protocol
	}
	return h.best("protocol")
}

// NewIdentifiedLines writes an [Identified] a line.
func NewIdentifiedLines(w io.Writer) func(*Heard) error {
	return func(h *Heard) error {
		line, err := json.Marshal(IdentifiedOf(h))
		if err != nil {
			return err
		}
		_, err = w.Write(append(appendSafe(nil, line), '\n'))
		return err
	}
}

// IdentifiedTable writes a row a record, for people.
type IdentifiedTable struct {
	w              io.Writer
	options        TableOptions
	held           []*Heard
	records, named int
}

// NewIdentifiedTable makes a table that writes to w.
func NewIdentifiedTable(w io.Writer, o TableOptions) *IdentifiedTable {
	return &IdentifiedTable{w: w, options: o}
}

// Write adds a row; rows are aligned in batches.
func (t *IdentifiedTable) Write(h *Heard) error {
	t.held = append(t.held, h)
	t.records++
	if h.best("product") != "" {
		t.named++
	}
	if len(t.held) >= tableBatch {
		return t.flush()
	}
	return nil
}

// Close writes what is held and a line of counts.
func (t *IdentifiedTable) Close() error {
	if err := t.flush(); err != nil || t.records == 0 {
		return err
	}
	_, err := fmt.Fprintf(t.w, "%d %s, %d with a product\n", t.records, plural(t.records, "record"), t.named)
	return err
}

func (t *IdentifiedTable) flush() error {
	if len(t.held) == 0 {
		return nil
	}
	var b bytes.Buffer
	r := remarked{options: t.options, header: table.Row{"record", "protocol", "product", "sure"}}
	for _, h := range t.held {
		sure, name := "-", t.paint("unknown", text.FgMagenta)
		if p, ok := fingerprint.Best(h.Claims, "product"); ok {
			sure = fmt.Sprintf("%d %%", p.Certainty)
			name = Printable(strings.TrimSpace(p.Value+" "+h.best("version")), 60)
		}
		row := table.Row{h.title(), orDash(Printable(h.protocol(), 30)), name, sure}
		r.add(row, row, h.remarks())
	}
	if err := r.write(&b); err != nil {
		return err
	}
	if t.options.Why != nil {
		for _, h := range t.held {
			o := WhyOptions{Signatures: t.options.Why, Colour: t.options.Colour, Width: t.options.Width}
			if err := WhyHeard(&b, o, h.title(), h.Claims, h.Evidence); err != nil {
				return err
			}
		}
		b.WriteByte('\n')
	}
	t.held = t.held[:0]
	_, err := b.WriteTo(t.w)
	return err
}

func (t *IdentifiedTable) paint(s string, c text.Color) string {
	if !t.options.Colour {
		return s
	}
	return c.Sprint(s)
}

func (h *Heard) title() string {
	if h.Target != "" {
		return Printable(h.Target, 80)
	}
	return Printable(h.Input, 80)
}

func (h *Heard) remarks() string {
	var all []string
	for _, field := range []string{"distribution", "os", "device", "component"} {
		if v := h.best(field); v != "" {
			all = append(all, Printable(v, 50))
		}
	}
	for _, c := range h.Claims {
		if c.Field == "product" && c.Behaviour && c.Value == h.best("product") {
			all = append(all, "told by behaviour")
			break
		}
	}
	if h.best("product") == "" {
		for _, e := range h.Evidence {
			if !strings.HasPrefix(e.Key, "tls.") {
				all = append(all, Printable(e.Key, 60)+": "+Printable(string(e.Text), 60))
				break
			}
		}
	}
	return strings.Join(all, "; ")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
