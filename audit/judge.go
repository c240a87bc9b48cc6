package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"herald/fingerprint"
	"herald/probes"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

// Judge says for each expectation whether the facts bear it out. It does no I/O, and what
// it judges by date it judges by the day on which the facts were gathered: the same facts
// give the same verdict.
func Judge(file *File, facts *Facts) []Finding {
	var all []Finding
	order := map[string]int{}
	for i, s := range file.Services {
		order[s.ID] = i + 1
		if s.Unplaced != "" {
			j := judge{file: file, facts: facts, service: s}
			j.add(Unknown, "reachable", "", "published on "+s.Unplaced).fix("publish it on one port that is named").Where = s.ID
			all = append(all, j.findings...)
		}
		for _, p := range s.At {
			j := judge{file: file, facts: facts, service: s, place: p}
			j.placeFacts()
			all = append(all, j.findings...)
		}
	}
	for i, c := range file.Checks {
		for _, f := range c.Judge(file, facts) {
			if order[f.Service] == 0 {
				order[f.Service] = len(file.Services) + 1 + i
			}
			all = append(all, f)
		}
	}
	all = waive(file, all, facts.Made)
	for _, w := range file.Waivers {
		if order[w.Where] == 0 {
			order[w.Where] = len(order) + 1000
		}
	}
	sortFindings(all, order)
	return all
}

// judge judges one place of one service.
type judge struct {
	file     *File
	facts    *Facts
	service  *Service
	place    Place
	fact     *Fact
	findings []Finding
}

// add adds a finding about the fact at hand.
func (j *judge) add(state State, id, expected, seen string) *Finding {
	k, _ := KindNamed(id)
	f := Finding{
		State: state, ID: id, Severity: k.Severity, Service: j.service.ID, Where: j.place.Key(),
		Expected: expected, Seen: seen, File: j.file.Name, Line: j.service.Line, Column: j.service.Col,
	}
	if j.fact != nil {
		f.Where = j.fact.where()
	}
	if j.service.Guess && state == Fail {
		f.State = Warn
	}
	if j.service.Guess && expected != "" && id != "published-everywhere" && id != "cleartext-login" {
		f.Expected += " (a guess from the container's port and image)"
	}
	j.findings = append(j.findings, f)
	return &j.findings[len(j.findings)-1]
}

// check is pass or fail.
func (j *judge) check(ok bool, id, expected, seen string) *Finding {
	if ok {
		return j.add(Pass, id, expected, seen)
	}
	return j.add(Fail, id, expected, seen)
}

// fix says how to mend what did not pass.
func (f *Finding) fix(format string, a ...any) *Finding {
	if f.State != Pass && f.State != NA {
		f.Fix = fmt.Sprintf(format, a...)
	}
	return f
}

// heard adds the server's own words.
func (f *Finding) heard(text string) *Finding {
	if f.State != Pass && f.State != NA {
		f.Evidence = report.Printable(strings.TrimSpace(text), 200)
	}
	return f
}

// placeFacts judges what is known of a place, address by address.
func (j *judge) placeFacts() {
	if j.service.Exposed {
		j.add(Warn, "published-everywhere", "a port published on 127.0.0.1, or on an address that is named", "published on all addresses of the machine").
			fix("write 127.0.0.1:%d:%d, or name the address that it is meant for", j.place.Port, j.place.Own)
	}
	facts := j.facts.at(j.place)
	if len(facts) == 0 {
		j.add(Unknown, "reachable", "", "nothing was gathered about this place").fix("gather again: the expectations name a place that the facts do not have")
		return
	}
	for _, f := range facts {
		j.fact = f
		j.judgeFact()
	}
}

func (j *judge) judgeFact() {
	e := &j.service.Expect
	if e.Port == "closed" || e.Port == "filtered" {
		j.portShut(e.Port)
		return
	}
	if e.Port == "silent" && j.fact.Record.Verdict == scan.Silent {
		j.add(Pass, "port", "silent", "silent")
		return
	}
	if !j.answers() {
		return
	}
	if e.Port == "silent" {
		j.add(Fail, "port", "silent", "open"+speaks(j.fact.Record)).heard(j.words()).fix("see what listens there")
		return
	}
	if !j.protocol() {
		return
	}
	j.greeting()
	if j.declined() {
		return
	}
	j.mode()
	j.product()
	j.capabilities()
	j.auth()
	j.cleartext()
	j.openProxy()
	j.tlsVersion()
	j.certificate()
}

// portShut judges a port that must not be open.
func (j *judge) portShut(want string) {
	r := j.fact.Record
	seen := string(r.Verdict)
	state := Fail
	switch r.Verdict {
	case scan.Closed, scan.Filtered:
		if seen == want {
			state = Pass
		}
	case scan.Unresolved, scan.Untried:
		state = Unknown
	default:
		seen = "open" + speaks(r)
	}
	j.add(state, "port", want, seen).fix("stop what listens there, or filter the port")
}

func speaks(r *report.Record) string {
	if r.Protocol == "" {
		return ""
	}
	s := ", speaks " + r.Protocol
	if r.Product != "" {
		s += " (" + r.Product + ")"
	}
	return s
}

// answers says whether there is somebody who talks.
func (j *judge) answers() bool {
	r, e := j.fact.Record, &j.service.Expect
	expected := e.Protocol
	if expected == "" {
		expected = "an open port"
	}
	trouble := ""
	if r.Failure != nil {
		trouble = " (" + r.Failure.Brief() + ")"
	}
	silentFailure := r.Failure != nil && r.Failure.Op != wire.OpDial && (r.Failure.Kind == wire.Closed || r.Failure.Kind == wire.Reset)
	switch {
	case r.Verdict == scan.Closed && j.service.Published && j.file.Compose:
		j.add(Unknown, "not-running", expected, "closed: the service does not run").fix("start it: docker compose up -d %s", strings.Split(j.service.ID, "/")[0]) // named, it needs no --profile
	case r.Verdict == scan.Closed || r.Verdict == scan.Filtered:
		j.add(Fail, "reachable", expected, string(r.Verdict)+trouble).fix("start the service, or open the way to it")
	case r.Verdict == scan.Unresolved:
		j.add(Fail, "reachable", expected, "the name has no address"+trouble).fix("give the name an address, in the DNS or under hosts")
	case r.Verdict == scan.Untried:
		j.add(Unknown, "reachable", expected, "not tried"+trouble)
	case r.Verdict == scan.Silent && e.Protocol == "":
		if e.Port == "open" {
			j.add(Pass, "port", "open", "open, silent")
		}
	case r.Verdict == scan.Silent && r.Failure != nil && r.Failure.Kind == wire.Exhausted:
		j.add(Unknown, "reachable", expected, "not tried to the end"+trouble)
	case r.Verdict == scan.Silent && e.Protocol != "tls" && !told(e.Protocol):
		j.add(Unknown, "protocol", e.Protocol, "silent to every question that herald has; it has no probe for "+e.Protocol)
	case r.Verdict == scan.Silent && silentFailure:
		j.add(Fail, "reachable", expected, "connections are accepted and ended without a word"+trouble).
			fix("see whether the server inside the container listens on all its addresses, or refuses strangers (access lists)")
	case r.Verdict == scan.Silent:
		j.add(Fail, "silent", expected, "connections are accepted, and nothing is ever said").fix("look whether the process hangs, or waits for something that does not come")
	default:
		return true
	}
	return false
}

// protocol says whether the rest can be judged.
func (j *judge) protocol() bool {
	r, e := j.fact.Record, &j.service.Expect
	if e.Port == "open" {
		j.add(Pass, "port", "open", "open"+speaks(r))
	}
	if e.Protocol == "" {
		return true
	}
	switch {
	case r.Protocol == e.Protocol:
		j.add(Pass, "protocol", e.Protocol, r.Protocol)
		return true
	case e.Protocol == "tls" && r.TLS != nil:
		j.add(Pass, "protocol", "tls", "tls")
		return true
	case r.Protocol == "" && !told(e.Protocol):
		j.add(Unknown, "protocol", e.Protocol, "something that herald can not tell: it has no probe for "+e.Protocol).heard(j.words())
	case r.Protocol == "":
		seen := "something that was not understood"
		switch {
		case r.Failure != nil && r.Failure.Kind == wire.TLSAlert:
			seen = "TLS, and not with us (" + r.Failure.Brief() + ")"
		case j.fact.spoken() == wire.TLS && j.words() == "":
			seen = "TLS, and nothing that is said inside"
		case j.fact.spoken() == wire.TLS:
			seen += ", inside TLS"
		}
		j.add(Fail, "protocol", e.Protocol, seen).heard(j.words()).fix("run %s there", e.Protocol)
	default:
		seen := r.Protocol
		if r.Product != "" {
			seen += " (" + r.Product + ")"
		}
		j.add(Fail, "protocol", e.Protocol, report.Printable(seen, 80)).heard(j.words()).
			fix("run %s there, or correct the port: what answers speaks %s", e.Protocol, r.Protocol)
	}
	return false
}

// told says whether herald knows the protocol when it meets it.
func told(protocol string) bool {
	if probes.Named(protocol) != nil || protocol == "tls" {
		return true
	}
	for s := range fingerprint.Builtin().All() {
		for _, c := range s.Claims {
			if c.Field == "protocol" && c.Text == protocol {
				return true
			}
		}
	}
	return false
}

// words are the first that the server said.
func (j *judge) words() string {
	for _, e := range j.fact.evidence() {
		if !strings.HasPrefix(e.Key, "tls.") {
			return string(e.Text)
		}
	}
	return ""
}

// declined says that the server turned us away. What it showed all the same is judged;
// the rest is not known.
func (j *judge) declined() bool {
	if !j.fact.Record.Declined {
		return false
	}
	e, hidden := &j.service.Expect, false
	if e.Product != "" && e.Version == nil && j.fact.Record.Product != "" {
		j.product()
	} else if e.Product != "" || e.Version != nil {
		hidden = true
	}
	switch want := e.ModeOf(j.place); want {
	case "":
	case j.fact.spoken():
		j.mode()
	default:
		hidden = true
	}
	if hidden || e.MinTLS != "" || e.Certificate != nil || e.Capabilities != nil || e.Size.Text != "" || e.Auth != (Auth{}) || e.OpenProxy != nil {
		j.add(Unknown, "reachable", "a conversation", "the server turned us away").heard(j.words()).
			fix("allow this machine, or ask from one that is allowed")
	}
	return true
}

func (j *judge) product() {
	r, e := j.fact.Record, &j.service.Expect
	if e.Product == "" && e.Version == nil {
		return
	}
	var products []string
	certainty, version := 0, ""
	for _, c := range r.Claims {
		if c.Field != "product" {
			continue
		}
		if !slices.Contains(products, c.Value) {
			products = append(products, c.Value)
		}
		if strings.EqualFold(c.Value, e.Product) {
			certainty = max(certainty, c.Certainty)
		}
	}
	for _, c := range r.Claims {
		if c.Field == "version" && version == "" && (e.Product == "" || strings.EqualFold(c.Product, e.Product)) {
			version = c.Value
		}
	}
	if e.Product == "" {
		version = r.Version
	}
	seen := report.Printable(strings.Join(products, ", "), 120)
	switch {
	case e.Product == "":
	case len(products) == 0:
		j.add(Unknown, "product", e.Product, "no signature knows the server").heard(j.words())
		return
	default:
		found := j.check(certainty > 0, "product", e.Product, seen).heard(j.words()).fix("run %s there, or correct the expectation", e.Product)
		if found.State != Pass {
			return
		}
		if e.Confidence > 0 {
			j.check(certainty >= e.Confidence, "product-confidence", fmt.Sprintf(">=%d%%", e.Confidence), fmt.Sprintf("%d%%", certainty))
		}
	}
	if e.Version == nil {
		return
	}
	if version == "" {
		j.add(Unknown, "product-version", e.Version.String(), "the server does not tell its version").fix("let it tell, or expect no version")
		return
	}
	j.check(e.Version.Holds(version), "product-version", e.Version.String(), report.Printable(version, 60)).heard(j.words()).
		fix("run a version that is %s, or correct the expectation", e.Version)
}

func (j *judge) mode() {
	want := j.service.Expect.ModeOf(j.place)
	if want == "" {
		return
	}
	r := j.fact.Record
	seen := string(j.fact.spoken())
	clear, _ := j.fact.capabilities()
	if r.Security != wire.StartTLS && r.Security != wire.TLS && offersTLS(r.Protocol, clear) {
		seen = "plain: an upgrade is offered and does not succeed"
	}
	f := j.check(j.fact.spoken() == want, "tls-mode", string(want), seen)
	switch want {
	case wire.Plain:
		f.fix("switch TLS off there, or expect %s", j.fact.spoken())
	case wire.StartTLS:
		f.fix("give the server a certificate and let it offer the upgrade")
	default:
		f.fix("let the server speak TLS from the first byte")
	}
}

// judgedByMode says that the want of TLS is a finding already: one fault is one finding.
func (j *judge) judgedByMode() bool {
	want := j.service.Expect.ModeOf(j.place)
	return want == wire.TLS || want == wire.StartTLS
}

func (j *judge) tlsVersion() {
	want := j.service.Expect.MinTLS
	if want == "" {
		return
	}
	if j.fact.Record.TLS == nil && j.judgedByMode() {
		j.add(NA, "tls-version", "at least "+want, "no TLS")
		return
	}
	if j.fact.Record.TLS == nil {
		j.add(Fail, "tls-version", "at least "+want, "no TLS").fix("offer TLS")
		return
	}
	got := strings.ReplaceAll(j.fact.Record.TLS.Version, " ", "")
	at := slices.Index(TLSVersions, got)
	j.check(at >= slices.Index(TLSVersions, want), "tls-version", "at least "+want, got).fix("allow %s and newer in the server's settings", want)
}

func (j *judge) capabilities() {
	e := &j.service.Expect
	if e.Capabilities == nil && e.Size.Text == "" {
		return
	}
	list := j.fact.last()
	if e.Capabilities != nil {
		if list == nil {
			j.add(Unknown, "capabilities", e.Capabilities.String(), "the server does not tell")
		} else {
			missing, unwanted := e.Capabilities.against(list)
			seen := difference(missing, unwanted)
			if seen == "" {
				seen = report.Printable(strings.Join(list, ", "), 200)
			}
			j.check(len(missing)+len(unwanted) == 0, "capabilities", e.Capabilities.String(), seen).
				heard(strings.Join(list, ", ")).fix("switch on what is missing and off what is not wanted, in the server's settings")
		}
	}
	if e.Size.Text == "" {
		return
	}
	for _, item := range list {
		word, value, _ := strings.Cut(item, " ")
		if !strings.EqualFold(word, "SIZE") {
			continue
		}
		n, err := parseSize(strings.TrimSpace(value) + "B")
		switch {
		case strings.TrimSpace(value) == "" || err == nil && n == 0: // RFC 1870, 3: no fixed maximum
			j.add(Pass, "size", e.Size.Text, "no fixed maximum")
		case err != nil:
			j.add(Unknown, "size", e.Size.Text, report.Printable(item, 60))
		default:
			j.check(e.Size.Holds(n), "size", e.Size.Text, fmt.Sprintf("%d bytes", n)).fix("set the server's size of messages")
		}
		return
	}
	j.add(Unknown, "size", e.Size.Text, "the server does not tell")
}

// against says which words a list lacks, and which it should not have. A word stands for
// a capability of that name whatever its parameters are; with parameters, all of them
// must be there.
func (l *List) against(list []string) (missing, unwanted []string) {
	has := func(want string) bool {
		return slices.ContainsFunc(list, func(item string) bool { return same(want, item) })
	}
	for _, w := range slices.Concat(l.Contains, l.ConsistOf) {
		if !has(w) && !slices.Contains(missing, w) {
			missing = append(missing, w)
		}
	}
	for _, w := range l.Lacks {
		if has(w) {
			unwanted = append(unwanted, w)
		}
	}
	if len(l.ConsistOf) > 0 {
		for _, item := range list {
			if !slices.ContainsFunc(l.ConsistOf, func(w string) bool { return same(w, item) }) {
				unwanted = append(unwanted, item)
			}
		}
	}
	return missing, unwanted
}

// same says whether a capability is the one that is meant.
func same(want, item string) bool {
	wanted, has := strings.Fields(strings.ToUpper(want)), strings.Fields(strings.ToUpper(item))
	if len(wanted) == 0 || len(has) == 0 || wanted[0] != has[0] {
		return false
	}
	for _, w := range wanted[1:] {
		if !slices.Contains(has[1:], w) {
			return false
		}
	}
	return true
}

func difference(missing, unwanted []string) string {
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "lacks "+strings.Join(missing, ", "))
	}
	if len(unwanted) > 0 {
		parts = append(parts, "has "+strings.Join(unwanted, ", "))
	}
	return report.Printable(strings.Join(parts, "; "), 200)
}

func (j *judge) auth() {
	a := &j.service.Expect.Auth
	clear, protected := j.fact.capabilities()
	if j.fact.spoken() == wire.TLS {
		// TLS from the first byte: what was heard before it is nothing.
		if protected == nil {
			protected = clear
		}
		if a.BeforeTLS != nil && !a.BeforeTLS.Any {
			j.mechanisms("auth-before-tls", a.BeforeTLS, []string{})
		}
	} else if a.BeforeTLS != nil && !a.BeforeTLS.Any {
		j.mechanisms("auth-before-tls", a.BeforeTLS, mechanisms(j.fact.Record.Protocol, clear))
	}
	if a.AfterTLS == nil || a.AfterTLS.Any {
		return
	}
	if j.fact.spoken() == wire.Plain {
		if j.judgedByMode() {
			j.add(NA, "auth-after-tls", a.AfterTLS.String(), "no TLS")
		} else {
			j.add(Fail, "auth-after-tls", a.AfterTLS.String(), "no TLS").fix("offer TLS")
		}
		return
	}
	j.mechanisms("auth-after-tls", a.AfterTLS, mechanisms(j.fact.Record.Protocol, protected))
}

func (j *judge) mechanisms(id string, want *Mechanisms, offered []string) {
	if offered == nil || !slices.Contains(hasMechanisms, j.fact.Record.Protocol) {
		j.add(Unknown, id, want.String(), "the server does not tell")
		return
	}
	seen := "none"
	if len(offered) > 0 {
		seen = report.Printable(strings.Join(offered, ", "), 200)
	}
	ok := want.None && len(offered) == 0
	if !want.None {
		missing, unwanted := want.List.against(offered)
		ok = len(missing)+len(unwanted) == 0
	}
	f := j.check(ok, id, want.String(), seen)
	if id == "auth-before-tls" {
		f.fix("let the server offer logins only inside TLS")
	} else {
		f.fix("set the mechanisms in the server's settings")
	}
}

func (j *judge) greeting() {
	e, r := &j.service.Expect, j.fact.Record
	if e.GreetingName != "" {
		name := j.fact.greetingName()
		if name == "" {
			j.add(Unknown, "greeting-name", e.GreetingName, "the greeting names no host").heard(j.words())
		} else {
			j.check(strings.EqualFold(strings.TrimSuffix(name, "."), e.GreetingName), "greeting-name", e.GreetingName, report.Printable(name, 80)).
				heard(j.words()).fix("set the server's host name")
		}
	}
	if e.GreetingDelay.Text != "" {
		if r.GreetingMS == 0 {
			j.add(Unknown, "greeting-delay", e.GreetingDelay.Text, "the server did not greet")
			return
		}
		d := milliseconds(r.GreetingMS)
		j.check(e.GreetingDelay.Holds(int64(d)), "greeting-delay", e.GreetingDelay.Text, d.Round(time.Millisecond).String()).
			fix("look for what the server waits: lookups that time out, or a pause that is meant")
	}
}

// openProxy judges by what the proxy was seen to do: whether it fetched the user's own
// URL, and failing that, whether it tried to do what a stranger asked.
func (j *judge) openProxy() {
	want := j.service.Expect.OpenProxy
	if want == nil {
		return
	}
	expected := "serves strangers"
	if !*want {
		expected = "refuses strangers"
	}
	open, seen := false, j.fact.said("proxy.relay")
	if seen != "" {
		open = statusOf(seen)/100 == 2
	} else {
		// Asked for a name that can not exist, a closed proxy refuses; an open one tries,
		// and then says what went wrong.
		for _, e := range j.fact.evidence() {
			status := statusOf(string(e.Text))
			switch e.Key {
			case "proxy.status", "proxy.connect":
				if tried := status/100 == 2 || status >= 500; tried || seen == "" {
					open, seen = open || tried, string(e.Text)
				}
			case "http.status": // the same question, before it was clear who answers
				if status == 502 || status == 504 {
					open, seen = true, string(e.Text)
				}
			}
		}
		if seen == "" {
			j.add(Unknown, "open-proxy", expected, "the proxy did not answer")
			return
		}
	}
	words := "refuses strangers"
	if open {
		words = "tries to serve strangers"
	}
	j.check(open == *want, "open-proxy", expected, words).heard(seen).fix("allow your own clients only")
}

func statusOf(line string) int {
	var version string
	var status int
	fmt.Sscan(line, &version, &status)
	return status
}

// cleartext looks for passwords in the clear on a published port.
func (j *judge) cleartext() {
	if !j.service.Published || j.fact.spoken() == wire.TLS {
		return
	}
	e, r := &j.service.Expect, j.fact.Record
	clear, _ := j.fact.capabilities()
	var how string
	switch r.Protocol {
	case "telnet", "rlogin", "rsh", "exec":
		how = r.Protocol + " has no other way"
	case "ftp":
		if !offersTLS("ftp", clear) && j.fact.spoken() == wire.Plain {
			how = "AUTH TLS is not offered"
		}
	case "http":
		if challenge := j.fact.said("http.header.www-authenticate"); len(challenge) >= 5 && strings.EqualFold(challenge[:5], "basic") {
			how = "the page asks for a password by Basic (RFC 7617)"
		}
	default:
		var offered []string
		for _, m := range mechanisms(r.Protocol, clear) {
			if slices.Contains(readable, m) {
				offered = append(offered, m)
			}
		}
		if len(offered) > 0 {
			how = "offered in the clear: " + strings.Join(offered, ", ")
		}
	}
	if how == "" {
		return
	}
	const expected = "passwords inside TLS only"
	switch {
	case e.ModeOf(j.place) == wire.Plain && !j.service.Guess, e.Auth.BeforeTLS != nil && e.Auth.BeforeTLS.Any:
		j.add(NA, "cleartext-login", expected, how+"; said to be meant")
	case e.Auth.BeforeTLS != nil:
		// judged by auth-before-tls
	default:
		j.add(Warn, "cleartext-login", expected, how).
			fix("let the server offer logins inside TLS only; where the clear is meant, say so: \"plain\" or \"auth-before-tls=any\"")
	}
}
