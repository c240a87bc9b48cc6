package audit

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// ReadRoots reads the authorities that a file trusts, DER each; nil for the system's.
func ReadRoots(file *File) ([][]byte, error) {
	var all [][]byte
	for _, name := range file.Trust.CAFiles {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, &fileError{file.Name, fmt.Errorf("trust: %w", err)}
		}
		n := len(all)
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return nil, &fileError{file.Name, fmt.Errorf("trust: %s: %w", name, err)}
			}
			all = append(all, block.Bytes)
		}
		if len(all) == n {
			return nil, &fileError{file.Name, fmt.Errorf("trust: %s: no certificate in it", name)}
		}
	}
	return all, nil
}

// Pool is the authorities that a file trusts, of the roots that [ReadRoots] gave: with the
// system's where the file says so, nil for the system's alone.
func (f *File) Pool(roots [][]byte) *x509.CertPool {
	if len(roots) == 0 {
		return nil
	}
	pool := x509.NewCertPool()
	if f.Trust.System {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system // without them fewer are trusted, never more
		}
	}
	for _, der := range roots {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

// vouchBySystem asks the system's authorities, while they are at hand.
func vouchBySystem(facts []*Fact) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return // nothing is said: the finding is about no authority at hand
	}
	for _, f := range facts {
		chain := f.chain()
		if len(chain) == 0 {
			continue
		}
		f.System = trustedBySystem
		if err := vouched(chain, roots, time.Now()); err != nil {
			f.System = err.Error()
		}
	}
}
