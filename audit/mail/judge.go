package mail

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"herald/fingerprint"
	"herald/resolve"
	"herald/wire"
)

const (
	Fail    State = "fail"
	Warn    State = "warn"
	Unknown State = "unknown" // could not be determined; the reason and the next step are told
	Pass    State = "pass"
	NA      State = "n/a" // does not apply here
)

const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Check is one rule. Its id is stable.
type Check struct {
	ID       string
	Area     string
	Title    string
	Severity Severity // where the rule's context does not say otherwise
	Ref      string   // standards and sections
	Rule     string   // what must be so
	judge    func(*judge)
}

// Areas are the areas of checks, in the order of reports.
var Areas = []string{
	"ports", "greeting and names", "starttls", "certificate", "tls", "authentication", "smtp",
	"imap, pop3 and sieve", "dns", "sender authentication", "transport policies", "promises", "round trip",
}

// Checks are all checks, in the order of reports.
var Checks = slices.Concat(portChecks, greetingChecks, starttlsChecks, certificateChecks, tlsChecks, authChecks, smtpChecks,
	mailboxChecks, dnsChecks, senderChecks, transportChecks, promiseChecks, roundTripChecks)

// Options are what a verdict depends on beside the facts.
type Options struct {
	At         time.Time         // as of when; zero is when the facts were gathered
	Later      time.Duration     // every date is judged also so much later; 0 is 14 days, negative is not
	Roots      *x509.CertPool    // who is trusted; nil is the system's
	Profile    string            // of TLS, beyond RFC 9325: one of ProfileNames; "" is none
	Issuers    map[string]string // organisation of a private CA to the identifier that it has in CAA records
	Signatures *fingerprint.Set  // nil is the built-in
}

// Judge gives a verdict on the facts. It does no input or output.
func Judge(f *Facts, o Options) []Finding {
	reached := settled(f)
	var unreached []*Service
	reached.Services, unreached = reachedOf(reached.Services)
	j := judgeOf(context.Background(), reached, resolve.NewRecorded(reached.Answers), o)
	j.unreached = unreached
	for _, c := range Checks {
		if c.Area != tripArea || f.RoundTrip != nil {
			j.run(c)
		}
	}
	order := map[string]int{}
	for i, c := range Checks {
		order[c.ID] = i
	}
	slices.SortStableFunc(j.findings, func(a, b Finding) int {
		return cmp.Or(compareFindings(a, b), order[a.Check]-order[b.Check])
	})
	return j.findings
}

// judge is one judgement under way.
type judge struct {
	ctx      context.Context
	f        *Facts
	dns      resolve.Records
	o        Options
	at       time.Time
	check    Check
	findings []Finding
	products map[*Service]product
	trusted  map[string]error // verdicts on chains, by their bytes

	unreached []*Service // that we could not ask, which says nothing about them
}

// reachedOf parts the services that were asked from those that we could not ask: we were
// stopped, this machine ran out of something, or has no way to IPv6 at all.
func reachedOf(all []*Service) (reached, unreached []*Service) {
	six := slices.ContainsFunc(all, func(s *Service) bool { return s.Addr.Is6() && (!s.down() || s.Failure.Kind != wire.Unreachable) })
	for _, s := range all {
		ours := s.Failure != nil && (s.Failure.Kind == wire.Canceled || s.down() && (s.Failure.Kind == wire.Exhausted || s.Failure.Kind == wire.Unreachable && s.Addr.Is6() && !six))
		if ours {
			unreached = append(unreached, s)
		} else {
			reached = append(reached, s)
		}
	}
	return reached, unreached
}

func judgeOf(ctx context.Context, f *Facts, records resolve.Records, o Options) *judge {
	j := &judge{ctx: ctx, f: f, dns: records, o: o, at: o.At, products: map[*Service]product{}, trusted: map[string]error{}}
	if j.at.IsZero() {
		j.at = f.Began
	}
	if o.Later == 0 {
		j.o.Later = 14 * 24 * time.Hour
	}
	if o.Signatures == nil {
		j.o.Signatures = fingerprint.Builtin()
	}
	return j
}

// nothingHere is the text of a check that found nothing to judge.
const nothingHere = "nothing here that this applies to"

// run runs a check; one that has nothing to say does not apply.
func (j *judge) run(c Check) {
	before := len(j.findings)
	j.check = c
	c.judge(j)
	if len(j.findings) == before {
		j.na(j.subject(), nothingHere)
	}
}

// walkRecords runs the checks of the DNS for the questions that they ask, side by side.
func (j *judge) walkRecords() {
	j.walk(slices.Concat(dnsChecks, senderChecks, transportChecks, promiseChecks))
}

// walkHosts runs those whose questions depend on what servers said, and documents.
func (j *judge) walkHosts() {
	checks := slices.Concat(greetingChecks, certificateChecks, dnsChecks, senderChecks, transportChecks, promiseChecks)
	if j.f.RoundTrip != nil {
		checks = append(checks, roundTripChecks...)
	}
	j.walk(checks)
}

func (j *judge) walk(checks []Check) {
	var all sync.WaitGroup
	for _, c := range checks {
		all.Go(func() { judgeOf(j.ctx, j.f, j.dns, j.o).run(c) })
	}
	all.Wait()
}

// subject is what the question is about.
func (j *judge) subject() string {
	q := j.f.Question
	return cmp.Or(q.Domain, q.Host, strings.Join(q.Services, ", "))
}

func (j *judge) find(state State, where, format string, a ...any) *Finding {
	text := format
	if len(a) > 0 {
		text = fmt.Sprintf(format, a...)
	}
	j.findings = append(j.findings, Finding{
		Check: j.check.ID, State: state, Severity: j.check.Severity, Area: j.check.Area, Where: where,
		Text: text, Rule: j.check.Rule, Ref: j.check.Ref,
	})
	return &j.findings[len(j.findings)-1]
}

func (j *judge) pass(where, format string, a ...any) *Finding {
	return j.find(Pass, where, format, a...)
}
func (j *judge) warn(where, format string, a ...any) *Finding {
	return j.find(Warn, where, format, a...)
}
func (j *judge) fail(where, format string, a ...any) *Finding {
	return j.find(Fail, where, format, a...)
}
func (j *judge) na(where, format string, a ...any) *Finding { return j.find(NA, where, format, a...) }

// unknown says why nothing can be said, and what to do about it.
func (j *judge) unknown(where, next, format string, a ...any) *Finding {
	f := j.find(Unknown, where, format, a...)
	f.Fix = next
	return f
}

// unresolved adds an unknown for a lookup that failed; false where it did not.
func (j *judge) unresolved(where string, a resolve.Answer) bool {
	switch a.Status {
	case resolve.Found, resolve.NoData, resolve.NoName:
		return false
	case resolve.Unasked:
		j.na(where, "%s %s was not asked: %s", a.Type, bare(a.Name), a.Reason)
	case resolve.Bogus:
		j.unknown(where, "mend the zone's signatures; until then every validating resolver answers SERVFAIL", "%s %s does not validate (bogus)", a.Type, bare(a.Name)).with(a.Reason)
	default:
		j.unknown(where, "ask again; if it stays, look at the zone's name servers", "%s %s could not be looked up: %s", a.Type, bare(a.Name), a.Status).with(a.Reason)
	}
	return true
}

func bare(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// lookup asks the DNS, or the facts.
func (j *judge) lookup(name string, qtype uint16) resolve.Answer {
	return j.dns.Lookup(j.ctx, name, qtype)
}
