package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"herald/audit/mail"
)

// mailFlags are the flags of herald mail.
type mailFlags struct {
	// What is asked about.
	host                    string
	services, dkim, senders []string

	// Whom the DNS is asked of, and where servers stand.
	dns                      string
	zones, resolves, connect []string

	// How servers are asked.
	hello, relay, sender            string
	tlsScan, injection, noDocuments bool
	timeout, patience               time.Duration

	// How facts are judged.
	cas, issuers []string
	at, profile  string

	// What is read and written.
	facts, from, format, output string
	why, all                    bool

	// The round trip.
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
	findings := mail.Judge(facts, options)
	if err := f.write(c.Context(), c.OutOrStdout(), facts, findings); err != nil {
		return err
	}
	if status := mailExit(f.format, facts, findings); status != 0 {
		return exitStatus(status)
	}
	return nil
}

// write saves the facts, where that is wanted, and writes the report. Findings are shown also
// where a file can not be written, or the user stopped the gathering: the error tells it
// afterwards.
func (f mailFlags) write(ctx context.Context, stdout io.Writer, facts *mail.Facts, findings []mail.Finding) error {
	var unwritten error
	if f.facts != "" {
		if err := writeFile(f.facts, facts.Write); err != nil {
			unwritten = usagef("--facts: %w", err)
		}
	}
	width, _ := terminal(stdout)
	style := mail.Style{Colour: f.output == "" && colourful(stdout), All: f.all, Why: f.why, Width: width}
	report := func(w io.Writer) error { return writeMail(w, f.format, facts, findings, style) }
	if f.output != "" && f.output != "-" {
		if err := writeFile(f.output, report); err != nil {
			unwritten = errors.Join(unwritten, usagef("-o: %w", err), report(stdout))
		}
	} else if err := report(stdout); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.Join(errors.New("stopped; what was gathered until then is judged"), unwritten)
	}
	return unwritten
}
