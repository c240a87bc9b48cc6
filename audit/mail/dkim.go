package mail

import (
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// dkimKey is a key record (RFC 6376, 3.6.1; RFC 8463, 4.2).
type dkimKey struct {
	kind    string // rsa, ed25519
	bits    int
	revoked bool   // p= is empty
	testing bool   // t=y
	problem string // why nobody can use it
}

func parseDKIM(text string) (k dkimKey) {
	tags := map[string]string{}
	first := ""
	for _, part := range strings.Split(text, ";") {
		if name, v, ok := strings.Cut(part, "="); ok {
			name = strings.TrimSpace(name)
			tags[name] = strings.Join(strings.Fields(v), "")
			first = cmp.Or(first, name)
		}
	}
	services, limited := tags["s"]
	k.kind = tags["k"]
	if k.kind == "" {
		k.kind = "rsa"
	}
	k.testing = slices.Contains(strings.Split(tags["t"], ":"), "y")
	p, given := tags["p"]
	raw, err := base64.StdEncoding.DecodeString(p)
	switch hashes, said := tags["h"]; {
	case tags["v"] != "" && tags["v"] != "DKIM1":
		k.problem = fmt.Sprintf("v=%s is no DKIM key", tags["v"])
	case tags["v"] != "" && first != "v":
		k.problem = "v=DKIM1 does not come first"
	case !given:
		k.problem = "no p=: no key"
	case p == "":
		k.revoked = true
	case err != nil:
		k.problem = "p= is no base64"
	case said && hashes != "" && !slices.Contains(strings.Split(hashes, ":"), "sha256"): // RFC 8301, 3.1
		k.problem = fmt.Sprintf("h=%s allows no hash that receivers take", hashes)
	case limited && !slices.Contains(strings.Split(services, ":"), "*") && !slices.Contains(strings.Split(services, ":"), "email"):
		k.problem = fmt.Sprintf("s=%s: the key is not for mail", services)
	case k.kind == "ed25519":
		if k.bits = 8 * len(raw); k.bits != 256 {
			k.problem = fmt.Sprintf("an Ed25519 key has 256 bits, not %d", k.bits)
		}
	case k.kind == "rsa":
		key, err := x509.ParsePKIXPublicKey(raw)
		if err != nil {
			key, err = x509.ParsePKCS1PublicKey(raw)
		}
		if rsaKey, ok := key.(*rsa.PublicKey); err == nil && ok {
			k.bits = rsaKey.N.BitLen()
		} else {
			k.problem = "p= is no RSA key"
		}
	default:
		k.problem = fmt.Sprintf("k=%s is no kind of key that receivers know", k.kind)
	}
	return k
}

// name is the key as expectations call it.
func (k dkimKey) name() string {
	switch {
	case k.revoked:
		return "revoked"
	case k.problem != "":
		return k.problem
	case k.kind == "ed25519":
		return "ed25519"
	}
	return "rsa-" + strconv.Itoa(k.bits)
}

// is says whether the key is as expected; RSA keys may be longer.
func (k dkimKey) is(want string) bool {
	if bits, ok := strings.CutPrefix(want, "rsa-"); ok {
		n, err := strconv.Atoi(bits)
		return err == nil && k.problem == "" && !k.revoked && k.kind == "rsa" && k.bits >= n
	}
	if want == "present" {
		return k.problem == "" && !k.revoked
	}
	return k.name() == want
}
