package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"herald/audit"
	"herald/audit/mail"
)

func (f mailFlags) options() (mail.Options, error) {
	o := mail.Options{Profile: f.profile, Issuers: map[string]string{}}
	for _, text := range f.issuers {
		organisation, id, ok := strings.Cut(text, "=")
		if !ok || organisation == "" || id == "" {
			return o, fmt.Errorf("--ca-name %q: write it like \"Example CA=ca.example.test\"", text)
		}
		o.Issuers[organisation] = id
	}
	if len(f.cas) == 0 {
		return o, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, name := range f.cas {
		text, err := os.ReadFile(name)
		if err != nil {
			return o, fmt.Errorf("--ca: %w", err)
		}
		if block, _ := pem.Decode(text); block == nil || !pool.AppendCertsFromPEM(text) {
			return o, fmt.Errorf("--ca %s: no certificate in PEM", name)
		}
	}
	o.Roots = pool
	return o, nil
}

// asOf is when to judge: relative to now, or to when the facts were gathered.
func (f mailFlags) asOf(began time.Time) (time.Time, error) {
	if f.at == "" {
		return began, nil
	}
	if later, ok := strings.CutPrefix(f.at, "+"); ok {
		d, err := audit.ParseDuration(later)
		if err != nil {
			return began, fmt.Errorf("--at %s: %w", f.at, err)
		}
		return began.Add(d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, f.at); err == nil {
			return t, nil
		}
	}
	return began, fmt.Errorf("--at %q: want +14d, or 2026-12-31, or a time like 2026-12-31T12:00:00Z", f.at)
}
