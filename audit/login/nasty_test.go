package login

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"herald/audit"
	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A login is tried with every nasty server, in every protocol and in every kind of
// protection: it ends in time and in bounds, is never said to have been well, and the
// password is not in what is kept.
func TestNastyServers(t *testing.T) {
	const (
		memory   = 4 << 20 // bytes allocated for a login, server's side included, on average
		together = 25      // servers
	)
	limits := wire.DefaultLimits
	securities := []wire.Security{wire.Plain, wire.StartTLS, wire.TLS}
	meet := func(t *testing.T, s wiretest.Server, protocol string, security wire.Security) {
		name := s.Name + ": " + protocol + ", " + string(security)
		l := Login{ID: "x", Protocol: protocol, Security: security, AnyCertificate: true, Upload: true, Connect: "192.0.2.1:80"}
		began := time.Now()
		r := Try(t.Context(), wire.Caller{Transport: wiretest.Only(s.Serve), Limits: limits}, wire.Endpoint{Addr: home}, l, alice, nil)
		if took := time.Since(began); took > limits.Whole+time.Second {
			t.Errorf("%s: it takes %s", name, took)
		}
		if len(r.Steps) == 0 || len(r.Transcript) > 12*limits.Bytes {
			t.Errorf("%s: %d steps, %d bytes of transcript", name, len(r.Steps), len(r.Transcript))
		}
		if !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.State == audit.Unknown || s.State == audit.Fail || s.State == audit.Warn }) {
			t.Errorf("%s: all is said to be well: %+v", name, r.Steps)
		}
		for _, step := range r.Steps {
			if strings.ContainsAny(step.Seen, "\x00\x1b\r\n") {
				t.Errorf("%s: raw bytes: %q", name, step.Seen)
			}
		}
		for _, secret := range alice.Secrets() {
			if strings.Contains(r.Transcript, string(secret)) {
				t.Errorf("%s: the password is in the record", name)
			}
		}
	}
	for some := range slices.Chunk(wiretest.Servers(), together) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		synctest.Test(t, func(t *testing.T) {
			var meeting sync.WaitGroup
			for _, s := range some {
				for _, protocol := range Protocols {
					for _, security := range securities {
						meeting.Go(func() { meet(t, s, protocol, security) })
					}
				}
			}
			meeting.Wait()
			time.Sleep(wiretest.Longest)
		})
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(len(some)*len(Protocols)*len(securities)); each > memory {
			t.Errorf("%d bytes are allocated for a login to %s and its like", each, some[0].Name)
		}
	}
}
