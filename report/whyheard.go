package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"herald/fingerprint"
)

// heard tells what is concluded, and from what.
func (e *explainer) heard(claims []fingerprint.Claim, all []fingerprint.Evidence) {
	e.claimed(claims)
	e.rivals(claims)
	var silent []string // keys that no signature speaks on
	var near []nearMiss
	headed := false
	for _, ev := range all {
		spoken := false
		for _, m := range e.Signatures.Explain(ev) {
			if m.Near {
				near = append(near, nearMiss{ev.Key, m})
				continue
			}
			if !headed {
				e.head("what it is told by")
				headed = true
			}
			if !spoken {
				layer := ""
				if ev.TLS {
					layer = " (inside TLS)"
				}
				e.line(4, e.paint(Printable(ev.Key, 80)+layer, text.Bold))
			}
			spoken = true
			e.match(m)
		}
		if !spoken && !slices.Contains(silent, ev.Key) {
			silent = append(silent, ev.Key)
		}
	}
	named := slices.ContainsFunc(claims, func(c fingerprint.Claim) bool { return c.Field == "product" })
	if !named {
		e.unnamed(all)
		e.nearest(near)
	} else if len(silent) > 0 {
		e.head("heard too, no signature speaks on it")
		for i := range silent {
			silent[i] = Printable(silent[i], 80)
		}
		e.list(4, silent[:min(len(silent), 60)], text.Faint)
	}
}

// claimed lists the claims, each with how sure it is and where it is from.
func (e *explainer) claimed(claims []fingerprint.Claim) {
	claims = slices.DeleteFunc(slices.Clone(claims), func(c fingerprint.Claim) bool {
		return c.Field == "vendor" || c.Field == "cpe" // follow from product and version
	})
	if len(claims) == 0 {
		return
	}
	several := len(products(claims)) > 1
	values := make([]string, len(claims))
	wide, fields := 0, 12
	for i, c := range claims {
		fields = max(fields, len(c.Field))
		values[i] = Printable(c.Value, 60)
		if several && c.Product != "" && c.Field == "version" {
			values[i] += " of " + Printable(c.Product, 40)
		}
		values[i] = text.Snip(values[i], e.Width/2-4, "…")
		wide = max(wide, text.StringWidthWithoutEscSequences(values[i]))
	}
	e.head("what is claimed")
	for i, c := range claims {
		field := ""
		if i == 0 || claims[i-1].Field != c.Field {
			field = strings.ReplaceAll(c.Field, "_", " ")
		}
		value := values[i]
		pad := strings.Repeat(" ", wide-text.StringWidthWithoutEscSequences(value))
		from := fmt.Sprintf("%3d %%  %s", c.Certainty, Printable(c.Key, 60))
		e.line(4, fmt.Sprintf("%-*s  ", fields, field)+e.paint(value, text.FgGreen)+pad+"  "+e.paint(text.Snip(from, max(4, e.Width-8-fields-wide), "…"), text.Faint))
	}
}

// rivals tells of products that evidence names side by side: which is told, and why.
func (e *explainer) rivals(claims []fingerprint.Claim) {
	list := products(claims)
	if len(list) < 2 {
		return
	}
	e.head("more than one product is named")
	for i, c := range list {
		e.wrap(4, fmt.Sprintf("%s, %d %% sure: %s, in %s (%s)", Printable(c.Value, 60), c.Certainty, sureness(c), Printable(c.Key, 80), Printable(c.Signature, 80)))
		if i > 0 {
			continue
		}
		if list[1].Certainty == c.Certainty {
			e.wrap(6, "told, because it was heard first: others are as sure", text.Faint)
		} else {
			e.wrap(6, "told, because it is the surest", text.Faint)
		}
	}
	e.wrap(4, "Both can be right, where one stands in front of the other or carries it.", text.Faint)
}

// products are the claims of products, the surest first.
func products(claims []fingerprint.Claim) (list []fingerprint.Claim) {
	for _, c := range claims {
		if c.Field == "product" {
			list = append(list, c)
		}
	}
	return list
}

// sureness is what a certainty means, in the words of fingerprint/db/README.md.
func sureness(c fingerprint.Claim) string {
	switch {
	case c.Behaviour:
		return "told by behaviour, not by a name"
	case c.Certainty >= 95:
		return "it names itself in a form of its own"
	case c.Certainty >= 80:
		return "it is named in a text that others could write too"
	case c.Certainty >= 60:
		return "a phrase, spelling or order that is known of it alone"
	}
	return "typical of it, and seen elsewhere"
}

// unnamed shows what was heard of a server that nobody names: it is what a new signature
// can be made of.
func (e *explainer) unnamed(all []fingerprint.Evidence) {
	const most = 12
	shown := 0
	for _, ev := range all {
		if strings.HasPrefix(ev.Key, "tls.") {
			continue
		}
		if shown == 0 {
			e.head("no product is named; this was heard")
		}
		if shown++; shown > most {
			e.line(4, e.paint("…", text.Faint))
			return
		}
		e.line(4, Printable(ev.Key, 80))
		e.line(6, e.paint(text.Snip(Printable(string(ev.Text), 400), e.Width-6, "…"), text.FgCyan))
	}
}

// nearMiss is a signature that came near to the text of a key.
type nearMiss struct {
	key string
	m   fingerprint.Match
}

func (n nearMiss) followed() int { return n.m.Groups[0].End - n.m.Groups[0].Start }

// nearest tells of the signatures that came nearest, three of all.
func (e *explainer) nearest(near []nearMiss) {
	const most = 3
	near = slices.DeleteFunc(near, func(n nearMiss) bool { return len(n.m.Groups) == 0 || n.followed() < 4 })
	slices.SortStableFunc(near, func(a, b nearMiss) int { return b.followed() - a.followed() })
	if len(near) == 0 {
		return
	}
	e.head("the nearest signatures")
	for _, n := range near[:min(len(near), most)] {
		e.line(4, e.paint(Printable(n.m.Signature.ID, 80), text.FgYellow)+" on "+Printable(n.key, 80))
		took := n.m.Text[n.m.Groups[0].Start:n.m.Groups[0].End]
		words := "goes along with " + quoted(string(took))
		switch {
		case n.m.Wanted != "":
			words += ", then wants " + Printable(n.m.Wanted, 120)
		case n.m.Missing != "":
			words += "; " + quoted(n.m.Missing) + ", or another of its literals, does not occur"
		}
		e.wrap(6, words)
	}
}
