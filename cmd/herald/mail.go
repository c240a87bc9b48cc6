package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"herald/audit"
	"herald/audit/login"
	"herald/audit/mail"
	"herald/resolve"
	"herald/wire"
)

// mailFlags are the flags of herald mail.
type mailFlags struct {
	host, hello, relay, sender, at, facts, from, format, output, profile string
	services, dkim, senders, resolves, zones, cas, connect, issuers      []string
	dns                                                                  string
	why, all, tlsScan, injection, noDocuments                            bool
	timeout, patience                                                    time.Duration

	roundTrip, anyCertificate             bool
	credentials, credentialsFile, mailbox string
	tell                                  []string
	delivery                              time.Duration
}

func mailCommand() *cobra.Command {
	var f mailFlags
	c := &cobra.Command{
		Use:   "mail DOMAIN",
		Short: "verify the setup of a domain's, or a host's, mail",
		Long: `Mail asks everything that a domain publishes about its mail, connects to every server
that is named there, and says for each of its checks whether it holds: fail, warn,
unknown, pass, or n/a. docs/mail.md describes the checks.

Each server gets one ordinary connection for each address and port, and two more to see
its certificates; on port 25 one at a time, a second apart. No password and no message is
sent: recipients are tried up to RCPT, then taken back. --tls-scan makes some dozens
of connections to each port, --injection one more that some log as abuse: both only when
they are asked for.

With --round-trip, and only then, it logs in and sends messages, to your own mailbox:
through each submission port, and as a stranger through each exchanger. It finds them by
IMAP and POP3, compares them with what was sent, and deletes them, nothing else. User and
password are HERALD_LOGIN_ROUNDTRIP_USER and HERALD_LOGIN_ROUNDTRIP_PASSWORD in the
environment, or stand in a --credentials-file. The password is said inside TLS alone, to
servers whose certificate is trusted.

Exit status: 0 nothing fails, 1 something fails, 2 wrong usage, 3 something could not be
determined, and nothing fails. With --format nagios it is that of a monitoring plugin.`,
		Example: `  herald mail example.org --dkim s2026
  herald mail example.org --zone planned.zone --at +14d
  herald mail --host mail.example.org --ca private-root.pem
  herald mail example.org --round-trip --credentials alice --credentials-file secrets.yaml
  herald mail --services 172.16.238.11:25,172.16.238.11:993
  herald mail --services mx://127.0.0.1:10025,127.0.0.1:10993
  herald mail example.org --facts facts.json && herald mail --from facts.json --why`,
		Args: arguments(0, 1, "one domain"),
		RunE: func(c *cobra.Command, args []string) error { return runMail(c, f, args) },
	}
	fl := c.Flags()
	fl.StringVar(&f.host, "host", "", "verify all mail ports of this `HOST`, and no domain")
	fl.StringSliceVar(&f.services, "services", nil, "verify these `HOST:PORT`s, and nothing else; mx://HOST:PORT and the like say what an odd port is")
	fl.StringSliceVar(&f.dkim, "dkim", nil, "`SELECTORS` of the domain's DKIM keys")
	fl.StringSliceVar(&f.senders, "senders", nil, "`ADDRESSES` that mail of the domain goes out from")
	fl.StringVar(&f.dns, "dns", "", "ask this DNS server alone, and believe its AD bit: `ADDRESS[:PORT]` (default: the system's)")
	fl.StringSliceVar(&f.zones, "zone", nil, "take these zone `FILES` for the DNS: test what is planned")
	fl.StringSliceVar(&f.resolves, "resolve", nil, "`NAME=ADDRESS`: the name has this address, whatever the DNS says")
	fl.StringSliceVar(&f.connect, "connect-to", nil, "`HOST:PORT=ADDRESS:PORT`: connect there instead, for ports that are published elsewhere")
	fl.StringSliceVar(&f.cas, "ca", nil, "trust the roots in these PEM `FILES`, too")
	fl.StringSliceVar(&f.issuers, "ca-name", nil, "`ORGANISATION=IDENTIFIER`: how a private authority is called in CAA records")
	fl.StringVar(&f.at, "at", "", "judge as of a `TIME`: +14d from now, or 2026-12-31")
	fl.StringVar(&f.facts, "facts", "", "save what was gathered in `FILE`")
	fl.StringVar(&f.from, "from", "", "judge what `FILE` holds, without a network")
	fl.StringVar(&f.hello, "helo", "", "`NAME` to introduce ourselves (default: the address literal of our side)")
	fl.StringVar(&f.relay, "relay-to", "", "foreign `MAILBOX` to try for an open relay (default: one at example.net)")
	fl.StringVar(&f.sender, "sender", "", "`MAILBOX` to try it from (default: the null sender, or postmaster at --helo)")
	fl.BoolVar(&f.tlsScan, "tls-scan", false, "enumerate TLS versions and cipher suites, paced: some dozens of connections to each port")
	fl.StringVar(&f.profile, "tls-profile", "", "hold suites to a profile: "+strings.Join(mail.ProfileNames(), ", "))
	fl.BoolVar(&f.injection, "injection", false, "try whether commands get past STARTTLS, on a connection of its own, last")
	fl.BoolVar(&f.noDocuments, "no-documents", false, "fetch nothing over HTTPS")
	fl.BoolVar(&f.roundTrip, "round-trip", false, "log in, send messages to your own mailbox, fetch and delete them")
	fl.StringVar(&f.credentials, "credentials", "roundtrip", "`NAME` of the credentials: HERALD_LOGIN_NAME_USER and HERALD_LOGIN_NAME_PASSWORD in the environment, or in --credentials-file")
	fl.StringVar(&f.credentialsFile, "credentials-file", "", "YAML `FILE` with user and password by name, which only its owner can read")
	fl.StringVar(&f.mailbox, "mailbox", "", "`ADDRESS` of the mailbox (default: the user, in the domain)")
	fl.StringSliceVar(&f.tell, "tell", nil, "`HOSTS` that may be told the password although only an unsigned answer of the DNS names them")
	fl.BoolVar(&f.anyCertificate, "any-certificate", false, "say the password to whoever answers, whatever the certificate")
	fl.DurationVar(&f.delivery, "round-trip-timeout", mail.TripPatience, "how long to wait for a message's delivery")
	fl.DurationVar(&f.patience, "patience", 60*time.Second, "how long to wait for a greeting, and for any reply")
	fl.DurationVar(&f.timeout, "timeout", 10*time.Minute, "for everything")
	fl.BoolVar(&f.why, "why", false, "under each row: rule, evidence and fix")
	fl.BoolVarP(&f.all, "all", "a", false, "a row for each place, also where all is well")
	fl.StringVar(&f.format, "format", "table", strings.Join(mailFormats, ", "))
	fl.StringVarP(&f.output, "output", "o", "", "write to `FILE` instead of standard output")
	return c
}

func runMail(c *cobra.Command, f mailFlags, args []string) error {
	if !slices.Contains(mailFormats, f.format) {
		return usagef("--format %q: %s", f.format, strings.Join(mailFormats, ", "))
	}
	if f.profile != "" && !slices.Contains(mail.ProfileNames(), f.profile) {
		return usagef("--tls-profile %q: %s", f.profile, strings.Join(mail.ProfileNames(), ", "))
	}
	options, err := f.options()
	if err != nil {
		return usage(err)
	}
	if _, err := f.asOf(time.Now()); err != nil { // before minutes are spent on gathering
		return usage(err)
	}
	facts, err := f.obtain(c.Context(), args, options.Roots)
	if err != nil {
		return err
	}
	if options.At, err = f.asOf(facts.Began); err != nil {
		return usage(err)
	}
	var unwritten error // told at the end: what was found is not lost for it
	if f.facts != "" {
		if err := writeTo(f.facts, facts.Write); err != nil {
			unwritten = usagef("--facts: %w", err)
		}
	}
	findings := mail.Judge(facts, options)
	out := c.OutOrStdout()
	width, _ := terminal(out)
	style := mail.Style{Colour: f.output == "" && colourful(out), All: f.all, Why: f.why, Width: width}
	write := func(w io.Writer) error { return writeMail(w, f.format, facts, findings, style) }
	if f.output != "" && f.output != "-" {
		if err := writeTo(f.output, write); err != nil {
			unwritten = errors.Join(unwritten, usagef("-o: %w", err), write(out))
		}
	} else if err := write(out); err != nil {
		return err
	}
	if c.Context().Err() != nil {
		return errors.Join(errors.New("stopped; what was gathered until then is judged"), unwritten)
	}
	if unwritten != nil {
		return unwritten
	}
	if status := mailExit(f.format, facts, findings); status != 0 {
		return exitStatus(status)
	}
	return nil
}

func writeTo(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// obtain gathers, or reads what was gathered before.
func (f mailFlags) obtain(ctx context.Context, args []string, roots *x509.CertPool) (*mail.Facts, error) {
	if f.from != "" {
		if len(args) > 0 || f.host != "" || len(f.services) > 0 || f.roundTrip {
			return nil, usagef("--from: the facts say what they are about; leave domain, --host, --services and --round-trip out")
		}
		file, err := os.Open(f.from)
		if err != nil {
			return nil, usagef("--from: %w", err)
		}
		defer file.Close()
		facts, err := mail.ReadFacts(f.from, file)
		return facts, usage(err)
	}
	q := mail.Question{Host: f.host, Services: f.services, Selectors: f.dkim, Senders: f.senders}
	if len(args) == 1 {
		q.Domain = args[0]
	}
	for _, a := range f.senders {
		if _, err := netip.ParseAddr(a); err != nil {
			return nil, usagef("--senders: %w", err)
		}
	}
	g, err := f.gatherer(len(f.services) > 0)
	if err != nil {
		return nil, usage(err)
	}
	if g.RoundTrip, err = f.trip(roots); err != nil {
		return nil, usage(err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	facts, err := g.Gather(ctx, q)
	if errors.Is(err, mail.ErrQuestion) {
		return nil, usagef("%w (see 'herald mail --help')", err)
	}
	if errors.Is(err, mail.ErrMailbox) {
		return nil, usagef("--mailbox: %w", err)
	}
	return facts, err
}

// trip is the round trip that is asked for, nil for none.
func (f mailFlags) trip(roots *x509.CertPool) (*mail.TripRequest, error) {
	if !f.roundTrip {
		return nil, nil
	}
	if f.delivery <= 0 {
		return nil, fmt.Errorf("--round-trip-timeout %s: want a time to wait, like 2m", f.delivery)
	}
	store, err := login.NewStore(f.credentialsFile, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("--credentials-file: %w", err)
	}
	who, err := store.Get(f.credentials)
	if err != nil {
		return nil, fmt.Errorf("--round-trip: %w", err)
	}
	return &mail.TripRequest{Who: who, Mailbox: f.mailbox, Patience: f.delivery, Roots: roots, AnyCertificate: f.anyCertificate, Tell: f.tell}, nil
}

func (f mailFlags) gatherer(servicesOnly bool) (mail.Gatherer, error) {
	g := mail.Gatherer{
		Caller:   wire.Caller{Manners: wire.Manners{Hello: f.hello}},
		Relay:    f.relay,
		Sender:   f.sender,
		Patience: f.patience, TLSScan: f.tlsScan, Injection: f.injection, Documents: !f.noDocuments,
	}
	for flag, value := range map[string]string{"--helo": f.hello, "--relay-to": f.relay, "--sender": f.sender} {
		if strings.ContainsAny(value, "\r\n<> ") {
			return g, fmt.Errorf("%s %q: without spaces and angle brackets", flag, value)
		}
	}
	if len(f.connect) > 0 {
		elsewhere, err := parseConnect(f.connect)
		if err != nil {
			return g, err
		}
		g.Caller.Transport = elsewhere
	}
	var err error
	if g.Records, g.Resolver, g.Trusted, err = f.records(servicesOnly); err != nil {
		return g, err
	}
	return g, nil
}

// records are who is asked for the DNS: zone files before a server, overrides before both.
func (f mailFlags) records(servicesOnly bool) (records resolve.Records, name string, trusted bool, err error) {
	var server *resolve.Server
	switch {
	case f.dns != "":
		addr, err := parseServer(f.dns)
		if err != nil {
			return nil, "", false, err
		}
		server = &resolve.Server{Addrs: []netip.AddrPort{addr}, Trusted: true}
		name, trusted = addr.String(), true
	case len(f.zones) == 0 && !servicesOnly:
		system, err := resolve.SystemServer()
		if err != nil {
			return nil, "", false, err
		}
		server, name = &system, system.Addrs[0].String()
	}
	if server != nil {
		records = *server
	}
	if len(f.zones) > 0 {
		zone, err := readZones(f.zones, records)
		if err != nil {
			return nil, "", false, err
		}
		records, name, trusted = zone, strings.TrimSuffix("zone file, "+name, ", "), true
	}
	names := map[string][]netip.Addr{}
	for _, r := range f.resolves {
		host, text, ok := strings.Cut(r, "=")
		addr, err := netip.ParseAddr(text)
		if !ok || err != nil || host == "" {
			return nil, "", false, fmt.Errorf("--resolve %q: write it like mail.example.test=172.16.238.11", r)
		}
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		names[host] = append(names[host], addr.Unmap())
	}
	if records == nil && (len(names) > 0 || servicesOnly) {
		records = addressesOf{f.serviceHosts(), systemOrNobody()}
	}
	if len(names) > 0 {
		records = resolve.Override{Names: names, Of: records}
	}
	return records, name, trusted, nil
}

// addressesOf asks for the addresses of some hosts, and for nothing else.
type addressesOf struct {
	hosts []string
	of    resolve.Records
}

func (a addressesOf) Lookup(ctx context.Context, name string, qtype uint16) resolve.Answer {
	name = dns.CanonicalName(name)
	if (qtype == dns.TypeA || qtype == dns.TypeAAAA) && slices.Contains(a.hosts, name) {
		return a.of.Lookup(ctx, name, qtype)
	}
	return resolve.Answer{Name: name, Type: dns.Type(qtype).String(), Status: resolve.Unasked, Reason: "no DNS is asked about --services"}
}

// serviceHosts are the names in --services, as the DNS has them.
func (f mailFlags) serviceHosts() []string {
	var hosts []string
	for _, text := range f.services {
		if _, rest, scheme := strings.Cut(text, "://"); scheme {
			text = rest
		}
		if host, _, err := net.SplitHostPort(text); err == nil {
			hosts = append(hosts, dns.CanonicalName(host))
		}
	}
	return hosts
}

// systemOrNobody resolves the names of services; where there is no resolver, addresses
// still work.
func systemOrNobody() resolve.Records {
	if s, err := resolve.SystemServer(); err == nil {
		return s
	}
	return resolve.Server{}
}

func readZones(names []string, otherwise resolve.Records) (*resolve.Zone, error) {
	var zone *resolve.Zone
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--zone: %w", err)
		}
		if zone == nil {
			zone, err = resolve.ReadZone(name, file)
		} else {
			err = zone.Add(name, file)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, fmt.Errorf("--zone: %w", err)
		}
	}
	zone.Else = otherwise
	return zone, nil
}

func parseServer(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return a, fmt.Errorf("--dns %q: want an address, or address:port", text)
	}
	return a, nil
}

// elsewhere connects to other places than it is asked to.
type elsewhere struct {
	wire.Network
	to map[string]netip.AddrPort // by host:port, and by address:port
}

func parseConnect(list []string) (elsewhere, error) {
	e := elsewhere{to: map[string]netip.AddrPort{}}
	for _, text := range list {
		from, to, _ := strings.Cut(text, "=")
		addr, err := netip.ParseAddrPort(to)
		host, port, bad := net.SplitHostPort(from)
		if err != nil || bad != nil || host == "" || port == "" {
			return e, fmt.Errorf("--connect-to %q: write it like mail.example.test:25=127.0.0.1:2525", text)
		}
		e.to[strings.ToLower(net.JoinHostPort(host, port))] = addr
	}
	return e, nil
}

func (e elsewhere) Dial(ctx context.Context, at wire.Endpoint) (net.Conn, error) {
	for _, key := range []string{net.JoinHostPort(strings.ToLower(at.Name), fmt.Sprint(at.Addr.Port())), at.Addr.String()} {
		if to, ok := e.to[key]; ok {
			at.Addr = to
			break
		}
	}
	return e.Network.Dial(ctx, at)
}

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
