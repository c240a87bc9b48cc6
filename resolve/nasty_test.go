package resolve

import (
	"bytes"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
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
		limit    = 500 * time.Millisecond
		slack    = 30 * time.Second // the machine may be busy
		memory   = 2 << 20          // bytes allocated for a document, server's side included, on average
		together = 30               // servers
	)
	names := Override{Names: map[string][]netip.Addr{"nasty.test": {netip.MustParseAddr("127.0.0.1")}}}
	for some := range slices.Chunk(wiretest.Servers(), together) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var meeting sync.WaitGroup
		for _, s := range some {
			e := wiretest.Start(t, s.Serve)
			for _, scheme := range []string{"http", "https"} {
				meeting.Go(func() {
					name := s.Name + ": " + scheme
					began := time.Now()
					got := Fetcher{Records: names, Timeout: limit}.Get(t.Context(), fmt.Sprintf("%s://nasty.test:%d/x", scheme, e.Addr.Port()))
					if took := time.Since(began); took > limit+slack {
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
				})
			}
		}
		meeting.Wait()
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / uint64(2*len(some)); each > memory {
			t.Errorf("%d bytes are allocated for a document of %s and its like", each, some[0].Name)
		}
	}
}
