package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"herald/fingerprint"
	"herald/wire"
)

// expect reads what is expected: a map, or one line of the grammar.
func (r *reader) expect(n ast.Node, e *Expect) error {
	if s, oneLine := r.plain(n).(*ast.StringNode); oneLine {
		parsed, err := ParseExpect(s.Value)
		if err != nil {
			return at(n, "%w", err)
		}
		*e = parsed
		return nil
	}
	var smtpAt ast.Node
	capabilities := func(key string, protocols ...string) property {
		return func(n ast.Node) error {
			return r.mapping(n, properties{key: func(n ast.Node) error { return r.ofProtocol(n, e, protocols, r.list(&e.Capabilities)) }})
		}
	}
	err := r.mapping(n, properties{
		"port":     r.word(&e.Port, "open", "closed", "filtered", "silent"),
		"protocol": parsed(r, &e.Protocol, knownProtocol),
		"product":  func(n ast.Node) error { return r.product(n, e) },
		"tls":      func(n ast.Node) error { return r.tls(n, e) },
		"certificate": func(n ast.Node) error {
			e.Certificate = &Certificate{}
			return r.certificate(n, e.Certificate)
		},
		"capabilities": r.list(&e.Capabilities),
		"smtp": func(n ast.Node) error {
			smtpAt = n
			return r.mapping(n, properties{
				"extensions":    func(n ast.Node) error { return r.ofProtocol(n, e, []string{"smtp", "lmtp"}, r.list(&e.Capabilities)) },
				"greeting_name": r.text(&e.GreetingName),
				"size":          parsed(r, &e.Size, SizeBound),
			})
		},
		"imap":           capabilities("capabilities", "imap"),
		"pop3":           capabilities("capabilities", "pop3"),
		"nntp":           capabilities("capabilities", "nntp"),
		"ftp":            capabilities("features", "ftp"),
		"sieve":          capabilities("capabilities", "sieve"),
		"auth":           func(n ast.Node) error { return r.auth(n, &e.Auth) },
		"greeting_name":  r.text(&e.GreetingName),
		"greeting_delay": parsed(r, &e.GreetingDelay, DurationBound),
		"open_proxy":     r.boolean(&e.OpenProxy),
	})
	if err != nil {
		return err
	}
	if smtpAt != nil && e.Protocol != "smtp" && e.Protocol != "lmtp" {
		return at(smtpAt, "smtp: belongs to protocol smtp or lmtp")
	}
	if err := e.consistent(); err != nil {
		return at(n, "%w", err)
	}
	return nil
}

// ofProtocol reads what only some protocols have; "protocol" may stand after it.
func (r *reader) ofProtocol(n ast.Node, e *Expect, protocols []string, read property) error {
	if e.Capabilities != nil {
		return at(n, "capabilities are given twice")
	}
	if e.Protocol == "" && len(protocols) == 1 {
		e.Protocol = protocols[0]
	}
	if !slices.Contains(protocols, e.Protocol) {
		return at(n, "belongs to protocol %s, which must stand before it", strings.Join(protocols, " or "))
	}
	return read(n)
}

// consistent refuses what can not be true together.
func (e *Expect) consistent() error {
	if e.Port == "closed" || e.Port == "filtered" || e.Port == "silent" {
		bare := Expect{Port: e.Port}
		if fmt.Sprintf("%+v", *e) != fmt.Sprintf("%+v", bare) {
			return fmt.Errorf("a port that is %s has no other properties", e.Port)
		}
		return nil
	}
	if e.Mode == wire.Plain && (e.Certificate != nil || e.MinTLS != "") {
		return fmt.Errorf("without TLS there is no certificate and no TLS version")
	}
	return nil
}

func parseConstraint(s string) (*fingerprint.Constraint, error) {
	c, err := fingerprint.ParseConstraint(s)
	return &c, err
}

func (r *reader) product(n ast.Node, e *Expect) error {
	if _, plain := r.plain(n).(*ast.StringNode); plain {
		return r.text(&e.Product)(n)
	}
	err := r.mapping(n, properties{
		"name":       r.text(&e.Product),
		"version":    parsed(r, &e.Version, parseConstraint),
		"confidence": parsed(r, &e.Confidence, parseConfidence),
	})
	if err == nil && e.Product == "" {
		err = at(n, "product: without name")
	}
	return err
}

// parseConfidence reads ">=0.8" or ">=80%" as percent.
func parseConfidence(s string) (int, error) {
	wrong := fmt.Errorf("%q: want a lower bound, like \">=0.8\" or \">=80%%\"", s)
	rest, ok := strings.CutPrefix(s, ">=")
	if !ok {
		return 0, wrong
	}
	if percent, ok := strings.CutSuffix(strings.TrimSpace(rest), "%"); ok {
		if n, err := strconv.Atoi(percent); err == nil && n > 0 && n <= 100 {
			return n, nil
		}
		return 0, wrong
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
	if err != nil || !(v > 0 && v <= 1) {
		return 0, wrong
	}
	return int(v*100 + 0.5), nil
}

// TLSVersions are the names of the versions, lowest first.
var TLSVersions = []string{"TLS1.0", "TLS1.1", "TLS1.2", "TLS1.3"}

func (r *reader) tls(n ast.Node, e *Expect) error {
	modes := []string{string(wire.Plain), string(wire.StartTLS), string(wire.TLS)}
	mode := func(into *wire.Security) property {
		return func(n ast.Node) error { return r.word((*string)(into), modes...)(n) }
	}
	if _, plain := r.plain(n).(*ast.StringNode); plain { // tls: starttls
		return mode(&e.Mode)(n)
	}
	return r.mapping(n, properties{
		"min_version": r.word(&e.MinTLS, TLSVersions...),
		"mode": func(n ast.Node) error {
			if _, plain := r.plain(n).(*ast.StringNode); plain {
				return mode(&e.Mode)(n)
			}
			e.Modes = map[uint16]wire.Security{}
			return r.entries(n, func(key ast.Node, name string, v ast.Node) error {
				port, err := strconv.ParseUint(name, 10, 16)
				if err != nil || port == 0 {
					return at(key, "%q is not a port; write mode: {465: tls, 587: starttls}", name)
				}
				var m wire.Security
				err = mode(&m)(v)
				e.Modes[uint16(port)] = m
				return err
			})
		},
	})
}

var keyForm = regexp.MustCompile(`^(rsa-[1-9][0-9]{2,4}|ecdsa-p(256|384|521)|ed25519)$`)

func parseKey(s string) (string, error) {
	if !keyForm.MatchString(s) {
		return "", fmt.Errorf("key %q: want ed25519, ecdsa-p256, ecdsa-p384, ecdsa-p521, or rsa- and the fewest bits: rsa-2048", s)
	}
	return s, nil
}

func (r *reader) certificate(n ast.Node, c *Certificate) error {
	var keys []string
	return r.mapping(n, properties{
		"trusted":   r.boolean(&c.Trusted),
		"names":     r.texts(&c.Names),
		"valid_for": parsed(r, &c.ValidFor, DurationBound),
		"key": func(n ast.Node) error {
			if err := r.texts(&keys)(n); err != nil {
				return err
			}
			for _, k := range keys {
				if _, err := parseKey(k); err != nil {
					return at(n, "%w", err)
				}
			}
			c.Key = keys
			return nil
		},
	})
}

func (r *reader) list(into **List) property {
	return func(n ast.Node) error {
		if _, list := r.plain(n).(*ast.SequenceNode); list {
			return at(n, "say what the list means: contains, lacks or consist_of")
		}
		l := &List{}
		*into = l
		return r.mapping(n, properties{
			"contains":   r.words(&l.Contains),
			"lacks":      r.words(&l.Lacks),
			"consist_of": r.words(&l.ConsistOf),
		})
	}
}

// words reads what must be a list of words.
func (r *reader) words(into *[]string) property {
	return func(n ast.Node) error {
		if _, list := r.plain(n).(*ast.SequenceNode); !list {
			return at(n, "want a list")
		}
		return r.texts(into)(n)
	}
}

func (r *reader) auth(n ast.Node, a *Auth) error {
	return r.mapping(n, properties{"before_tls": r.mechanisms(&a.BeforeTLS), "after_tls": r.mechanisms(&a.AfterTLS)})
}

func (r *reader) mechanisms(into **Mechanisms) property {
	return func(n ast.Node) error {
		m := &Mechanisms{}
		*into = m
		if _, plain := r.plain(n).(*ast.StringNode); plain {
			var word string
			err := r.word(&word, "none", "any")(n)
			m.None, m.Any = word == "none", word == "any"
			return err
		}
		var l *List
		err := r.list(&l)(n)
		if l != nil {
			m.List = *l
		}
		return err
	}
}
