//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// kase is one thing to be measured.
type kase struct {
	name    string
	port    int
	floor   int // port of the floor's targets: another where it cannot speak what is spoken there; 0 for no floor
	unknown bool
	must    float64 // ratio to the floor; 0 for none
	n       int     // endpoints; 0 is as the flags say
	workers int
	delay   time.Duration
	split   int // herald and the farm run as so many processes, a shard each; 0 is one
	large   bool
	flags   []string                // of herald scan
	check   func(m measured) string // what must hold besides, "" where it does; may be nil
}

var cases = []kase{
	{name: "smtp", port: 25, floor: 25, must: 2},
	{name: "ftp", port: 21, floor: 21, must: 2},
	{name: "imap", port: 143, floor: 143, must: 2},
	{name: "pop3", port: 110, floor: 110, must: 2},
	{name: "nntp", port: 119, floor: 119, must: 2},
	{name: "http", port: 80, floor: 80, must: 2.2},
	{name: "proxy", port: 3128, floor: 3128, must: 2.2},
	{name: "unknown", port: portMixed, floor: portMixed, unknown: true, must: 2.2, check: func(m measured) string {
		if per := m.connections / float64(m.n); per > 1.2 {
			return fmt.Sprintf("%.2f connections an endpoint, wanted 1.2", per)
		}
		if m.right.all < 0.99 {
			return fmt.Sprintf("%.1f %% right, wanted 99", 100*m.right.all)
		}
		return ""
	}},
	{name: "starttls", port: portStartTLS, floor: 25, must: 12, n: 5000},
	{name: "starttls-pq", port: portStartTLS, floor: 25, n: 5000, flags: []string{"--tls-pq"}},
	{name: "closing", port: portCloses},
	{name: "garbage", port: portNoise},
	{name: "some-silent", port: portSome, workers: 1000, check: func(m measured) string {
		if most := silentDeadline + time.Second; m.wall > most {
			return fmt.Sprintf("%s, wanted %s: the deadline of a silent port and a second", m.wall.Round(time.Millisecond), most)
		}
		return ""
	}},
	{name: "in-flight-5000", port: 25, n: 20000, workers: 5000, delay: 200 * time.Millisecond, check: atMost(90)},
	{name: "in-flight-50000", port: 25, n: 100000, workers: 50000, delay: 5 * time.Second, split: 3, large: true, check: func(m measured) string {
		if m.open < 50000 || m.rss > 1024 {
			return fmt.Sprintf("%.0f open at most, wanted 50000; %.0f MB, wanted 1024", m.open, m.rss)
		}
		return ""
	}},
	{name: "start", port: 25, n: 1, check: func(m measured) string {
		if m.wall > 20*time.Millisecond {
			return fmt.Sprintf("%s, wanted 20ms", m.wall)
		}
		return ""
	}},
	{name: "targets-1000", port: 25, n: 1000, workers: 256},
	{name: "targets-100000", port: 25, n: 100000, workers: 256},
	{name: "targets-1000000", port: 25, n: 1000000, workers: 256, large: true},
}

// silentDeadline is how long herald stays with a port that greets by custom and is silent.
const silentDeadline = 8 * time.Second

func atMost(megabytes float64) func(measured) string {
	return func(m measured) string {
		if m.rss > megabytes {
			return fmt.Sprintf("%.0f MB, wanted %.0f", m.rss, megabytes)
		}
		return ""
	}
}

func caseNames() (names []string) {
	for _, k := range cases {
		names = append(names, k.name)
	}
	return names
}

func (o *options) wants(k kase) bool {
	if len(o.only) > 0 {
		return slices.Contains(o.only, k.name)
	}
	return !k.large || o.large
}
