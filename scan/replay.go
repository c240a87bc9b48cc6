package scan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"herald/probes"
	"herald/wire"
)

// replayAddress is the server of a transcript that does not name its own: what is recorded
// for tests is recorded on loopback, and some protocols say the address.
var replayAddress = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// ReplayTarget is the target of a transcript: the one that its first note names ("herald
// scan TARGET"), or else what the record itself tells: a line "= port 5269", and, like a
// user's hint, the protocol of "= confirmed xmpp" or the probe whose first words the record
// has. Without any of them it is a nameless one on port 0, of which nothing is expected. A
// record that begins with TLS was opened with it.
func ReplayTarget(t *wire.Transcript) Target {
	target, named := notedTarget(t)
	if !named {
		target = Target{Host: replayAddress.String(), Addr: replayAddress}
		hint(&target, t)
	}
	if target.Security == "" && beginsWithTLS(t) {
		target.Security = wire.TLS
	}
	return target
}

func notedTarget(t *wire.Transcript) (Target, bool) {
	for _, note := range t.Notes {
		text, ok := strings.CutPrefix(note, "herald scan ")
		if !ok {
			continue
		}
		spec, err := ParseSpec(text)
		if err != nil || len(spec.Ports) != 1 {
			continue
		}
		for target := range spec.Targets(nil) {
			return target, true
		}
	}
	return Target{}, false
}

// hint reads where a conversation took place, and what was asked there, from the record.
func hint(target *Target, t *wire.Transcript) {
	for _, line := range t.Conclusions {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "port":
			if n, err := strconv.ParseUint(rest, 10, 16); err == nil {
				target.Port = uint16(n)
			}
		case "confirmed", "declined", "recognised":
			if probes.Named(rest) != nil {
				target.Protocol = rest
			}
		}
	}
	found := probes.Named(target.Protocol)
	p := opener(t, *target)
	if p != nil {
		target.Protocol = p.Info().Name
	} else {
		p = found
	}
	if p == nil || target.Port != 0 {
		return
	}
	ports := slices.Clip(p.Info().Ports)
	if found != nil {
		ports = append(ports, found.Info().Ports...)
	}
	security := wire.Plain
	if beginsWithTLS(t) {
		security = wire.TLS
	}
	for _, usual := range ports {
		if usual.Security == security {
			target.Port = usual.Number
			return
		}
	}
}

// opener is the probe whose first words are those of the record; nil where the server speaks
// first, or no probe says such words. The hinted one is asked before the others.
func opener(t *wire.Transcript, hinted Target) probes.Probe {
	if len(t.Exchanges) == 0 {
		return nil
	}
	events := t.Exchanges[0].Events
	security := wire.Plain
	if beginsWithTLS(t) {
		security, events = wire.TLS, events[1:]
	}
	if len(events) == 0 || events[0].Mark != '>' {
		return nil
	}
	candidates := probes.All()
	var usual []probes.Port // of the protocol that was found, which may be a sibling of the probe's
	if p := probes.Named(hinted.Protocol); p != nil {
		candidates = append([]probes.Probe{p}, candidates...)
		usual = p.Info().Ports
	}
	for _, p := range candidates {
		port := hinted.Port
		if ports := append(slices.Clip(p.Info().Ports), usual...); port == 0 && len(ports) > 0 {
			port = ports[0].Number
		}
		if p.Info().Asks && saysThat(p, t, wire.Endpoint{Addr: netip.AddrPortFrom(replayAddress, port), Security: security}) {
			return p
		}
	}
	return nil
}

// saysThat plays the first conversation of a record to a probe.
func saysThat(p probes.Probe, t *wire.Transcript, e wire.Endpoint) bool {
	c, err := (&wire.Caller{Transport: &wire.Replay{Transcript: t}}).Open(context.Background(), e)
	if c == nil || err != nil {
		return false
	}
	conversation := &call{Conversation: c, seen: probes.Observe(c)}
	err = converse(conversation, p)
	c.Close()
	received, sent := c.Traffic()
	return received > 0 || sent > 0 && !errors.Is(err, wire.ErrOtherWords)
}

func beginsWithTLS(t *wire.Transcript) bool {
	return len(t.Exchanges) > 0 && len(t.Exchanges[0].Events) > 0 && t.Exchanges[0].Events[0].Mark == '!'
}

// Replay leads a recorded endpoint through the same walk as [Scanner.Look], without a
// network. Of the options, those that say how to look count: signatures, probes, manners.
func Replay(ctx context.Context, o Options, t *wire.Transcript, target Target) *Service {
	o.Explain = true
	return play(ctx, o, &wire.Replay{Transcript: t}, target)
}

// Heard is Replay for a record that another program made: whatever the walk asks stands for
// what was asked then.
func Heard(ctx context.Context, o Options, t *wire.Transcript, target Target) *Service {
	return play(ctx, o, &wire.Replay{Transcript: t, AnyWords: true}, target)
}

func play(ctx context.Context, o Options, r *wire.Replay, target Target) *Service {
	addr := target.Addr
	if !addr.IsValid() {
		addr = replayAddress
	}
	e := wire.Endpoint{Addr: netip.AddrPortFrom(addr, target.Port)}
	if !target.Addr.IsValid() {
		e.Name = target.Host
	}
	o.Caller.Transport = r
	return New(o).Look(ctx, target, e)
}

// Concludes says whether a transcript's conclusion ("product Dovecot") holds of a service,
// and what holds instead. The probe is the one in whose folder the transcript lies; see
// package probes' testdata for the words.
func Concludes(s *Service, probe, line string) (string, bool) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "port", "rivals":
		return "", true
	case "confirmed":
		return fmt.Sprintf("%s, confirmed %v", s.Protocol, s.Confirmed), s.Confirmed && s.Protocol == rest
	case "declined":
		return fmt.Sprintf("%s, declined %v", s.Protocol, s.Declined), s.Declined
	case "other":
		return s.Protocol, s.Protocol != probe
	case "failure":
		for _, o := range s.Seen {
			if o.Failure != nil && string(o.Failure.Op)+" "+string(o.Failure.Kind) == rest {
				return "", true
			}
		}
		return fmt.Sprint(s.Failure), false
	case "evidence":
		key, text, _ := strings.Cut(rest, " ")
		var got []string
		for _, e := range s.Evidence() {
			if e.Key == key {
				got = append(got, wire.Escape(e.Text))
			}
		}
		return strings.Join(got, " and "), slices.Contains(got, text)
	}
	return s.Claim(word), s.Claim(word) == rest
}
