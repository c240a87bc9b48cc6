package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Where one half of the way is broken, the finding names the stage.
var tripFaults = []struct {
	name  string
	plant func(t *testing.T, w *world, o *postOffice)
	want  string // state and check of what is no pass, sorted
	says  string // is in one of their texts
	kept  int    // probes that stay behind in INBOX
}{
	{"nothing is wrong", func(*testing.T, *world, *postOffice) {}, "", "", 0},
	{"465 is closed", func(t *testing.T, w *world, o *postOffice) {
		w.net.servers["192.0.2.25:465"] = nil
		delete(w.servers, 465)
	}, "fail E1", "no connection fails: dial refused", 0},
	{"TLS fails on 587", func(t *testing.T, w *world, o *postOffice) { o.refuse["STARTTLS"] = "454 4.7.0 not now" }, "unknown E1", "TLS is refused: 454 4.7.0 not now", 0},
	{"the login is refused", func(t *testing.T, w *world, o *postOffice) { o.refuse["AUTH"] = "535 5.7.8 no" }, "fail E1", "the login is refused: 535 5.7.8 no", 0},
	{"the login is put off", func(t *testing.T, w *world, o *postOffice) { o.refuse["AUTH"] = "454 4.7.0 later" }, "unknown E1", "the login is refused: 454", 0},
	{"the sender is refused", func(t *testing.T, w *world, o *postOffice) { o.refuse["MAIL"] = "553 5.7.1 not yours" }, "fail E1", "MAIL FROM is refused: 553 5.7.1 not yours", 0},
	{"the recipient is refused", func(t *testing.T, w *world, o *postOffice) { o.refuse["RCPT"] = "550 5.1.1 unknown" }, "fail E1", "RCPT TO is refused: 550 5.1.1 unknown", 0},
	{"DATA is refused", func(t *testing.T, w *world, o *postOffice) { o.refuse["DATA"] = "554 5.5.1 no" }, "fail E1", "DATA is refused: 554 5.5.1 no", 0},
	{"the message is refused", func(t *testing.T, w *world, o *postOffice) { o.refuse["message"] = "554 5.7.1 spam" }, "fail E1, unknown E5", "the message is refused: 554 5.7.1 spam", 0},
	{"submission falls silent", func(t *testing.T, w *world, o *postOffice) {
		o.hangs, w.gatherer.Patience = "DATA", 2*time.Second
	}, "fail E1, fail E5", "DATA fails: read timeout", 0},
	{"what was accepted never comes", func(t *testing.T, w *world, o *postOffice) {
		o.drop, w.gatherer.RoundTrip.Patience = true, 100*time.Millisecond
	}, "fail E2, fail E5, warn E7", "accepted, and not delivered within 100ms: 250 2.0.0 Ok: queued as 4711", 0},
	{"what was accepted comes back", func(t *testing.T, w *world, o *postOffice) {
		o.bounce, w.gatherer.RoundTrip.Patience = "552 5.2.2 mailbox full", 100*time.Millisecond
	}, "fail E2, fail E5, warn E7", "accepted, and then bounced: Undelivered Mail: 5.2.2, smtp; 552 5.2.2 mailbox full", 3},
	{"it is taken for junk", func(t *testing.T, w *world, o *postOffice) {
		o.folder, w.gatherer.RoundTrip.Patience = "Junk", 100*time.Millisecond
	}, "warn E2", "it came into Junk", 0},
	{"it comes twice", func(t *testing.T, w *world, o *postOffice) { o.copies = 2 }, "warn E2, warn E3", "it came 2 times", 0},
	{"a footer is added", func(t *testing.T, w *world, o *postOffice) {
		o.alter = func(raw []byte) []byte { return append(raw, "-- \r\nan advertisement\r\n"...) }
	}, "fail E2, fail E3, fail E6", `lines were added at the end: "-- "`, 0},
	{"From is quoted", func(t *testing.T, w *world, o *postOffice) {
		o.alter = func(raw []byte) []byte { return bytes.Replace(raw, []byte("\r\nFrom the"), []byte("\r\n>From the"), 1) }
	}, "fail E2, fail E3, fail E6", `was "From the beginning of a line" and is ">From the beginning of a line"`, 0},
	{"a blank line is added at the end", func(t *testing.T, w *world, o *postOffice) {
		o.alter = func(raw []byte) []byte { return append(raw, "\r\n"...) }
	}, "warn E2, warn E3", "ends of lines or blank lines", 0},
	{"the Message-ID is changed", func(t *testing.T, w *world, o *postOffice) {
		o.alter = func(raw []byte) []byte {
			return bytes.Replace(raw, []byte("Message-ID: <"), []byte("Message-ID: <x"), 1)
		}
		o.unsigned, w.gatherer.RoundTrip.Patience = true, 100*time.Millisecond
	}, "unknown E6, warn E6", "1 field of the header changed", 0},
	{"nobody signs", func(t *testing.T, w *world, o *postOffice) { o.unsigned = true }, "unknown E6", "no DKIM signature", 0},
	{"the DKIM key is another", func(t *testing.T, w *world, o *postOffice) { w.replace(t, "p=11qY", "p=22qY") }, "fail E6", "the DKIM signature does not hold", 0},
	{"the author's address is told", func(t *testing.T, w *world, o *postOffice) {
		o.hop = "from [127.0.0.1] by mx1.good.test with ESMTPSA id 1"
	}, "warn E6", "every recipient reads the address of its author", 0},
	{"Received tells no login", func(t *testing.T, w *world, o *postOffice) { o.hop = "from x by mx1.good.test with ESMTP id 1" }, "warn E6", `"with ESMTP"`, 0},
	{"IMAP refuses the login", func(t *testing.T, w *world, o *postOffice) { o.wrap = withoutUsers }, "fail E2", "the login is refused: NO [AUTHENTICATIONFAILED]", 0},
	{"POP3 refuses the login", func(t *testing.T, w *world, o *postOffice) {
		o.popDoes = answering("PASS", "-ERR [AUTH] no\r\n")
	}, "fail E3", "the login is refused: -ERR [AUTH] no", 0},
	{"POP3 shows nothing of it", func(t *testing.T, w *world, o *postOffice) {
		o.popDoes = answering("UIDL", "+OK\r\n.\r\n")
		w.gatherer.RoundTrip.Patience = 2 * time.Second
	}, "fail E3", "it has come, and is not shown here: IMAP on mx1.good.test:993", 0},
	{"POP3 shows another body", func(t *testing.T, w *world, o *postOffice) {
		o.popDoes = func(line string) string {
			var n int
			if _, err := fmt.Sscanf(line, "RETR %d", &n); err != nil {
				return ""
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			return "+OK\r\n" + string(dotted(bytes.ReplaceAll(o.pop[n-1].raw, []byte("a dot"), []byte("a spot"))))
		}
	}, "fail E3", `".begins with a spot"`, 0},
	{"POP3 is locked for a while", func(t *testing.T, w *world, o *postOffice) { o.popFirst = 2 }, "", "", 0},
	{"POP3 alone shows it", func(t *testing.T, w *world, o *postOffice) {
		o.popOnly, w.gatherer.RoundTrip.Patience = true, 100*time.Millisecond
	}, "fail E2", "it has come, and is not shown here: POP3 on mx1.good.test:995", 0},
	{"there is no IMAP", func(t *testing.T, w *world, o *postOffice) { w.without(993, 143) }, "", "", 0},
	{"there is no POP3", func(t *testing.T, w *world, o *postOffice) { w.without(995, 110) }, "", "", 0},
	{"there is no way into the mailbox", func(t *testing.T, w *world, o *postOffice) {
		o.wrap = withoutUsers
		o.popDoes = answering("PASS", "-ERR [AUTH] no\r\n")
	}, "fail E2, fail E3, unknown E1, unknown E5", "the login is accepted; nothing was sent: the mailbox did not open anywhere", 0},
	{"the certificate is of an authority that nobody trusts", func(t *testing.T, w *world, o *postOffice) {
		w.gatherer.RoundTrip.Roots = w.options.Roots.Clone()
		w.gatherer.RoundTrip.Roots = newWorld(t).options.Roots
	}, "unknown E1, unknown E2, unknown E3, unknown E5", "no password is said", 0},
	{"the server is outside of the domain, and the DNS is not signed", func(t *testing.T, w *world, o *postOffice) {
		w.zone = strings.ReplaceAll(strings.ReplaceAll(w.zone, "mx1.good.test.", "mx1.elsewhere.test."), "\n@ IN DNSKEY", "\n; ") +
			"elsewhere.test. 60 IN SOA a. b. 1 2 3 4 5\nmx1.elsewhere.test. 60 IN A 192.0.2.25\n"
	}, "unknown E1, unknown E2, unknown E3, unknown E5", "only an unsigned answer of the DNS names mx1.elsewhere.test", 0},
	{"it cannot be deleted", func(t *testing.T, w *world, o *postOffice) {
		o.wrap = func(s imapserver.Session) imapserver.Session { return readOnly{s} }
		o.popDoes = answering("DELE", "-ERR no\r\n")
	}, "fail E7", "it could not be deleted: UID EXPUNGE is refused: NO it stays", 3},
	{"IMAP cannot delete one message alone", func(t *testing.T, w *world, o *postOffice) {
		o.caps = imap.CapSet{imap.CapIMAP4rev1: {}}
	}, "", "", 0},
	{"IMAP cannot delete, and there is no POP3", func(t *testing.T, w *world, o *postOffice) {
		o.caps = imap.CapSet{imap.CapIMAP4rev1: {}}
		w.without(995, 110)
	}, "fail E7", "the server has no UIDPLUS", 3},
	{"a search gives messages of others, too", func(t *testing.T, w *world, o *postOffice) {
		o.wrap = func(s imapserver.Session) imapserver.Session { return foundAll{s} }
	}, "", "", 0},
	{"unique ids of POP3 are none", func(t *testing.T, w *world, o *postOffice) {
		o.popLies = true
		for i := range o.pop {
			o.pop[i].uid = "uid"
		}
		w.without(993, 143)
	}, "", "", 0},
	{"POP3 says that it deletes, and does not", func(t *testing.T, w *world, o *postOffice) {
		o.popKeeps = true
		w.without(993, 143)
	}, "fail E7", "DELE and QUIT were answered with +OK, and it is still there", 3},
	{"strangers are put off", func(t *testing.T, w *world, o *postOffice) {
		w.net.servers["192.0.2.25:25"] = (&server{greeting: "220 mx1.good.test ESMTP\r\n", replies: map[string]string{
			"EHLO": "250 mx1.good.test\r\n", "MAIL": "250 ok\r\n", "RCPT": "451 4.7.1 greylisted\r\n", "QUIT": "221 bye\r\n", "RSET": "250 ok\r\n"}}).serve
	}, "unknown E5", "RCPT TO is refused: 451 4.7.1 greylisted", 0},
	{"the exchanger does not know the mailbox", func(t *testing.T, w *world, o *postOffice) {
		w.net.servers["192.0.2.25:25"] = (&server{greeting: "220 mx1.good.test ESMTP\r\n", replies: map[string]string{
			"EHLO": "250 mx1.good.test\r\n", "MAIL": "250 ok\r\n", "RCPT": "550 5.1.1 unknown\r\n", "QUIT": "221 bye\r\n", "RSET": "250 ok\r\n"}}).serve
	}, "fail E5", "RCPT TO is refused: 550 5.1.1 unknown", 0},
}

// without closes ports, and takes the promises about ports away.
func (w *world) without(ports ...uint16) {
	for _, port := range ports {
		w.net.servers[fmt.Sprintf("192.0.2.25:%d", port)] = nil
		delete(w.servers, port)
	}
	w.srvless()
}

// withoutUsers is a server that knows no user.
func withoutUsers(s imapserver.Session) imapserver.Session { return noLogin{s} }

type noLogin struct{ imapserver.Session }

func (noLogin) Login(string, string) error { return imapserver.ErrAuthFailed }

// readOnly refuses to delete.
type readOnly struct{ imapserver.Session }

func (readOnly) Expunge(*imapserver.ExpungeWriter, *imap.UIDSet) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Text: "it stays"}
}

// foundAll answers every search with all messages.
type foundAll struct{ imapserver.Session }

func (f foundAll) Search(kind imapserver.NumKind, _ *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	return f.Session.Search(kind, &imap.SearchCriteria{}, o)
}

func answering(command, reply string) func(string) string {
	return func(line string) string {
		if strings.HasPrefix(line, command) {
			return reply
		}
		return ""
	}
}

func TestRoundTrip(t *testing.T) {
	for _, f := range tripFaults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			atNoon(t, func(t *testing.T) {
				w := newWorld(t)
				o := newPostOffice(t, w)
				f.plant(t, w, o)
				facts := w.gather(t)
				var words, texts []string
				for _, x := range Judge(facts, w.options) {
					if x.Area != tripArea {
						continue
					}
					// How long it takes is the machine's affair here; see TestTripTimes.
					if key := string(x.State) + " " + x.Check; x.State != Pass && x.State != NA && x.Check != "E4" {
						texts = append(texts, x.Text)
						if !slices.Contains(words, key) {
							words = append(words, key)
						}
					}
					t.Logf("%s %s %s %s: %s %q", x.State, x.Severity, x.Check, x.Where, x.Text, x.Evidence)
				}
				slices.Sort(words)
				if got := strings.Join(words, ", "); got != f.want {
					t.Errorf("found %s; want %s", got, f.want)
				}
				if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, f.says) }) && f.says != "" {
					t.Errorf("nothing says %q: %q", f.says, texts)
				}
				text, err := json.Marshal(facts)
				if err != nil {
					t.Fatal(err)
				}
				for _, secret := range tripAlice.Secrets() {
					quoted, _ := json.Marshal(string(secret))
					if bytes.Contains(text, bytes.Trim(quoted, `"`)) {
						t.Error("the password is in the facts")
					}
				}
				o.untouched(t, f.kept)
				var again Facts
				if err := json.Unmarshal(text, &again); err != nil {
					t.Fatal(err)
				}
				if a, b := Judge(facts, w.options), Judge(&again, w.options); fmt.Sprint(a) != fmt.Sprint(b) {
					t.Error("saved facts give another verdict")
				}
			})
		})
	}
}

// untouched says that the owner's messages are all there, and as many probes as must be.
func (o *postOffice) untouched(t *testing.T, probes int) {
	t.Helper()
	have := o.messages(t)
	for i, text := range theirs {
		if !slices.Contains(have, text) {
			t.Errorf("message %d of the mailbox's owner is gone", i+1)
		}
	}
	if n := len(have) - len(theirs); n != probes {
		t.Errorf("%d messages stay behind, want %d", n, probes)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, text := range theirs {
		if !slices.ContainsFunc(o.pop, func(m popMail) bool { return string(m.raw) == text }) {
			t.Errorf("message %d of the mailbox's owner is gone from POP3", i+1)
		}
	}
	for _, said := range o.said {
		for line := range strings.Lines(said) {
			if words := strings.Fields(line); len(words) == 2 && strings.EqualFold(words[1], "EXPUNGE") && !strings.HasPrefix(line, "*") {
				t.Errorf("a plain EXPUNGE was said: %q", line)
			}
		}
	}
}

// When it was delivered is told by our clock, what others' clocks are worth by theirs.
func TestTripTimes(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	for _, c := range []struct {
		name     string
		seen     time.Duration // after it was accepted
		received time.Duration // by the server's clock
		want     string
	}{
		{"at once", 200 * time.Millisecond, 0, "pass: accepted 30 ms after connecting, shown 200ms later"},
		{"told of before the reply came", -50 * time.Millisecond, 0, "pass: accepted 30 ms after connecting, shown 0s later"},
		{"late", 90 * time.Second, 80 * time.Second, "warn: delivered after 1m30s"},
		{"by a clock that is ahead", 200 * time.Millisecond, 2 * time.Hour, "pass: accepted 30 ms after connecting, shown 200ms later; warn: the clock of mx1.good.test is off by 2h0m0s"},
		{"by a clock that is behind", 200 * time.Millisecond, -time.Hour, "pass: accepted 30 ms after connecting, shown 200ms later; warn: the clock of mx1.good.test is off by -1h0m0s"},
	} {
		smtp := &Service{Host: "mx1.good.test", Port: 465, Protocol: "smtp", DialMS: 10, Steps: []Step{{Name: "greeting", MS: 5}, {Name: "accepted", MS: 15}, {Name: "quit", MS: 1000}}}
		raw := "Received: from x by mx1.good.test with ESMTPSA id 1;\r\n\t" + at(c.received).Format(time.RFC1123Z) + "\r\nMessage-ID: <a@b>\r\n\r\nx\r\n"
		facts := &Facts{Question: Question{Domain: "good.test"}, Began: noon, RoundTrip: &RoundTrip{
			Mailbox: "alice@good.test",
			Probes:  []*Probe{{Service: smtp, ID: "a@b", Token: "t", Said: at(0), Accepted: at(0)}},
			Boxes:   []*Box{{Service: &Service{Protocol: "imap", Port: 993}, Looked: true, Arrivals: []*Arrival{{ID: "a@b", Folder: inbox, Seen: at(c.seen), Raw: []byte(raw)}}}},
		}}
		var got []string
		for _, x := range Judge(facts, Options{}) {
			if x.Check == "E4" {
				got = append(got, string(x.State)+": "+x.Text)
			}
		}
		slices.SortFunc(got, func(a, b string) int { return strings.Compare(a[:4], b[:4]) })
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %s; want %s", c.name, text, c.want)
		}
	}
}

// Who is stopped halfway sends nothing more, and still deletes what it has sent.
func TestStoppedTripCleansUp(t *testing.T) {
	t.Parallel()
	atNoon(t, func(t *testing.T) {
		w := newWorld(t)
		o := newPostOffice(t, w)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		w.gather(t) // has the servers stand
		o.came = stop
		facts, err := w.gatherer.Gather(ctx, w.question)
		if err != nil {
			t.Fatal(err)
		}
		w.net.all.Wait()
		sent := 0
		for _, p := range facts.RoundTrip.Probes {
			if p.taken() {
				sent++
			}
		}
		if sent != 1 {
			t.Errorf("%d messages were sent, want the one that was under way", sent)
		}
		o.untouched(t, 0)
	})
}
