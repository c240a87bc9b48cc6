package audit

import (
	"slices"
	"strings"

	"herald/wire"
)

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
