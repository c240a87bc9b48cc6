package audit

import (
	"fmt"
	"slices"
	"strings"

	"herald/report"
)

func (j *judge) product() {
	r, e := j.fact.Record, &j.service.Expect
	if e.Product == "" && e.Version == nil {
		return
	}
	var products []string
	certainty, version := 0, ""
	for _, c := range r.Claims {
		if c.Field != "product" {
			continue
		}
		if !slices.Contains(products, c.Value) {
			products = append(products, c.Value)
		}
		if strings.EqualFold(c.Value, e.Product) {
			certainty = max(certainty, c.Certainty)
		}
	}
	for _, c := range r.Claims {
		if c.Field == "version" && version == "" && (e.Product == "" || strings.EqualFold(c.Product, e.Product)) {
			version = c.Value
		}
	}
	if e.Product == "" {
		version = r.Version
	}
	seen := report.Printable(strings.Join(products, ", "), 120)
	switch {
	case e.Product == "":
	case len(products) == 0:
		j.add(Unknown, "product", e.Product, "no signature knows the server").heard(j.words())
		return
	default:
		found := j.check(certainty > 0, "product", e.Product, seen).heard(j.words()).fix("run %s there, or correct the expectation", e.Product)
		if found.State != Pass {
			return
		}
		if e.Confidence > 0 {
			j.check(certainty >= e.Confidence, "product-confidence", fmt.Sprintf(">=%d%%", e.Confidence), fmt.Sprintf("%d%%", certainty))
		}
	}
	if e.Version == nil {
		return
	}
	if version == "" {
		j.add(Unknown, "product-version", e.Version.String(), "the server does not tell its version").fix("let it tell, or expect no version")
		return
	}
	j.check(e.Version.Holds(version), "product-version", e.Version.String(), report.Printable(version, 60)).heard(j.words()).
		fix("run a version that is %s, or correct the expectation", e.Version)
}
