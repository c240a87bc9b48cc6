// Package audit says whether services are as somebody wrote that they must be. It reads
// expectations ([Parse] for the project's own files, [Compose] for those of the Compose
// specification), gathers facts (all the I/O: one ordinary scan, [Gather]) and judges them
// (no I/O: [Judge]). Facts can be saved, so that a verdict can be given again without a
// network.
//
// It does not know any protocol's words; what a server said was heard by package probes.
// docs/audit.md describes the file format.
package audit

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"herald/fingerprint"
	"herald/wire"
)

// File is what is expected of some services.
type File struct {
	Name     string // as the user named it
	Defaults Defaults
	DNS      DNS
	Trust    Trust
	Hosts    map[string]Host // by the name that "at" uses
	Services []*Service
	Waivers  []Waiver
	Checks   []Check // of the sections that others read, see [Section]
	Compose  bool    // made from a Compose file
}

// Defaults hold for all services of a file.
type Defaults struct {
	Timeout     time.Duration // for one endpoint, all its connections; 0 is the scanner's own
	Families    []string      // "ip4", "ip6"; empty for both
	Eventually  time.Duration // how long to gather again until all holds; 0 is once
	AlsoJudgeAt time.Duration // certificates must be valid so much later, too; 0 is now only
	Unknown     string        // fail, warn, ignore
}

// DNS is whom names are asked of.
type DNS struct {
	Server  netip.AddrPort // invalid for the system's
	TrustAD bool           // believe its AD bit (RFC 6840, 5.8)
}

// Trust is which authorities certificates are judged by.
type Trust struct {
	CAFiles []string // PEM, relative to the file; empty for the system's
	System  bool     // the system's authorities count beside CAFiles
}

// Host gives a short name its real one and its addresses.
type Host struct {
	Name      string       // sent as SNI; "" for none
	Addresses []netip.Addr // empty: the name is looked up
}

// Service is one or several places of which the same is expected.
type Service struct {
	ID        string
	At        []Place
	Expect    Expect
	Line, Col int    // in the file
	Guess     bool   // nobody said what is expected: it is guessed, and judged as a warning
	Published bool   // a port that a Compose file publishes
	Exposed   bool   // published on all addresses of the machine, nobody said which
	Unplaced  string // published on a port that can not be known: why
}

// Place is a port of a host.
type Place struct {
	Text string // as the user wrote it
	Host string // name or address to ask
	Port uint16 // that is asked
	Own  uint16 // container port, where another is published for it; else 0
}

// Key is the host and port that facts are found by.
func (p Place) Key() string {
	host := p.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return strings.ToLower(host) + ":" + strconv.Itoa(int(p.Port))
}

// Expect is what must be so at a place. What is not set is not judged.
type Expect struct {
	Port          string // open, closed, filtered, silent
	Protocol      string // name of a probe
	Product       string
	Version       *fingerprint.Constraint
	Confidence    int // percent, at least; 0 for any
	Mode          wire.Security
	Modes         map[uint16]wire.Security // by port, before Mode
	MinTLS        string                   // TLS1.0 … TLS1.3
	Certificate   *Certificate
	Capabilities  *List
	Size          Bound // SMTP's SIZE (RFC 1870)
	Auth          Auth
	GreetingName  string
	GreetingDelay Bound
	OpenProxy     *bool
}

// ModeOf is how the protocol must be spoken on a port, "" for any.
func (e *Expect) ModeOf(p Place) wire.Security {
	for _, port := range []uint16{p.Port, p.Own} {
		if m, ok := e.Modes[port]; ok && port != 0 {
			return m
		}
	}
	return e.Mode
}

// Certificate is what must be so with the certificate that a server shows.
type Certificate struct {
	Trusted  *bool
	Names    []string // all must be covered (RFC 9525)
	ValidFor Bound    // from now
	Key      []string // one of them: ecdsa-p256, ed25519, rsa-2048 (or longer)
}

// List is a condition on a list of words.
type List struct {
	Contains  []string
	Lacks     []string
	ConsistOf []string
}

func (l *List) String() string {
	var all []string
	for _, part := range []struct {
		name  string
		words []string
	}{{"contains", l.Contains}, {"lacks", l.Lacks}, {"consists of", l.ConsistOf}} {
		if len(part.words) > 0 {
			all = append(all, part.name+" "+strings.Join(part.words, ", "))
		}
	}
	return strings.Join(all, "; ")
}

// Auth is which mechanisms must be offered.
type Auth struct {
	BeforeTLS, AfterTLS *Mechanisms
}

// Mechanisms are none, any, or a list.
type Mechanisms struct {
	None bool
	Any  bool // asserts nothing, and says that logins in the clear are meant
	List List
}

func (m *Mechanisms) String() string {
	switch {
	case m.None:
		return "none"
	case m.Any:
		return "any"
	}
	return m.List.String()
}
