package audit

import (
	"strings"

	"herald/fingerprint"
	"herald/probes"
	"herald/report"
	"herald/scan"
	"herald/wire"
)

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
