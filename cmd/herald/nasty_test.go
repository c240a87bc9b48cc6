package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"herald/report"
	"herald/scan"
	"herald/wire"
	"herald/wire/wiretest"
)

// nasty is a server that would waste the user's time or memory, and what he is told of it.
type nasty struct {
	name    string
	target  string // over the port
	serve   func(net.Conn)
	verdict scan.Verdict
	failure string // operation and kind
	says    string // protocol
}

// What the user gets of them: one line each, soon.
func TestScanOfNastyServers(t *testing.T) {
	flood := func(c net.Conn) {
		piece := bytes.Repeat([]byte("a"), 1<<16)
		for range 100 << 20 / len(piece) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
	for _, n := range []nasty{
		{name: "100 MB without a line end", target: "127.0.0.1:%d", serve: flood, verdict: scan.Unknown},
		{name: "100 MB without a line end, where SMTP is meant", target: "smtp://127.0.0.1:%d", serve: flood, verdict: scan.Unknown},
		{name: "100 MB behind SMTP's greeting", target: "127.0.0.1:%d", verdict: scan.Unexpected, failure: "read limit", says: "smtp", serve: func(c net.Conn) {
			c.Write([]byte("220 mx.example.org ESMTP Postfix\r\n"))
			c.Read(make([]byte, 100))
			flood(c)
		}},
		{name: "closes at once", target: "127.0.0.1:%d", serve: func(net.Conn) {}, verdict: scan.Silent, failure: "read closed"},
		{name: "answers TLS with HTTP", target: "https://127.0.0.1:%d", verdict: scan.Unexpected, says: "http", serve: func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		}},
	} {
		t.Run(n.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n.isTold(t, "60s") // of a busy machine: it ends by itself
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
				t.Errorf("%d bytes were allocated", grown)
			}
		})
	}
}

// Who never speaks is given up when his time is over.
func TestScanOfSilentServers(t *testing.T) {
	t.Parallel()
	hold := func(c net.Conn) { c.Read(make([]byte, 1<<16)); c.Read(make([]byte, 1)) }
	for _, target := range []string{"127.0.0.1:%d", "smtp://127.0.0.1:%d"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			nasty{target: target, serve: hold, verdict: scan.Silent, failure: "read timeout"}.isTold(t, "3s")
		})
	}
}

func (n nasty) isTold(t *testing.T, timeout string) {
	e := wiretest.Start(t, n.serve)
	var out, trouble bytes.Buffer
	began := time.Now()
	status := run(t.Context(), []string{"scan", fmt.Sprintf(n.target, e.Addr.Port()), "--timeout", timeout, "--format", "jsonl", "-q"}, nil, &out, &trouble)
	if took := time.Since(began); took > 30*time.Second || status != exitDone {
		t.Errorf("exit status %d after %s: %s", status, took, &trouble)
	}
	var r report.Record
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %q", err, out.Bytes())
	}
	failure := ""
	if f := r.Failure; f != nil {
		failure = fmt.Sprintf("%s %s", f.Op, f.Kind)
	}
	if r.Verdict != n.verdict || r.Protocol != n.says || failure != n.failure {
		t.Errorf("it is told as %s %q, failure %q, not %s %q, %q", r.Verdict, r.Protocol, failure, n.verdict, n.says, n.failure)
	}
	if r.Received > 6*wire.DefaultLimits.Bytes {
		t.Errorf("%d bytes were taken", r.Received)
	}
}
