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
