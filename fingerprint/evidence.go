// Package fingerprint says what a server's words mean. It takes evidence (a key such as
// "smtp.greeting" and the bytes that were heard) and gives claims (product Postfix, version
// 3.7.11, …), each with the signature that made it and how sure it is.
//
// The signatures are the YAML files in db; db/README.md describes their format. [Builtin] is
// the set made of them, [Load] and [Set.With] take a user's own, [Set.Check] holds a file to the
// rules. The package opens no files and no connections: it reads what it is given.
package fingerprint

import "slices"

// Evidence is one thing that a server said. Key names the question ("smtp.greeting",
// "http.header.server"); Text is the answer as received, without the final line end, bytes of
// any kind; TLS tells that it was heard inside TLS.
type Evidence struct {
	Key  string
	Text []byte
	TLS  bool
}

// Claim is one thing concluded from one piece of evidence.
type Claim struct {
	Field     string // one of Fields
	Value     string // valid UTF-8, at most 255 bytes, otherwise as the server sent it: escape before printing
	Product   string // the product that the same signature names: whose version this is; may be empty
	Signature string // id of the signature
	Key       string // evidence key that it read
	Certainty int    // 1–100
	Behaviour bool   // concluded from behaviour, not from a name that the server gives
}

// Fields are the fields that a claim may have, in the order in which they are reported.
// Vendor follows from product.
var Fields = []string{
	"product", "vendor", "version", "cpe", "os", "os_version", "distribution", "distribution_version",
	"device", "host", "component", "info", "protocol",
}

func isField(name string) bool { return slices.Contains(Fields, name) }

// Best returns the surest claim of a field. What belongs to a product (its vendor, version and
// CPE) is taken only from claims about the surest product, so that the version of a proxy is
// never told as the version of the server behind it.
func Best(claims []Claim, field string) (Claim, bool) {
	switch field {
	case "vendor", "version", "cpe":
		if product, ok := surest(claims, "product", func(Claim) bool { return true }); ok {
			if c, ok := surest(claims, field, func(c Claim) bool { return c.Product == product.Value }); ok {
				return c, true
			}
			return surest(claims, field, func(c Claim) bool { return c.Product == "" && field != "cpe" })
		}
	}
	return surest(claims, field, func(Claim) bool { return true })
}

func surest(claims []Claim, field string, fits func(Claim) bool) (best Claim, ok bool) {
	for _, c := range claims {
		if c.Field == field && fits(c) && (!ok || c.Certainty > best.Certainty) {
			best, ok = c, true
		}
	}
	return best, ok
}
