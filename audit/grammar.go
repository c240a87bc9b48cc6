package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"herald/wire"
)

// word is one part of a line of expectations.
type word struct {
	name string
	form string // for people
	set  func(e *Expect, operator, value string) error
}

// grammar are the parts that a line may have. Each means what the key of the same subject
// means in a file.
var grammar = []word{
	{"product", "product=Postfix", func(e *Expect, _, v string) error { e.Product = v; return nil }},
	{"version", "version>=3.7", func(e *Expect, op, v string) (err error) {
		e.Version, err = parseConstraint(op + v)
		return err
	}},
	{"tls", "tls>=1.2", func(e *Expect, op, v string) error {
		if op != ">=" || !slices.Contains(TLSVersions, "TLS"+v) {
			return fmt.Errorf("want tls>=1.2 or another version from 1.0 to 1.3")
		}
		e.MinTLS = "TLS" + v
		return nil
	}},
	{"names", "names=a.example,b.example", func(e *Expect, _, v string) (err error) {
		e.cert().Names, err = split(v)
		return err
	}},
	{"valid", "valid>=14d", func(e *Expect, op, v string) (err error) {
		e.cert().ValidFor, err = DurationBound(op + v)
		return err
	}},
	{"key", "key=rsa-2048,ecdsa-p256", func(e *Expect, _, v string) (err error) {
		if e.cert().Key, err = split(v); err != nil {
			return err
		}
		for _, k := range e.Certificate.Key {
			if _, err := parseKey(k); err != nil {
				return err
			}
		}
		return nil
	}},
	{"has", "has=PIPELINING,SIZE", func(e *Expect, _, v string) (err error) {
		e.list().Contains, err = split(v)
		return err
	}},
	{"lacks", "lacks=XCLIENT", func(e *Expect, _, v string) (err error) {
		e.list().Lacks, err = split(v)
		return err
	}},
	{"auth-before-tls", "auth-before-tls=none", func(e *Expect, _, v string) (err error) {
		e.Auth.BeforeTLS, err = mechanismsOf(v)
		return err
	}},
	{"auth-after-tls", "auth-after-tls=PLAIN", func(e *Expect, _, v string) (err error) {
		e.Auth.AfterTLS, err = mechanismsOf(v)
		return err
	}},
	{"greeting-name", "greeting-name=mail.example", func(e *Expect, _, v string) error { e.GreetingName = v; return nil }},
	{"greeting-delay", "greeting-delay<10s", func(e *Expect, op, v string) (err error) {
		e.GreetingDelay, err = DurationBound(op + v)
		return err
	}},
}

// flags are the parts without a value.
var flags = map[string]func(*Expect){
	"plain":         func(e *Expect) { e.Mode = wire.Plain },
	"starttls":      func(e *Expect) { e.Mode = wire.StartTLS },
	"tls":           func(e *Expect) { e.Mode = wire.TLS },
	"trusted":       func(e *Expect) { yes := true; e.cert().Trusted = &yes },
	"no-open-proxy": func(e *Expect) { no := false; e.OpenProxy = &no },
	"open":          func(e *Expect) { e.Port = "open" },
	"closed":        func(e *Expect) { e.Port = "closed" },
	"filtered":      func(e *Expect) { e.Port = "filtered" },
	"silent":        func(e *Expect) { e.Port = "silent" },
}

// GrammarWords are all parts that a line of expectations may have, an example each.
func GrammarWords() []string {
	var all []string
	for name := range flags {
		all = append(all, name)
	}
	for _, w := range grammar {
		all = append(all, w.form)
	}
	slices.Sort(all)
	return all
}

var partForm = regexp.MustCompile(`^([a-z-]+?)\s*(>=|<=|!=|=|<|>)\s*(.+)$`)

// ParseExpect reads a line of expectations, as labels of containers carry it: a protocol,
// then parts with semicolons between:
//
//	smtp; product=Postfix; version>=3.7; starttls
func ParseExpect(line string) (Expect, error) {
	var e Expect
	seen := map[string]bool{}
	for i, part := range strings.Split(line, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			return e, fmt.Errorf("%q: nothing between two semicolons", line)
		}
		name, err := e.part(part, i == 0)
		if err != nil {
			return e, fmt.Errorf("%q: %w", line, err)
		}
		if seen[name] {
			return e, fmt.Errorf("%q: %s is given twice", line, name)
		}
		seen[name] = true
	}
	if err := e.consistent(); err != nil {
		return e, fmt.Errorf("%q: %w", line, err)
	}
	return e, nil
}

// part takes one part in, and gives the name of what it is about.
func (e *Expect) part(part string, first bool) (string, error) {
	if m := partForm.FindStringSubmatch(part); m != nil {
		for _, w := range grammar {
			if w.name != m[1] {
				continue
			}
			if strings.Contains(w.form, w.name+"=") && m[2] != "=" {
				return "", fmt.Errorf("%s: write it like %s", part, w.form)
			}
			if err := w.set(e, m[2], m[3]); err != nil {
				return "", fmt.Errorf("%s: %w", w.name, err)
			}
			if w.name == "tls" {
				return "tls version", nil
			}
			return w.name, nil
		}
	} else if set, ok := flags[part]; ok && !(first && part == "tls") {
		set(e)
		switch part {
		case "plain", "starttls", "tls":
			return "plain, starttls or tls", nil
		case "open", "closed", "filtered", "silent":
			return "the port's state", nil
		}
		return part, nil
	} else if first {
		protocol, err := knownProtocol(part)
		e.Protocol = protocol
		return "protocol", err
	}
	return "", fmt.Errorf("unknown part %q; allowed: a protocol first, then %s", part, strings.Join(GrammarWords(), ", "))
}

func (e *Expect) cert() *Certificate {
	if e.Certificate == nil {
		e.Certificate = &Certificate{}
	}
	return e.Certificate
}

func (e *Expect) list() *List {
	if e.Capabilities == nil {
		e.Capabilities = &List{}
	}
	return e.Capabilities
}

func split(v string) ([]string, error) {
	var all []string
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s == "" {
			return nil, fmt.Errorf("%q: nothing between two commas", v)
		}
		all = append(all, s)
	}
	return all, nil
}

func mechanismsOf(v string) (*Mechanisms, error) {
	switch v {
	case "none":
		return &Mechanisms{None: true}, nil
	case "any":
		return &Mechanisms{Any: true}, nil
	}
	list, err := split(v)
	return &Mechanisms{List: List{Contains: list}}, err
}
