package login

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml/ast"

	"herald/audit"
	"herald/scan"
	"herald/wire"
)

// Name is the section of an expectations file that this package reads:
//
//	logins:
//	  credentials_file: secrets.yaml    # mode 0600; or HERALD_LOGIN_ALICE_USER and _PASSWORD
//	  checks:
//	    - id: alice-imap
//	      at: mail.example.org:993
//	      protocol: imap                # ftp, http, imap, nntp, pop3, proxy, smtp
//	      security: tls                 # plain, starttls, tls
//	      credentials: alice
const Name = "logins"

// Section reads the section. env gives environment variables, as os.Getenv does.
func Section(env func(string) string) audit.Section {
	return func(f *audit.File, n ast.Node) (audit.Check, error) {
		c := &check{env: env, line: map[string]int{}}
		var err error
		if c.file, err = ReadChecks(f, n, func(n ast.Node) error { return c.read(f, n) }); err != nil {
			return nil, err
		}
		return c, nil
	}
}

// ReadChecks reads a section whose checks log in: its list of checks, each with read, and the
// file of credentials that it names, "" for none. A relative name is beside the section's file.
func ReadChecks(f *audit.File, n ast.Node, read func(ast.Node) error) (credentials string, err error) {
	var checks ast.Node
	err = audit.ReadMap(n, map[string]func(ast.Node) error{
		"credentials_file": audit.ReadText(&credentials),
		"checks":           func(n ast.Node) error { checks = n; return nil },
	})
	switch {
	case err != nil:
		return "", err
	case checks == nil:
		return "", audit.At(n, `without "checks": nothing is asserted`)
	}
	if credentials != "" && !filepath.IsAbs(credentials) {
		credentials = filepath.Join(filepath.Dir(f.Name), credentials)
	}
	some := false
	err = audit.ReadList(checks, func(n ast.Node) error {
		some = true
		return read(n)
	})
	if err == nil && !some {
		err = audit.At(checks, "an empty list asserts nothing")
	}
	return credentials, err
}

// check is the section of a file.
type check struct {
	env    func(string) string
	file   string
	logins []Login
	line   map[string]int // by id
	tried  [][]*Report    // by login, of earlier gatherings
}

func (c *check) read(f *audit.File, n ast.Node) error {
	var l Login
	var security, answer, certificate string
	var places []audit.Place
	var idAt ast.Node
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"id": func(n ast.Node) error { idAt = n; return audit.ReadText(&l.ID)(n) },
		"at": func(n ast.Node) error {
			return audit.ReadOneOrList(n, func(n ast.Node) error {
				var text string
				if err := audit.ReadText(&text)(n); err != nil {
					return err
				}
				more, err := f.Places(text)
				if err != nil {
					return audit.At(n, "%v", err)
				}
				places = append(places, more...)
				return nil
			})
		},
		"protocol":    audit.ReadWord(&l.Protocol, Protocols...),
		"security":    audit.ReadWord(&security, "plain", "starttls", "tls"),
		"credentials": audit.ReadText(&l.Credentials),
		"login":       audit.ReadWord(&answer, "accepted", "refused"),
		"certificate": audit.ReadWord(&certificate, "trusted", "any"),
		"active":      audit.ReadYes(&l.Active),
		"upload":      audit.ReadYes(&l.Upload),
		"path":        audit.ReadText(&l.Path),
		"connect":     audit.ReadText(&l.Connect),
	})
	if err != nil {
		return err
	}
	l.Security, l.Refused, l.AnyCertificate = wire.Security(security), answer == "refused", certificate == "any"
	web := l.Protocol == "http" || l.Protocol == "proxy"
	for _, wrong := range []struct {
		is   bool
		says string
	}{
		{l.ID == "", `a login without "id"`},
		{len(places) == 0, `without "at", the place to log in`},
		{l.Protocol == "", `without "protocol"; allowed: ` + strings.Join(Protocols, ", ")},
		{security == "", `without "security"; allowed: plain, starttls, tls`},
		{l.Credentials == "", `without "credentials", the name of whose they are`},
		{web && l.Security == wire.StartTLS, l.Protocol + ": security is plain or tls"},
		{l.Protocol != "ftp" && (l.Active || l.Upload), "active and upload are for ftp"},
		{l.Protocol != "http" && l.Path != "", "path is for http"},
		{l.Path != "" && !validPath(l.Path), `path: write it as in an URL, beginning with "/"`},
		{l.Protocol != "proxy" && l.Connect != "", "connect is for proxy"},
		{l.Protocol == "proxy" && !validPlace(l.Connect), `proxy: without "connect", the HOST:PORT of your own that it is asked for`},
	} {
		if wrong.is {
			return audit.At(n, "%s", wrong.says)
		}
	}
	if before := c.line[l.ID]; before > 0 {
		return audit.At(idAt, "id %q is used in line %d already", l.ID, before)
	}
	if slices.ContainsFunc(f.Services, func(s *audit.Service) bool { return s.ID == l.ID }) {
		return audit.At(idAt, "id %q is that of a service already", l.ID)
	}
	l.Line, l.Col = audit.PositionOf(idAt)
	c.line[l.ID] = l.Line
	for _, p := range places {
		l.At = p
		c.logins = append(c.logins, l)
	}
	return nil
}

func validPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func validPlace(text string) bool {
	host, port, err := net.SplitHostPort(text)
	return err == nil && host != "" && port != "" && validPath("/"+text)
}

func (c *check) Name() string        { return Name }
func (c *check) Kinds() []audit.Kind { return Kinds }

// together is how many logins are tried at once.
const together = 8

// Gather logs in everywhere, once at each address. Where a file says "eventually" it is
// called again: who was answered is not asked again, since some servers lock an account
// after a few refusals. Credentials that are missing are [ErrCredentials], and nothing is
// tried.
func (c *check) Gather(ctx context.Context, f *audit.File, o scan.Options) (json.RawMessage, error) {
	store, err := NewStore(c.file, c.env)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentials, err)
	}
	who := map[string]Credentials{}
	for _, l := range c.logins {
		if who[l.Credentials], err = store.Get(l.Credentials); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w: %w", f.Name, l.Line, l.ID, ErrCredentials, err)
		}
	}
	ders, err := audit.ReadRoots(f)
	if err != nil {
		return nil, err
	}
	roots := f.Pool(ders)
	reports := make([][]*Report, len(c.logins))
	copy(reports, c.tried)
	places := make(chan struct{}, together)
	var all sync.WaitGroup
	for i, l := range c.logins {
		if reports[i] != nil && !slices.ContainsFunc(reports[i], undecided) {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			reports[i] = c.try(ctx, o, l, who[l.Credentials], roots)
		})
	}
	all.Wait()
	c.tried = reports
	return json.Marshal(slices.Concat(reports...))
}

// undecided is a report of a server that said neither yes nor no.
func undecided(r *Report) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Kind == "login" && s.State == audit.Unknown })
}

// try logs in at each address of a login's host.
func (c *check) try(ctx context.Context, o scan.Options, l Login, who Credentials, roots *x509.CertPool) []*Report {
	var addrs []netip.Addr
	name := l.At.Host
	if a, err := netip.ParseAddr(name); err == nil {
		addrs, name = []netip.Addr{a}, ""
	} else if addrs, err = o.Resolver.Addresses(ctx, name); err != nil || len(addrs) == 0 {
		why := "no address"
		if err != nil {
			why = err.Error()
		}
		return []*Report{{ID: l.ID, Where: l.At.Key(), Steps: []Step{{Kind: "login", State: audit.Unknown, Seen: why}}}}
	}
	caller := wire.Caller{Transport: o.Caller.Transport, Manners: o.Caller.Manners}
	var reports []*Report
	for _, a := range addrs {
		reports = append(reports, Try(ctx, caller, wire.Endpoint{Addr: netip.AddrPortFrom(a, l.At.Port), Name: name}, l, who, roots))
	}
	return reports
}

// Judge makes findings of what was gathered.
func (c *check) Judge(f *audit.File, facts *audit.Facts) []audit.Finding {
	var reports []*Report
	raw, ok := facts.Sections[Name]
	if !ok || json.Unmarshal(raw, &reports) != nil {
		reports = nil
	}
	severity := map[string]string{}
	for _, k := range Kinds {
		severity[k.ID] = k.Severity
	}
	var all []audit.Finding
	for _, l := range c.logins {
		finding := audit.Finding{Service: l.ID, File: f.Name, Line: l.Line, Column: l.Col}
		found := false
		for _, r := range reports {
			if place, _, _ := strings.Cut(r.Where, " "); r.ID != l.ID || place != l.At.Key() {
				continue
			}
			found = true
			for _, s := range r.Steps {
				one := finding
				one.State, one.ID, one.Severity, one.Where = s.State, s.Kind, severity[s.Kind], r.Where
				one.Expected, one.Seen, one.Fix = s.Expected, s.Seen, s.Fix
				all = append(all, one)
			}
		}
		if !found {
			finding.State, finding.ID, finding.Severity, finding.Where, finding.Seen = audit.Unknown, "login", severity["login"], l.At.Key(), "it was not tried when this was gathered"
			all = append(all, finding)
		}
	}
	return all
}
