package audit

import (
	"fmt"
	"strings"
	"time"

	"herald/report"
	"herald/scan"
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
