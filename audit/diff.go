package audit

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"herald/scan"
	"herald/wire"
)

// Change is what differs between two scans at one place.
type Change struct {
	What  string `json:"what"` // appeared, gone, changed
	Where string `json:"where"`
	Field string `json:"field,omitempty"` // state, protocol, security, product, version, tls, certificate, capabilities
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// DiffFormats are the formats of [WriteChanges].
var DiffFormats = []string{"table", "jsonl", "markdown"}

// Scan is a scan's result, to be compared with another.
type Scan struct {
	places map[string]*observed
	// what the file can tell at all; a field that one of two files lacks is not compared
	tellsTLS, tellsCapabilities bool
}

// observed is what is compared at a place.
type observed struct {
	name, state                 string
	protocol, security, product string
	version, tls, certificate   string
	capabilities                []string
}

// ReadScan reads a scan's result: our JSON lines, saved facts, or nmap's XML.
func ReadScan(name string, r io.Reader) (*Scan, error) {
	b := bufio.NewReader(io.LimitReader(r, 1<<30))
	for {
		head, err := b.Peek(1)
		if err != nil {
			return nil, fmt.Errorf("%s: empty", name)
		}
		if head[0] != ' ' && head[0] != '\n' && head[0] != '\r' && head[0] != '\t' && head[0] != 0xef && head[0] != 0xbb && head[0] != 0xbf {
			break
		}
		b.Discard(1)
	}
	head, _ := b.Peek(1)
	if head[0] == '<' {
		return readNmap(name, b)
	}
	if head[0] != '{' {
		return nil, fmt.Errorf("%s: neither JSON lines of a scan nor nmap's XML", name)
	}
	facts, err := ReadFacts(name, b)
	if err != nil {
		return nil, err
	}
	s := &Scan{places: map[string]*observed{}, tellsTLS: true, tellsCapabilities: true}
	for _, f := range facts.Services {
		s.places[f.key()] = f.observed()
	}
	return s, nil
}

// key is where the fact is: the address and port, or failing an address the target.
func (f *Fact) key() string {
	if a, err := netip.ParseAddr(f.Record.Address); err == nil {
		return netip.AddrPortFrom(a, f.Record.Port).String()
	}
	return f.At
}

func (f *Fact) observed() *observed {
	r := f.Record
	o := &observed{name: r.Name, protocol: r.Protocol, product: r.Product, version: r.Version, security: string(f.spoken())}
	switch r.Verdict {
	case scan.Closed, scan.Filtered, scan.Unresolved, scan.Untried:
		return &observed{name: r.Name, state: string(r.Verdict)}
	}
	o.state = "open"
	if t := r.TLS; t != nil {
		o.tls = t.Version
		if len(t.Chain) > 0 {
			leaf := t.Chain[0]
			o.certificate = fmt.Sprintf("%s until %s (SHA-256 %.16s)", leaf.Subject, leaf.NotAfter.Format(time.DateOnly), leaf.SHA256)
		}
	}
	for _, item := range f.last() {
		if word := strings.Join(strings.Fields(strings.ToUpper(item)), " "); !slices.Contains(o.capabilities, word) {
			o.capabilities = append(o.capabilities, word)
		}
	}
	slices.Sort(o.capabilities)
	return o
}

// Diff is what changed from an old scan to a new one, sorted by place.
func Diff(older, newer *Scan) []Change {
	var changes []Change
	keys := map[string]bool{}
	for k := range older.places {
		keys[k] = true
	}
	for k := range newer.places {
		keys[k] = true
	}
	var sorted []string
	for k := range keys {
		sorted = append(sorted, k)
	}
	slices.SortFunc(sorted, func(a, b string) int {
		x, err1 := netip.ParseAddrPort(a)
		y, err2 := netip.ParseAddrPort(b)
		if err1 == nil && err2 == nil {
			return x.Compare(y)
		}
		return cmp.Compare(a, b)
	})
	both := compared{older.tellsTLS && newer.tellsTLS, older.tellsCapabilities && newer.tellsCapabilities}
	for _, k := range sorted {
		changes = append(changes, both.at(k, older.places[k], newer.places[k])...)
	}
	return changes
}

// compared says what both scans can tell.
type compared struct{ tls, capabilities bool }

func (c compared) at(key string, was, is *observed) []Change {
	where := key
	for _, o := range []*observed{is, was} {
		if o != nil && o.name != "" {
			where += " (" + o.name + ")"
			break
		}
	}
	wasOpen, isOpen := was != nil && was.state == "open", is != nil && is.state == "open"
	switch {
	case !wasOpen && !isOpen:
		return nil
	case !wasOpen:
		return []Change{{What: "appeared", Where: where, Old: was.short(), New: is.short()}}
	case !isOpen:
		return []Change{{What: "gone", Where: where, Old: was.short(), New: is.short()}}
	}
	var all []Change
	field := func(name, old, new string) {
		if old != new {
			all = append(all, Change{"changed", where, name, old, new})
		}
	}
	field("protocol", was.protocol, is.protocol)
	if c.tls || was.security == string(wire.TLS) || is.security == string(wire.TLS) {
		field("security", was.security, is.security)
	}
	field("product", was.product, is.product)
	field("version", was.version, is.version)
	if c.tls {
		field("tls", was.tls, is.tls)
		field("certificate", was.certificate, is.certificate)
	}
	if c.capabilities && was.protocol == is.protocol {
		gone := without(was.capabilities, is.capabilities)
		come := without(is.capabilities, was.capabilities)
		if len(gone)+len(come) > 0 {
			all = append(all, Change{"changed", where, "capabilities", strings.Join(gone, ", "), strings.Join(come, ", ")})
		}
	}
	return all
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// short is an observation in a few words; nil is not scanned.
func (o *observed) short() string {
	if o == nil {
		return "not scanned"
	}
	if o.state != "open" {
		return o.state
	}
	words := []string{o.protocol}
	if o.protocol == "" {
		words = []string{"unknown"}
	}
	if o.security != "" && o.security != string(wire.Plain) {
		words = append(words, o.security)
	}
	for _, w := range []string{o.product, o.version} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
