package mail

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"herald/resolve"
	"herald/wire"
	"herald/wire/wiretest"
)

// tripTo goes through one server in every role, by TLS and by STARTTLS.
func tripTo(ctx context.Context, transport wire.Transport, at netip.AddrPort, wait time.Duration) *Facts {
	var places []TripPlace
	for _, security := range []string{"plain", "tls"} {
		for _, p := range []TripPlace{{Role: "submit", Protocol: "smtp"}, {Role: "fetch", Protocol: "imap"}, {Role: "fetch", Protocol: "pop3"}, {Role: "deliver", Protocol: "smtp"}} {
			p.Host, p.Port, p.Security = at.Addr().String(), at.Port(), security
			places = append(places, p)
		}
	}
	return tripThrough(ctx, transport, places, wait)
}

func tripThrough(ctx context.Context, transport wire.Transport, places []TripPlace, wait time.Duration) *Facts {
	g := Gatherer{Caller: wire.Caller{Transport: transport}, Patience: wait, Space: -1, Records: resolve.Recorded{}}
	return g.trip(ctx, TripRequest{Who: tripAlice, Mailbox: tripAlice.User, Patience: wait, AnyCertificate: true, At: places})
}

// harmless says what is wrong with the facts of a trip through servers of which none did
// what it should.
func harmless(f *Facts) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	for _, secret := range tripAlice.Secrets() {
		if quoted, _ := json.Marshal(string(secret)); bytes.Contains(text, bytes.Trim(quoted, `"`)) {
			return errors.New("the password is in the facts")
		}
	}
	if len(text) > 1<<20 {
		return fmt.Errorf("%d bytes of facts", len(text))
	}
	j := judgeOf(context.Background(), f, resolve.NewRecorded(f.Answers), Options{})
	for _, c := range roundTripChecks {
		j.run(c)
	}
	for _, x := range j.findings {
		if x.State == Pass && x.Check != "E1" && x.Check != "E7" {
			return fmt.Errorf("%s passes: %s", x.Check, x.Text)
		}
		if strings.TrimSpace(x.Text) == "" {
			return fmt.Errorf("%s says nothing", x.Check)
		}
	}
	var out strings.Builder
	if err := errors.Join(WriteTable(&out, f, j.findings, Style{Why: true, All: true}), WriteLines(&out, j.findings)); err != nil {
		return err
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && !safe(r) }); i >= 0 {
		return fmt.Errorf("%q is shown", out.String()[i:min(len(out.String()), i+10)])
	}
	return nil
}

// Whatever a server does, a round trip through it ends in time, says no password where it may
// be read afterwards, and finds nothing well.
func TestTripThroughNastyServers(t *testing.T) {
	const wait = 10 * time.Second
	for i, some := range slices.Collect(slices.Chunk(wiretest.Servers(), 40)) {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			atNoon(t, func(t *testing.T) {
				var all sync.WaitGroup
				for _, hostile := range some {
					all.Go(func() {
						began := time.Now()
						f := tripTo(t.Context(), wiretest.Only(hostile.Serve), netip.MustParseAddrPort("192.0.2.1:1"), wait)
						if took := time.Since(began); took > 60*wait {
							t.Errorf("%s: it takes %s", hostile.Name, took)
						}
						if err := harmless(f); err != nil {
							t.Errorf("%s: %v", hostile.Name, err)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// malformed are answers that fit no protocol, or one that was not asked for.
var malformed = []string{
	"* FETCH", "* 1 FETCH", "* EXPUNGE", "* EXISTS", "* 1 FETCH (", "* 1 FETCH (BODY[] {10}", "* 1 FETCH (BODY[] {99999999999999999999}\r\nx", "* 1 FETCH (UID 1 BODY[] {4000000000}\r\nx",
	"* SEARCH x", "* SEARCH 1 2 3 4 5 6 7 8 9 10 11 12", "* ESEARCH (TAG \"T5\") UID ALL 1:4294967295", "* ESEARCH UID ALL 1:*", "* STATUS", "* CAPABILITY", "* 99999999999999999999999 EXISTS", "* -1 EXISTS",
	"* 0 EXPUNGE", "* 4294967295 EXPUNGE", "* BYE", "*", "+", "", "T1", "T99 OK", "+ idling\r\n+ idling", "* 1 EXISTS\r\n* 2 EXISTS\r\n* 3 EXISTS", strings.Repeat("(", 100000), "* 1 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 200000),
	"* 1 FETCH (UID 7 BODY[] {2}\r\nhi UID 8)", "* 1 FETCH (UID 7 BODY[HEADER.FIELDS (MESSAGE-ID)] NIL)", "* LIST (\\Junk) \"/\" INBOX", "* LIST () NIL \"\"", "* OK [UIDNEXT 0]", "* OK [UIDNEXT 4294967295]", "* OK [UIDVALIDITY x]",
	"+OK 1", "-ERR", "-ERR [IN-USE] x", "+OK -1 -1", "+OK\r\n1 x\r\n.", "+OK\r\n-5 x\r\n99999999999999999999 y\r\n.", "+OK\r\n" + strings.Repeat("1 x\r\n", 20000) + ".", "+OK\r\nMessage-ID: <x>\r\n\r\n.",
	"250", "250-x", "999 x", "334 Zm9v", "334 x", "235 yes\r\n235 yes", "354 x\r\n250 x", "421 x", "\x00\xff\xfe",
}

// protocolOf is the protocol whose answer a malformed one resembles, "" for none.
func protocolOf(wrong string) string {
	switch {
	case strings.HasPrefix(wrong, "* "), strings.HasPrefix(wrong, "T"), strings.HasPrefix(wrong, "+ "):
		return "imap"
	case strings.HasPrefix(wrong, "+OK"), strings.HasPrefix(wrong, "-ERR"):
		return "pop3"
	case len(wrong) > 2 && wrong[0] >= '2' && wrong[0] <= '9':
		return "smtp"
	}
	return ""
}

// halfway speaks each protocol as it should be spoken, but one answer of it is another. The
// message that it shows is somebody else's.
func halfway(protocol string, question int, wrong string, hear func(string)) func(net.Conn) {
	greeting := map[string]string{"smtp": "220 x ESMTP", "imap": "* OK x", "pop3": "+OK x"}[protocol]
	return func(c net.Conn) {
		c.SetDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReader(c)
		said := func(n int, text string) {
			if n == question {
				text = wrong
			}
			io.WriteString(c, text+"\r\n")
		}
		said(0, greeting)
		for n := 1; ; n++ {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.ToUpper(strings.TrimRight(line, "\r\n"))
			hear(line)
			if n == question && protocol == "imap" {
				tag, _, _ := strings.Cut(line, " ")
				io.WriteString(c, wrong+"\r\n"+tag+" OK\r\n")
				continue
			}
			said(n, answerOf(protocol, line))
		}
	}
}

func answerOf(protocol, line string) string {
	starts := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(line, w) })
	}
	switch protocol {
	case "smtp":
		switch {
		case starts("EHLO"):
			return "250-x\r\n250 AUTH PLAIN"
		case starts("AUTH"):
			return "235 x"
		case starts("DATA"):
			return "354 x"
		case line == "." || starts("MAIL", "RCPT"):
			return "250 x"
		case starts("QUIT"):
			return "221 x"
		}
		return "" // a line of the message
	case "pop3":
		switch {
		case starts("UIDL"):
			return "+OK\r\n1 a\r\n2 b\r\n."
		case starts("TOP", "RETR"):
			return "+OK\r\nSubject: private\r\nMessage-ID: <a@b>\r\n\r\nmine\r\n."
		}
		return "+OK"
	}
	tag, command, _ := strings.Cut(line, " ")
	text := map[bool]string{true: "* CAPABILITY IMAP4rev1 IDLE UIDPLUS\r\n"}[strings.HasPrefix(command, "CAPABILITY")]
	switch {
	case strings.HasPrefix(command, "SELECT"):
		text = "* 2 EXISTS\r\n* OK [UIDNEXT 3] x\r\n* OK [UIDVALIDITY 1] x\r\n"
	case strings.HasPrefix(command, "IDLE"):
		return "+ idling"
	case line == "DONE":
		return "T5 OK"
	case strings.HasPrefix(command, "UID SEARCH"):
		text = "* SEARCH 1 2\r\n"
	case strings.HasPrefix(command, "UID FETCH"):
		text = "* 1 FETCH (UID 1 BODY[] {41}\r\nSubject: private\r\nMessage-ID: <a@b>\r\n\r\n)\r\n"
	}
	return text + tag + " OK x"
}

// A server that goes wrong halfway, at any of its answers, ends its own part of a round trip;
// and no message of somebody else's is ever marked or deleted.
func TestTripGoesWrongHalfway(t *testing.T) {
	places := []TripPlace{
		{"submit", "192.0.2.1", 465, "smtp", "tls"}, {"fetch", "192.0.2.1", 993, "imap", "tls"}, {"fetch", "192.0.2.1", 995, "pop3", "tls"}, {"deliver", "192.0.2.1", 465, "smtp", "tls"},
	}
	config := newWorld(t).config
	for port, protocol := range map[uint16]string{465: "smtp", 993: "imap", 995: "pop3"} {
		for question := range 9 {
			t.Run(fmt.Sprintf("%s, answer %d", protocol, question), func(t *testing.T) {
				t.Parallel()
				atNoon(t, func(t *testing.T) {
					for _, wrong := range malformed {
						if isOf := protocolOf(wrong); isOf != "" && isOf != protocol {
							continue
						}
						hear := func(line string) {
							if strings.HasPrefix(line, "DELE") || strings.Contains(line, " STORE ") || strings.Contains(line, "EXPUNGE") {
								t.Errorf("%.40q: %q is said", wrong, line)
							}
						}
						n := &internet{servers: map[string]func(net.Conn){}}
						for _, p := range places {
							at := -1
							if p.Port == port {
								at = question
							}
							serve := halfway(p.Protocol, at, wrong, hear)
							n.servers[fmt.Sprintf("192.0.2.1:%d", p.Port)] = func(c net.Conn) { defer c.Close(); serve(tls.Server(c, config)) }
						}
						f := tripThrough(t.Context(), n, places, 10*time.Second)
						if err := harmless(f); err != nil {
							t.Errorf("%.40q: %v", wrong, err)
						}
						n.all.Wait()
					}
				})
			})
		}
	}
}

// FuzzTrip: whatever servers say, to whoever sends, fetches and deletes.
func FuzzTrip(f *testing.F) {
	f.Add("220 x\r\n250-x\r\n250 AUTH PLAIN\r\n235 x\r\n250 x\r\n250 x\r\n354 x\r\n250 x\r\n221 x\r\n")
	f.Add("* OK x\r\n* CAPABILITY IMAP4rev1 IDLE UIDPLUS\r\nT1 OK\r\nT2 OK\r\n* CAPABILITY IMAP4rev1\r\nT3 OK\r\n* 1 EXISTS\r\nT4 OK\r\n+ x\r\nT5 OK\r\n* SEARCH 1\r\nT6 OK\r\n")
	f.Add("+OK x\r\n+OK\r\n+OK\r\n+OK\r\n1 a\r\n.\r\n+OK\r\nMessage-ID: <x>\r\n\r\n.\r\n+OK\r\n")
	f.Fuzz(func(t *testing.T, words string) {
		if len(words) > 1<<15 {
			return
		}
		x := wire.Exchange{Events: []wire.Event{{Mark: '<', Data: []byte(words)}}, End: "read closed"}
		var many []wire.Exchange
		for range 40 {
			many = append(many, x)
		}
		facts := tripTo(t.Context(), &wire.Replay{Transcript: &wire.Transcript{Exchanges: many}, AnyWords: true}, netip.MustParseAddrPort("192.0.2.1:1"), 5*time.Millisecond)
		if err := harmless(facts); err != nil {
			t.Errorf("%v", err)
		}
	})
}
