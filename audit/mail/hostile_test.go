package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"herald/wire"
	"herald/wire/wiretest"
)

// Whatever a server does, a visit ends in time, in bounds, and in findings that can be
// written.
func TestHostileServers(t *testing.T) {
	roles := []Service{{Port: 25, Protocol: "smtp"}, {Port: 143, Protocol: "imap"}, {Port: 110, Protocol: "pop3"}, {Port: 4190, Protocol: "sieve"}, {Port: 993, Protocol: "imap"}}
	var all sync.WaitGroup
	for _, hostile := range wiretest.Servers() {
		at := wiretest.Start(t, hostile.Serve)
		for _, role := range roles {
			all.Go(func() { // most of the time is spent waiting
				if err := meet(t.Context(), at.Addr, role); err != nil {
					t.Errorf("%s as %s on %d: %v", hostile.Name, role.Protocol, role.Port, err)
				}
			})
		}
	}
	all.Wait()
}

// meet gathers from a server and judges it.
func meet(ctx context.Context, at netip.AddrPort, role Service) error {
	const limit = 300 * time.Millisecond
	g := Gatherer{Patience: limit, Space: -1, Injection: true, Caller: wire.Caller{
		Transport: towards{at}, Limits: wire.Limits{Dial: time.Minute, TLS: limit, Greeting: limit, Reply: limit, Whole: 4 * limit, Bytes: 64 << 10},
	}}
	facts, err := g.Gather(ctx, Question{Services: []string{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), role.Port).String()}})
	if err != nil {
		return err
	}
	var saved, table, lines bytes.Buffer
	findings := Judge(facts, Options{})
	if err := errors.Join(facts.Write(&saved), WriteTable(&table, facts, findings, Style{Why: true, All: true}), WriteLines(&lines, findings)); err != nil {
		return err
	}
	if saved.Len() > 1<<20 {
		return fmt.Errorf("%d bytes of facts", saved.Len())
	}
	for _, out := range []string{table.String(), lines.String()} {
		if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !safe(r) }); i >= 0 {
			return fmt.Errorf("an unprintable character gets out: %q", out[max(0, i-40):min(len(out), i+40)])
		}
	}
	return nil
}

// towards connects to one place, whatever is asked.
type towards struct{ to netip.AddrPort }

func (d towards) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	e.Addr = d.to
	return wire.Network{}.Dial(ctx, e)
}

// Facts of any content are judged without a panic.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"format":1,"question":{"domain":"a.test"},"answers":[{"name":"a.test.","type":"TXT","status":"found","records":["a.test. 60 IN TXT \"v=spf1 a mx include:a.test redirect=a.test ip4:1 +all\""]},{"name":"_dmarc.a.test.","type":"TXT","status":"found","records":["_dmarc.a.test. 60 IN TXT \"v=DMARC1; p=; rua=mailto:x@b.test\""]},{"name":"a.test.","type":"MX","status":"found","records":["a.test. 60 IN MX 10 mx.a.test."]},{"name":"a.test.","type":"CAA","status":"found","records":["a.test. 60 IN CAA 0 issue \"\""]}],"services":[{"host":"mx.a.test","addr":"192.0.2.1","port":25,"protocol":"smtp","security":"plain","asked":["mx 10"],"steps":[{"step":"greeting","reply":"220","ms":1},{"step":"ehlo","reply":"250","ms":1},{"step":"starttls","reply":"220\r\n"}],"tls":{"version":772,"chain":["x"]}}],"documents":[{"role":"mta-sts","url":"https://mta-sts.a.test/","status":200,"body":"version: STSv1"}]}`))
	f.Add([]byte(`{"format":1,"question":{"services":["x:1"]},"services":[{"protocol":"imap","steps":[{"step":"greeting","reply":"* OK"},{"step":"capability","reply":"* CAPABILITY"},{"step":"id","reply":"* ID "}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 20_000 {
			return
		}
		facts, err := ReadFacts("facts", bytes.NewReader(b))
		if err != nil {
			return
		}
		findings := Judge(facts, Options{})
		var out bytes.Buffer
		if err := WriteTable(&out, facts, findings, Style{Why: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(findings); err != nil {
			t.Fatal(err)
		}
	})
}
