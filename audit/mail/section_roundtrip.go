package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml/ast"

	"herald/audit"
	"herald/audit/login"
	"herald/resolve"
	"herald/scan"
	"herald/wire"
)

// Trips is the section "roundtrip" of an expectations file: messages that are sent to
// mailboxes of the user's own, fetched there and deleted.
type Trips struct {
	env  func(string) string
	file string // of credentials
	list []*tripExpected
}

// tripExpected is one round trip.
type tripExpected struct {
	id, credentials, mailbox string
	at                       []TripPlace
	patience                 time.Duration
	anyCertificate           bool
	delay                    audit.Bound
	dkim                     string // pass, any
	hidesAuthor              bool
	line, col                int
	done                     *Facts // of an earlier gathering
}

// TripSection reads "roundtrip" (audit.Section). env gives environment variables, as
// os.Getenv does.
//
//	roundtrip:
//	  credentials_file: secrets.yaml       # as for logins
//	  checks:
//	    - id: alice-to-alice
//	      credentials: alice
//	      submit: [mail:465, mail:587]
//	      fetch: [mail:993, mail:995]
//	      expect: {delay: "<30s", dkim: pass, leaks_client_ip: false}
func TripSection(env func(string) string) audit.Section {
	return func(f *audit.File, n ast.Node) (audit.Check, error) {
		t := &Trips{env: env}
		var err error
		if t.file, err = login.ReadChecks(f, n, func(n ast.Node) error { return t.read(f, n) }); err != nil {
			return nil, err
		}
		return t, nil
	}
}

func (t *Trips) read(f *audit.File, n ast.Node) error {
	one := &tripExpected{patience: TripPatience}
	var certificate string
	var idAt, mailboxAt ast.Node
	leaks := true
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"id":          func(n ast.Node) error { idAt = n; return audit.ReadText(&one.id)(n) },
		"credentials": audit.ReadText(&one.credentials),
		"mailbox":     func(n ast.Node) error { mailboxAt = n; return audit.ReadText(&one.mailbox)(n) },
		"submit":      one.places(f, "submit", "smtp"),
		"fetch":       one.places(f, "fetch", "imap", "pop3"),
		"deliver":     one.places(f, "deliver", "smtp"),
		"certificate": audit.ReadWord(&certificate, "trusted", "any"),
		"timeout": func(n ast.Node) error {
			var text string
			if err := audit.ReadText(&text)(n); err != nil {
				return err
			}
			d, err := audit.ParseDuration(text)
			if err != nil || d <= 0 || d > time.Hour {
				return audit.At(n, "%q: want a time to wait for delivery, an hour at most, like 2m", text)
			}
			one.patience = d
			return nil
		},
		"expect": func(n ast.Node) error {
			return audit.ReadMap(n, map[string]func(ast.Node) error{
				"delay": func(n ast.Node) error {
					var text string
					err := audit.ReadText(&text)(n)
					if err == nil {
						if one.delay, err = audit.DurationBound(text); err != nil {
							err = audit.At(n, "%v", err)
						}
					}
					return err
				},
				"dkim":            audit.ReadWord(&one.dkim, "pass", "any"),
				"leaks_client_ip": audit.ReadYes(&leaks),
			})
		},
	})
	if err != nil {
		return err
	}
	one.anyCertificate, one.hidesAuthor = certificate == "any", !leaks
	has := func(role string) bool {
		return slices.ContainsFunc(one.at, func(p TripPlace) bool { return p.Role == role })
	}
	for _, wrong := range []struct {
		is   bool
		says string
	}{
		{one.id == "", `a round trip without "id"`},
		{one.credentials == "", `without "credentials", the name of whose mailbox it is`},
		{!has("submit") && !has("deliver"), `without "submit", the places that take the message`},
		{!has("fetch"), `without "fetch", the places that show it`},
	} {
		if wrong.is {
			return audit.At(n, "%s", wrong.says)
		}
	}
	if one.mailbox != "" {
		if err := (&TripRequest{Mailbox: one.mailbox}).check(Question{}); err != nil {
			return audit.At(mailboxAt, "%v", err)
		}
	}
	for _, before := range t.list {
		if before.id == one.id {
			return audit.At(idAt, "id %q is used in line %d already", one.id, before.line)
		}
	}
	one.line, one.col = audit.PositionOf(idAt)
	t.list = append(t.list, one)
	return nil
}

// places reads where something is done: "mail:465" or "mail:10465", whose number tells how it
// is spoken, or {at: mail:4650, protocol: smtp, security: tls}.
func (one *tripExpected) places(f *audit.File, role string, protocols ...string) func(ast.Node) error {
	return func(n ast.Node) error {
		return audit.ReadOneOrList(n, func(n ast.Node) error {
			var text, protocol, security string
			at := n
			switch n.(type) {
			case *ast.MappingNode, *ast.MappingValueNode:
				if err := audit.ReadMap(n, map[string]func(ast.Node) error{
					"at":       func(n ast.Node) error { at = n; return audit.ReadText(&text)(n) },
					"protocol": audit.ReadWord(&protocol, protocols...), "security": audit.ReadWord(&security, "starttls", "tls"),
				}); err != nil {
					return err
				}
				if text == "" {
					return audit.At(n, `without "at", the place`)
				}
			default:
				if err := audit.ReadText(&text)(n); err != nil {
					return err
				}
			}
			places, err := f.Places(text)
			if err != nil {
				return audit.At(at, "%v", err)
			}
			for _, p := range places {
				place := TripPlace{Role: role, Host: p.Host, Port: p.Port, Protocol: protocol, Security: strings.TrimPrefix(security, "start")}
				if security == "starttls" {
					place.Security = "plain"
				}
				custom := customOf(p.Port)
				if protocol == "" {
					place.Protocol = custom.protocol
				}
				if security == "" {
					place.Security = custom.security
				}
				if custom.protocol == "" && (protocol == "" && len(protocols) > 1 || security == "") {
					return audit.At(at, "port %d tells neither protocol nor security: write {at: %q, protocol: %s, security: tls}", p.Port, text, protocols[0])
				}
				if place.Protocol == "" {
					place.Protocol = protocols[0]
				}
				if !slices.Contains(protocols, place.Protocol) {
					return audit.At(at, "%s speaks %s; %s wants %s", text, place.Protocol, role, strings.Join(protocols, " or "))
				}
				one.at = append(one.at, place)
			}
			return nil
		})
	}
}

// Name is the section's.
func (*Trips) Name() string { return "roundtrip" }

// Kinds are the checks of a round trip, and the expectations.
func (*Trips) Kinds() []audit.Kind {
	var list []audit.Kind
	for _, c := range roundTripChecks {
		list = append(list, audit.Kind{ID: c.ID, Severity: severityOf(c.Severity), About: c.Title + ": " + c.Rule})
	}
	return append(list,
		audit.Kind{ID: "roundtrip-delay", Severity: "medium", About: "the message is shown within the time that is expected"},
		audit.Kind{ID: "roundtrip-dkim", Severity: "high", About: "the message bears a DKIM signature of its author's domain that holds"},
		audit.Kind{ID: "roundtrip-client-ip", Severity: "medium", About: "the message does not tell the address of its author's machine"},
	)
}

// savedTrip is one round trip among the facts.
type savedTrip struct {
	ID    string `json:"id"`
	Facts *Facts `json:"facts"`
}

// Gather makes every round trip, once: where a file says "eventually" it is called again,
// and what was sent, or refused, is not tried anew. Credentials that are missing are
// [login.ErrCredentials], and nothing is tried.
func (t *Trips) Gather(ctx context.Context, file *audit.File, o scan.Options) (json.RawMessage, error) {
	store, err := login.NewStore(t.file, t.env)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", login.ErrCredentials, err)
	}
	requests := make([]TripRequest, len(t.list))
	roots, err := audit.ReadRoots(file)
	if err != nil {
		return nil, err
	}
	for i, one := range t.list {
		who, err := store.Get(one.credentials)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w: %w", file.Name, one.line, one.id, login.ErrCredentials, err)
		}
		requests[i] = TripRequest{Who: who, Mailbox: one.mailbox, Patience: one.patience, Roots: file.Pool(roots), AnyCertificate: one.anyCertificate, At: one.at}
		if err := requests[i].check(Question{}); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w: \"mailbox\" says which it is", file.Name, one.line, one.id, err)
		}
	}
	g, err := gathererOf(file, o)
	if err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	for i, one := range t.list {
		if one.done != nil && !one.done.RoundTrip.idle() {
			continue
		}
		all.Go(func() { one.done = g.trip(ctx, requests[i]) })
	}
	all.Wait()
	var saved []savedTrip
	for _, one := range t.list {
		saved = append(saved, savedTrip{one.id, one.done})
	}
	return json.Marshal(saved)
}

// idle says that nothing was sent and nobody refused a login: it may be tried again.
func (r *RoundTrip) idle() bool {
	refused := func(h *Halt) bool { return h != nil && h.Refused && h.Stage == "login" }
	return !slices.ContainsFunc(r.Probes, func(p *Probe) bool { return p.taken() || refused(p.Halt) }) &&
		!slices.ContainsFunc(r.Boxes, func(b *Box) bool { return refused(b.Halt) })
}

// trip makes a round trip and nothing else.
func (g Gatherer) trip(ctx context.Context, request TripRequest) *Facts {
	began := time.Now()
	f := &Facts{Format: Format, Began: began.UTC().Truncate(time.Second), Resolver: g.Resolver, Trusted: g.Trusted, Certificates: map[string][]byte{}}
	for _, at := range request.At {
		f.Question.Services = append(f.Question.Services, net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port))))
	}
	g.RoundTrip = &request
	p := &plan{g: g, ctx: ctx, facts: f, dns: &resolve.Recorder{Of: g.Records}, services: map[string]*Service{}}
	p.roundTrip()
	judgeOf(ctx, f, p.dns, Options{}).walk(roundTripChecks) // for the questions that they ask
	f.Answers = p.dns.Answers()
	f.TookMS = ms(time.Since(began))
	return f
}

// gathererOf asks with the file's resolver, hosts and patience.
func gathererOf(file *audit.File, o scan.Options) (Gatherer, error) {
	o.Caller.Limits = wire.Limits{} // a scan's are shorter than a mail server's pauses
	g := Gatherer{Caller: o.Caller, Patience: file.Defaults.Timeout, Documents: true}
	if file.DNS.Server.IsValid() {
		g.Records = resolve.Server{Addrs: []netip.AddrPort{file.DNS.Server}, Trusted: file.DNS.TrustAD}
		g.Resolver, g.Trusted = file.DNS.Server.String(), file.DNS.TrustAD
	} else {
		s, err := resolve.SystemServer()
		if err != nil {
			return g, err
		}
		g.Records, g.Resolver = s, s.Addrs[0].String()
	}
	names := map[string][]netip.Addr{}
	for short, h := range file.Hosts {
		if len(h.Addresses) > 0 {
			name := h.Name
			if name == "" {
				name = short
			}
			names[strings.ToLower(name)] = h.Addresses
		}
	}
	if len(names) > 0 {
		g.Records = resolve.Override{Names: names, Of: g.Records}
	}
	return g, nil
}

// Judge makes every check of every round trip, and compares what is expected beyond.
func (t *Trips) Judge(file *audit.File, facts *audit.Facts) []audit.Finding {
	var saved []savedTrip
	broken := json.Unmarshal(facts.Sections[t.Name()], &saved)
	var all []audit.Finding
	for _, one := range t.list {
		i := slices.IndexFunc(saved, func(s savedTrip) bool { return s.ID == one.id && s.Facts != nil && s.Facts.RoundTrip != nil })
		var found []audit.Finding
		if broken != nil || i < 0 || saved[i].Facts.Format != Format {
			found = []audit.Finding{{State: audit.Unknown, ID: "E1", Severity: "high", Service: one.id, Where: one.id, Seen: "the facts say nothing about this round trip", Fix: "gather again"}}
		} else {
			f := saved[i].Facts
			j := judgeOf(context.Background(), f, resolve.NewRecorded(f.Answers), Options{At: facts.Made})
			for _, c := range roundTripChecks {
				j.run(c)
			}
			for _, x := range j.findings {
				found = append(found, x.Audit(one.id))
			}
			found = append(found, one.compare(j)...)
		}
		for i := range found {
			found[i].File, found[i].Line, found[i].Column = file.Name, one.line, one.col
		}
		all = append(all, found...)
	}
	return all
}

// compare holds what is expected beyond the checks against the facts.
func (one *tripExpected) compare(j *judge) (list []audit.Finding) {
	add := func(state audit.State, id, severity, where, expected, seen string) {
		list = append(list, audit.Finding{State: state, ID: id, Severity: severity, Service: one.id, Where: where, Expected: expected, Seen: seen})
	}
	verdict := func(holds bool) audit.State {
		if holds {
			return audit.Pass
		}
		return audit.Fail
	}
	r := j.trip()
	for _, p := range r.Probes {
		if p.Outside {
			continue
		}
		where, arrivals := "sent by "+p.Service.Where(), r.delivered(p)
		if one.delay.Operator != "" {
			switch {
			case len(arrivals) > 0:
				took := after(p, soonest(arrivals))
				add(verdict(one.delay.Holds(int64(took))), "roundtrip-delay", "medium", where, one.delay.Text, took.Round(time.Millisecond).String())
			default:
				add(audit.Unknown, "roundtrip-delay", "medium", where, one.delay.Text, "it did not come")
			}
		}
		if len(arrivals) == 0 {
			continue
		}
		if one.dkim == "pass" {
			good, lines := j.aligned(r, arrivals[0])
			seen := strings.Join(lines, "; ")
			if seen == "" {
				seen = "no signature"
			}
			add(verdict(good), "roundtrip-dkim", "high", where, "a signature of the author's domain that holds", seen)
		}
		if one.hidesAuthor {
			told, text := tellsAuthor(p, arrivals[0])
			seen := "not told"
			if told {
				seen = text
			}
			add(verdict(!told), "roundtrip-client-ip", "medium", where, "no Received field has the author's address", seen)
		}
	}
	return list
}
