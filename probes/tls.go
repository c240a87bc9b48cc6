package probes

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"herald/wire"
)

// TLSKeys is the evidence of a handshake, the same for every protocol inside TLS.
var TLSKeys = []Key{
	{"tls.version", "protocol version: TLS 1.3"},
	{"tls.cipher", "suite, by its IANA name"},
	{"tls.alpn", "application protocol that the server chose (RFC 7301)"},
	{"tls.subject", "subject of the leaf certificate (RFC 4514 form)"},
	{"tls.issuer", "issuer of the leaf certificate"},
	{"tls.names", "names that the leaf is for, comma between"},
	{"tls.sha256", "SHA-256 of the leaf, hexadecimal"},
	{"tls.key", "public key of the leaf: RSA 2048, ECDSA P-256"},
	{"tls.not-before", "begin of the leaf's validity (RFC 3339)"},
	{"tls.not-after", "end of the leaf's validity (RFC 3339)"},
}

// NoteTLS notes what a handshake taught. Names in a certificate are a stranger's words
// too: they are kept as they are and escaped where they are shown.
func NoteTLS(o *Observation, s *wire.TLSState) {
	note := func(key, text string) { o.Note("tls."+key, []byte(text)) }
	note("version", s.VersionName())
	note("cipher", s.CipherName())
	note("alpn", s.ALPN)
	if len(s.Chain) == 0 {
		return
	}
	leaf := s.Chain[0]
	note("subject", leaf.Subject.String())
	note("issuer", leaf.Issuer.String())
	note("names", strings.Join(CertificateNames(leaf), ","))
	sum := sha256.Sum256(leaf.Raw)
	note("sha256", hex.EncodeToString(sum[:]))
	note("key", KeyName(leaf))
	note("not-before", leaf.NotBefore.UTC().Format(time.RFC3339))
	note("not-after", leaf.NotAfter.UTC().Format(time.RFC3339))
}

// CertificateNames are the names and addresses that a certificate is for (RFC 5280,
// 4.2.1.6); the common name is not among them (RFC 9525, 2).
func CertificateNames(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(names, c.EmailAddresses...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return names
}

// KeyName is a certificate's public key in short: "RSA 2048", "ECDSA P-256", "Ed25519".
func KeyName(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
