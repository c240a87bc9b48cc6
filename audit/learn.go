package audit

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"herald/report"
	"herald/scan"
	"herald/wire"
)

// Learn writes an expectations file that describes what was gathered. Facts that change by
// themselves (versions, dates, delays, parameters) become ranges; what can not be said
// stands there as a remark.
func Learn(w io.Writer, facts *Facts) error {
	var b strings.Builder
	b.WriteString("# Written by 'herald audit learn' on " + facts.Made.UTC().Format(time.DateOnly) + ". What follows is what ran then, not what\n" +
		"# should run: read it, and take out what is only chance.\n" +
		"# yaml-language-server: $schema=herald.schema.json  ('herald audit schema' prints it)\n" +
		"version: 1\n\ndefaults:\n  unknown: fail  # what could not be determined counts: exit status 3\n\n")
	var list []*Fact
	seen := map[string]bool{}
	for _, f := range facts.Services {
		if !seen[f.At] { // of several addresses the first speaks for all
			seen[f.At] = true
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b *Fact) int {
		ah, _, _ := cutPort(a.At)
		bh, _, _ := cutPort(b.At)
		return cmp.Or(cmp.Compare(ah, bh), cmp.Compare(a.Record.Port, b.Record.Port))
	})
	ids := map[string]bool{}
	var services strings.Builder
	for _, f := range list {
		learned := learnOne(f, ids)
		services.WriteString(learned)
	}
	if len(ids) == 0 {
		return fmt.Errorf("nothing runs there: no expectation can be learnt")
	}
	b.WriteString("services:\n" + services.String())
	_, err := io.WriteString(w, b.String())
	return err
}

func cutPort(at string) (host, port string, ok bool) {
	i := strings.LastIndexByte(at, ':')
	if i < 0 {
		return at, "", false
	}
	return at[:i], at[i+1:], true
}

// learnOne describes one place.
func learnOne(f *Fact, ids map[string]bool) string {
	r := f.Record
	var b strings.Builder
	remark := func(format string, a ...any) { fmt.Fprintf(&b, "  # "+format+"\n", a...) }
	switch r.Verdict {
	case scan.Unresolved, scan.Untried:
		remark("%s: %s; nothing is said of it", report.Printable(f.At, 100), r.Verdict)
		return b.String()
	}
	name := r.Protocol
	if name == "" {
		name = "port"
	}
	id := idOf(name, r, ids)
	ids[id] = true
	fmt.Fprintf(&b, "  - id: %s\n    at: %s\n    expect:\n", id, quoted(f.At))
	set := func(key, value, why string) {
		if why != "" {
			value += "  # " + why
		}
		fmt.Fprintf(&b, "      %s: %s\n", key, value)
	}
	switch {
	case r.Verdict == scan.Closed || r.Verdict == scan.Filtered:
		set("port", string(r.Verdict), "")
		return b.String() + "\n"
	case r.Protocol == "" && r.TLS != nil:
		set("protocol", "tls", "what is spoken inside was not understood")
	case r.Protocol == "":
		set("port", "open", "it is "+string(r.Verdict)+": what runs there is not known")
		return b.String() + "\n"
	default:
		set("protocol", r.Protocol, "")
	}
	if r.Declined {
		set("port", "open", "it turned us away: nothing more is known")
		return b.String() + "\n"
	}
	f.learnProduct(set)
	f.learnTLS(set)
	f.learnCapabilities(set)
	f.learnGreeting(set)
	return b.String() + "\n"
}

// idOf is a name for a service that no other one has.
func idOf(name string, r *report.Record, taken map[string]bool) string {
	id := name + "-" + strconv.Itoa(int(r.Port))
	for n := 2; taken[id]; n++ {
		id = fmt.Sprintf("%s-%d-%d", name, r.Port, n)
	}
	return id
}

func (f *Fact) learnProduct(set func(key, value, why string)) {
	r := f.Record
	if r.Product == "" {
		return
	}
	// Only a version that is this product's own.
	version := ""
	for _, c := range r.Claims {
		if c.Field == "version" && version == "" && strings.EqualFold(c.Product, r.Product) {
			version = c.Value
		}
	}
	if _, err := parseConstraint(">=" + version); version == "" || err != nil {
		set("product", quoted(r.Product), "it does not tell its version")
		return
	}
	set("product", fmt.Sprintf("{name: %s, version: %s}", quoted(r.Product), strconv.Quote(">="+version)), "")
}

func (f *Fact) learnTLS(set func(key, value, why string)) {
	r := f.Record
	mode := f.spoken()
	if r.TLS == nil {
		set("tls", string(mode), "")
		return
	}
	if version := strings.ReplaceAll(r.TLS.Version, " ", ""); slices.Contains(TLSVersions, version) {
		set("tls", fmt.Sprintf("{mode: %s, min_version: %s}", mode, version), "")
	} else {
		set("tls", string(mode), "")
	}
	if len(r.TLS.Chain) == 0 {
		return
	}
	leaf := r.TLS.Chain[0]
	var parts []string
	trusted := f.System == trustedBySystem
	if f.System != "" {
		parts = append(parts, "trusted: "+strconv.FormatBool(trusted))
	}
	if names := slices.DeleteFunc(slices.Clone(leaf.Names), func(n string) bool { return strings.Contains(n, "*") }); len(names) > 0 {
		parts = append(parts, "names: "+flow(names[:min(len(names), 20)]))
	}
	left := leaf.NotAfter.Sub(r.Started)
	switch {
	case left > 21*24*time.Hour:
		parts = append(parts, `valid_for: ">=14d"`)
	case left > 0:
		parts = append(parts, `valid_for: ">=1s"`)
	}
	if key := keyWord(leaf.Key); key != "" {
		parts = append(parts, "key: ["+key+"]")
	}
	if left <= 0 || len(parts) == 0 {
		set("# certificate", "expired on "+leaf.NotAfter.Format(time.DateOnly), "nothing is expected of it until it is renewed")
		return
	}
	set("certificate", "{"+strings.Join(parts, ", ")+"}", "until "+leaf.NotAfter.Format(time.DateOnly))
}

// keyWord is a key as expectations name it, "" for one that they do not know.
func keyWord(key string) string {
	kind, detail, _ := strings.Cut(strings.ToLower(key), " ")
	word := kind
	if detail != "" {
		word += "-" + strings.ReplaceAll(detail, "-", "")
	}
	if _, err := parseKey(word); err != nil {
		return ""
	}
	return word
}

func (f *Fact) learnCapabilities(set func(key, value, why string)) {
	r := f.Record
	var names []string
	for _, item := range f.last() {
		word, _, _ := strings.Cut(strings.ToUpper(item), " ")
		switch {
		case slices.Contains(names, word), strings.HasPrefix(word, "AUTH"), word == "SASL", word == "USER", word == "STARTTLS", word == "STLS", word == "LOGINDISABLED":
		case report.Printable(word, 100) != word: // no word of the protocol's
		default:
			names = append(names, word)
		}
	}
	if len(names) > 0 {
		set("capabilities", "{contains: "+flow(names)+"}", "")
	}
	if !slices.Contains(hasMechanisms, r.Protocol) {
		return
	}
	clear, protected := f.capabilities()
	if r.Security == wire.TLS && protected == nil {
		protected = clear
	}
	var parts []string
	if before := mechanisms(r.Protocol, clear); r.Security != wire.TLS && before != nil {
		parts = append(parts, "before_tls: "+mechanismsFlow(before))
	}
	if after := mechanisms(r.Protocol, protected); after != nil && r.Security != wire.Plain {
		parts = append(parts, "after_tls: "+mechanismsFlow(after))
	}
	if len(parts) > 0 {
		set("auth", "{"+strings.Join(parts, ", ")+"}", "")
	}
}

func mechanismsFlow(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return "{consist_of: " + flow(list) + "}"
}

func (f *Fact) learnGreeting(set func(key, value, why string)) {
	if name := f.greetingName(); name != "" && f.Record.Protocol == "smtp" && isHostName(name) {
		set("greeting_name", quoted(name), "")
	}
	if f.Record.GreetingMS > 0 {
		d := milliseconds(f.Record.GreetingMS)
		limit := 5 * time.Second
		for limit < 3*d {
			limit *= 2
		}
		set("greeting_delay", strconv.Quote("<"+strconv.Itoa(int(limit.Seconds()))+"s"), d.Round(time.Millisecond).String()+" now")
	}
}

func flow(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, quoted(w))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
