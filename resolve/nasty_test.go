package resolve

import (
	"bytes"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"herald/wire"
	"herald/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A document is fetched from every nasty server, in the clear and inside TLS: it ends in time
// and in bounds, redirects are told and not followed, what is compressed stays so.
func TestFetchFromNastyServers(t *testing.T) {
	const (
		memory   = 2 << 20 // bytes allocated for a document, server's side included, on average
		together = 30      // servers
	)
	for some := range slices.Chunk(wiretest.Servers(), together) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		synctest.Test(t, func(t *testing.T) {
			var meeting sync.WaitGroup
			for _, s := range some {
				for _, scheme := range []string{"http", "https"} {
					meeting.Go(func() { fetchFrom(t, s, scheme) })
				}
			}
			meeting.Wait()
			time.Sleep(wiretest.Longest)
		})
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(2*len(some)); each > memory {
			t.Errorf("%d bytes are allocated for a document of %s and its like", each, some[0].Name)
		}
	}
}

func fetchFrom(t *testing.T, s wiretest.Server, scheme string) {
	const limit = 15 * time.Second // where nobody says otherwise
	names := Override{Names: map[string][]netip.Addr{"nasty.test": {netip.MustParseAddr("192.0.2.1")}}}
	name := s.Name + ": " + scheme
	began := time.Now()
	got := Fetcher{Records: names, Transport: wiretest.Only(s.Serve)}.Get(t.Context(), scheme+"://nasty.test/x")
	if took := time.Since(began); took > limit {
		t.Errorf("%s: it takes %s", name, took)
	}
	if len(got.Body) > MostBody || len(got.Type) > 200 || len(got.Location) > 500 {
		t.Errorf("%s: %d bytes of body, %d of type, %d of location", name, len(got.Body), len(got.Type), len(got.Location))
	}
	if got.Status == 0 && got.Failure == nil {
		t.Errorf("%s: neither an answer nor a failure", name)
	}
	if f := got.Failure; f != nil && (f.Kind == wire.Internal || f.Kind == wire.Canceled) {
		t.Errorf("%s: %v", name, f)
	}
	if bytes.HasPrefix(got.Body, make([]byte, 100)) {
		t.Errorf("%s: what was compressed is not any more", name)
	}
}
