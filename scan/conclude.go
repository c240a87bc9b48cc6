package scan

import (
	"herald/fingerprint"
	"herald/wire"
)

// conclude has the signatures say what was heard, and compares with what is promised.
func (w *walk) conclude() {
	s := w.service
	for _, o := range s.Seen { // a defect of ours is told, whatever was found besides
		if o.Failure != nil && o.Failure.Kind == wire.Internal {
			s.Failure = o.Failure
		}
	}
	s.Claims = w.signatures.Match(s.Evidence())
	if !s.Confirmed {
		if s.Doubt = w.doubt(s.Seen); s.Doubt != "" {
			s.Protocol = "" // it was only recognised, and so could others have been
			for i := range s.Claims {
				s.Claims[i].Certainty = min(s.Claims[i].Certainty, doubtful)
			}
		}
	}
	if s.Protocol == "" && s.Doubt == "" {
		if named, ok := fingerprint.Best(s.Claims, "protocol"); ok {
			s.Protocol = named.Value
		}
	}
	if s.Security == "" && w.words {
		s.Security = wire.Plain
		if s.TLS() != nil {
			s.Security = wire.TLS
		}
	}
	s.Verdict = w.verdict()
}

func (w *walk) verdict() Verdict {
	s := w.service
	switch {
	case s.Protocol != "":
		for _, e := range s.Expected {
			if e.Protocol == s.Protocol && (e.Security == wire.TLS) == (s.Security == wire.TLS) {
				return AsExpected
			}
		}
		return Unexpected
	case w.words:
		return Unknown
	}
	if s.Failure == nil || len(s.Seen) > 0 && s.Seen[0].Failure != nil && s.Seen[0].Failure.Op != wire.OpDial {
		return Silent
	}
	switch s.Failure.Kind {
	case wire.Refused, wire.Reset:
		return Closed
	case wire.Timeout, wire.Unreachable:
		return Filtered
	case wire.Excluded, wire.Canceled, wire.Exhausted, wire.Internal:
		return Untried
	}
	return Silent
}
