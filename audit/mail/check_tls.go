package mail

import (
	"slices"
	"strings"
)

var tlsChecks = []Check{
	{"T1", "tls", "no old versions of TLS", Medium, "RFC 8996, 4 and 5; RFC 9325, 3.1.1", "TLS 1.2 and 1.3 alone; SSL is critical, TLS 1.0 and 1.1 are high on client ports and medium on port 25", (*judge).versions},
	{"T2", "tls", "TLS 1.3 is offered", Low, "RFC 9325, 3.1.1", "a client that knows TLS 1.3 gets it", (*judge).newest},
	{"T3", "tls", "no weak cipher suites", Medium, "RFC 9325, 4.1 and 4.2", "forward secrecy and AEAD; no NULL, anonymous, EXPORT, RC4, DES or 3DES suites", (*judge).suites},
}

// versionsOf are the versions that a service takes, as far as is known, and whether all
// were asked.
func (s *Service) versionsOf() (taken []uint16, asked bool, unknown string) {
	for _, h := range s.Hellos {
		if h.Suite != 0 && !slices.Contains(taken, h.Version) {
			taken = append(taken, h.Version)
		}
		if h.Unknown != "" {
			unknown = versionName(h.Version) + ": " + h.Unknown
		}
	}
	return taken, len(s.Hellos) > 0, unknown
}

func names(versions []uint16) string {
	var list []string
	for _, v := range versions {
		list = append(list, versionName(v))
	}
	return strings.Join(list, ", ")
}

func (j *judge) versions() {
	for _, s := range j.f.Services {
		if !s.secured() && len(s.Hellos) == 0 {
			continue
		}
		taken, asked, unknown := s.versionsOf()
		if !asked {
			if s.TLS.Version < 0x0303 {
				taken = []uint16{s.TLS.Version} // the best that it has
			} else {
				j.na(s.Where(), "old versions were not asked for: that takes a connection each, with --tls-scan")
				continue
			}
		}
		old := slices.DeleteFunc(slices.Clone(taken), func(v uint16) bool { return v >= 0x0303 })
		switch {
		case len(old) > 0:
			severity := High
			if isMX(s) {
				severity = Medium
			}
			if slices.Contains(old, 0x0300) {
				severity = Critical
			}
			j.fail(s.Where(), "takes %s", names(old)).sev(severity).fix("%s", j.mend(s, "old-tls"))
		case unknown != "":
			j.unknown(s.Where(), "repeat later: it may limit how often we may connect", "not all versions could be asked for: %s", unknown)
		default:
			j.pass(s.Where(), "takes %s alone", names(taken))
		}
	}
}

func (j *judge) newest() {
	for _, s := range j.f.Services {
		switch {
		case !s.secured():
		case s.TLS.Version >= 0x0304:
			j.pass(s.Where(), "TLS 1.3, %s", suiteName(s.TLS.Suite))
		default:
			j.warn(s.Where(), "%s is the newest that it takes", versionName(s.TLS.Version)).fix("update the TLS library, or allow TLS 1.3")
		}
	}
}

func (j *judge) suites() {
	for _, s := range j.f.Services {
		if !s.secured() && len(s.Hellos) == 0 {
			continue
		}
		by := map[grade][]string{}
		add := func(version, id uint16) {
			if id != 0 {
				g := gradeOf(id)
				if name := suiteName(id); !slices.Contains(by[g], name) {
					by[g] = append(by[g], name)
				}
			}
		}
		if s.secured() {
			add(s.TLS.Version, s.TLS.Suite)
		}
		for _, h := range s.Hellos {
			add(h.Version, h.Suite)
		}
		evidence := []string{}
		for g, label := range map[grade]string{broken: "critical: ", weak: "weak: ", legacy: "CBC or DHE: "} {
			if len(by[g]) > 0 {
				evidence = append(evidence, label+strings.Join(by[g], ", "))
			}
		}
		slices.Sort(evidence)
		outside, forNow := j.outside(s)
		_, _, unknown := s.versionsOf()
		switch {
		case len(by[broken]) > 0:
			j.fail(s.Where(), "takes suites that protect nothing: %s", strings.Join(by[broken], ", ")).sev(Critical).with(evidence...).fix("%s", j.mend(s, "old-tls"))
		case len(by[weak]) > 0:
			j.warn(s.Where(), "takes suites without forward secrecy, or 3DES: %s", strings.Join(by[weak], ", ")).with(evidence...).fix("%s", j.mend(s, "old-tls"))
		case len(outside) > 0:
			f := j.warn(s.Where(), "%s does not allow %s", j.o.Profile, strings.Join(outside, ", ")).with(evidence...).fix("%s", j.mend(s, "old-tls"))
			if forNow {
				f.sev(Low)
			}
		case unknown != "":
			j.unknown(s.Where(), "repeat later: it may limit how often we may connect", "not all suites could be asked for: %s", unknown)
		case len(s.Hellos) == 0 && j.o.Profile != "":
			j.unknown(s.Where(), "gather again with --tls-scan, some dozens of connections to each port", "whether all that it takes is within %s was not asked; %s is", j.o.Profile, suiteName(s.TLS.Suite))
		case len(s.Hellos) == 0:
			j.pass(s.Where(), "agreed on %s; the others were not asked for (--tls-scan)", suiteName(s.TLS.Suite))
		case len(by[legacy]) > 0 && j.o.Profile == "":
			j.pass(s.Where(), "suites with forward secrecy; some of them CBC or DHE").with(evidence...)
		default:
			j.pass(s.Where(), "%d suites, all good", len(by[good])+len(by[legacy]))
		}
	}
}

// outside is what a service takes that the chosen profile does not allow; forNow says that
// it allows all of it for some time yet.
func (j *judge) outside(s *Service) (list []string, forNow bool) {
	i := slices.IndexFunc(profiles(), func(p profile) bool { return p.Name == j.o.Profile })
	if i < 0 {
		return nil, false
	}
	forNow = true
	add := func(version, suite uint16) {
		if what, yet := profiles()[i].beyond(version, suite); what != "" && suite != 0 {
			list, forNow = append(list, what), forNow && yet
		}
	}
	if s.secured() {
		add(s.TLS.Version, s.TLS.Suite)
	}
	for _, h := range s.Hellos {
		add(h.Version, h.Suite)
	}
	slices.Sort(list)
	return slices.Compact(list), forNow
}
