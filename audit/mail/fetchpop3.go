package mail

import (
	"bytes"
	"cmp"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/go-pop3"

	"herald/audit/login"
	"herald/wire"
)

// popBox looks into a mailbox by POP3. A session sees the mailbox as it was when it began
// (RFC 1939, 8), so that each look is a session of its own.
type popBox struct {
	*trip
	call   *call
	box    *Box
	before map[string]bool // unique ids before anything was sent, nil where nobody looked

	delayed bool // a delay between logins was waited for
}

// prepare logs in and notes what is there.
func (b *popBox) prepare() {
	b.box.Halt = b.session(func(v *popVisit) *Halt {
		ids, halt := v.list()
		b.before = map[string]bool{}
		for _, id := range ids {
			b.before[id.UID] = true
		}
		return halt
	})
	b.box.Ready = b.box.Halt == nil
}

// popVisit is one session.
type popVisit struct {
	*popBox
	c    *wire.Conversation
	conn net.Conn
	lib  *pop3.Conn

	marked []*Arrival // deleted when QUIT is answered
}

// dialed gives the library the connection that stands already.
type dialed struct{ net.Conn }

func (d dialed) Dial(_, _ string) (net.Conn, error) { return d.Conn, nil }

// session logs in, does something and quits.
func (b *popBox) session(do func(*popVisit) *Halt) *Halt {
	s := b.box.Service
	if s.Failure != nil {
		return halted(cmp.Or(s.Failure.Step, "connect"), s.Failure)
	}
	c, halt := b.trip.open(b.life, b.call)
	if halt != nil {
		return halt
	}
	defer c.Close()
	s.Steps = slices.DeleteFunc(s.Steps, func(o Step) bool { return o.Name == "greeting" || o.Name == "starttls" }) // of the session before
	k := &talk{c: c, s: s}
	c.Listen(0)
	greeting, err := k.hear("greeting", "", time.Now().Add(-c.Elapsed()), oneLine)
	switch {
	case err != nil:
		return halted("greeting", s.Failure)
	case !positive(greeting):
		return &Halt{Stage: "greeting", Words: firstLine(greeting), Refused: true}
	}
	if c.TLS() == nil {
		reply, err := k.ask("starttls", "STLS", oneLine)
		switch {
		case err != nil:
			return halted("tls", s.Failure)
		case !positive(reply):
			return &Halt{Stage: "tls", Words: firstLine(reply), Refused: true}
		}
		if h := b.upgrade(k); h != nil {
			return h
		}
	}
	h := b.mayBeTold(c, b.call)
	if h != nil {
		return h
	}
	v := &popVisit{popBox: b, c: c, conn: c.Conn([]byte("+OK\r\n"))}
	if v.lib, h = popAsked(v, "login", "USER, PASS "+wire.Masked, func() (*pop3.Conn, error) {
		lib, err := pop3.New(pop3.Opt{Dialer: dialed{v.conn}}).NewConn()
		if err == nil {
			err = lib.User(b.want.Who.User)
		}
		if err == nil {
			err = lib.Pass(b.want.Who.Password)
		}
		return lib, err
	}); h != nil {
		return h
	}
	h = do(v)
	if c.Failure() != nil {
		for _, a := range v.marked {
			a.Kept = "the connection ended before QUIT"
		}
		return h
	}
	quit := v.ask("quit", "QUIT", func() error { return v.lib.Quit() })
	for _, a := range v.marked {
		if quit == nil {
			a.Deleted, a.Kept = "DELE", ""
		} else {
			a.Kept = quit.text()
		}
	}
	if h != nil {
		return h
	}
	return quit
}

// ask calls the library where that tells nothing, as popAsked does.
func (v *popVisit) ask(stage, said string, f func() error) *Halt {
	_, halt := popAsked(v, stage, said, func() (struct{}, error) { return struct{}{}, f() })
	return halt
}

// popAsked calls the library and notes the call as a step, the last of its name.
func popAsked[T any](v *popVisit, stage, said string, f func() (T, error)) (T, *Halt) {
	began := time.Now()
	most := v.want.Patience + tripBeside
	told, err := login.Guard(most, f) // the connection's own limits come before that
	s := v.box.Service
	step := Step{Name: stage, Said: said, Reply: "+OK", TLS: true, MS: ms(time.Since(began))}
	var halt *Halt
	switch {
	case err == nil:
	case errors.Is(err, login.ErrStuck):
		v.conn.Close()
		s.Failure = &Failure{Step: stage, Op: wire.OpRead, Kind: wire.Timeout}
		halt = halted(stage, s.Failure)
	case v.c.Failure() != nil:
		s.Failure = failure(stage, v.c.Failure())
		halt = halted(stage, s.Failure)
	case strings.HasPrefix(lastReply(string(tail(v.c.Heard()))), "-ERR"):
		halt = &Halt{Stage: stage, Words: lastReply(string(tail(v.c.Heard()))), Refused: true}
		step.Reply = halt.Words
	default:
		s.Failure = &Failure{Step: stage, Op: wire.OpRead, Kind: wire.Protocol, Text: clip(err.Error(), 300)}
		halt = halted(stage, s.Failure)
	}
	if halt != nil && !halt.Refused {
		step.Reply = ""
	}
	s.Steps = append(slices.DeleteFunc(s.Steps, func(o Step) bool { return o.Name == stage }), step)
	return told, halt
}

// tail is the end of what was heard: enough for a last line.
func tail(heard []byte) []byte { return heard[max(0, len(heard)-2000):] }

func (v *popVisit) list() ([]pop3.MessageID, *Halt) {
	ids, halt := popAsked(v, "uidl", "UIDL", func() ([]pop3.MessageID, error) { return v.lib.Uidl(0) })
	if halt != nil {
		return nil, halt
	}
	return ids, nil
}

// Bounds of a look, in messages.
const (
	mostFresh = 50
	mostOld   = 10 // where the unique ids lie, or the order is another
)

// candidates are the messages to look at, the newest first: those that were not there
// before, then few of the others, in case the ids are none.
func (v *popVisit) candidates(ids []pop3.MessageID) []pop3.MessageID {
	var fresh, old []pop3.MessageID
	for _, id := range slices.Backward(ids) {
		switch {
		case id.ID < 1 || id.ID > 1<<24:
		case v.before[id.UID]:
			old = append(old, id)
		default:
			fresh = append(fresh, id)
		}
	}
	if len(fresh) > mostFresh {
		old = append(fresh[len(fresh)-min(mostOld, len(fresh)-mostFresh):], old...)
		fresh = fresh[:mostFresh]
	}
	return slices.Concat(fresh, old[:min(len(old), mostOld)])
}

// header is a message's (RFC 1939, 7).
func (v *popVisit) header(id pop3.MessageID) ([]field, *Halt) {
	text, halt := popAsked(v, "top", "TOP "+strconv.Itoa(id.ID)+" 0", func() (*bytes.Buffer, error) { return v.lib.Cmd("TOP", true, id.ID, 0) })
	if halt != nil {
		return nil, halt
	}
	header, _ := split(append(bytes.Clone(text.Bytes()), '\n'))
	return header, nil
}

// watch looks until all probes are found or nobody waits any longer. Where IMAP has shown
// what came, one look should do; the bounds allow for a mailbox that is locked.
func (b *popBox) watch(afterIMAP bool) {
	if !b.box.Ready {
		return
	}
	end := time.Now().Add(min(popAfter, b.want.Patience))
	for step := 500 * time.Millisecond; ; step = min(2*step, 5*time.Second) {
		missing := b.missing(b.box)
		if len(missing) == 0 {
			return
		}
		late := b.late()
		if afterIMAP {
			late = b.ctx.Err() != nil || !time.Now().Before(end)
		}
		b.box.Halt = b.session(func(v *popVisit) *Halt { return v.look(missing) })
		again, rest := b.again(step)
		if late || !again || b.box.Halt == nil && (len(b.missing(b.box)) == 0 || afterIMAP && b.nowhere(missing)) {
			return
		}
		if rest > step {
			end = time.Now().Add(rest + popAfter)
		}
		b.pause(rest)
	}
}

// again says whether a session that ended so may be tried once more, and after what pause:
// the mailbox may be locked, or logins must be apart (RFC 2449, 8.1.1 and 8.1.2; RFC 3206, 4).
func (b *popBox) again(step time.Duration) (again bool, pause time.Duration) {
	h := b.box.Halt
	switch {
	case h == nil, h.Refused && (strings.Contains(h.Words, "[IN-USE]") || strings.Contains(h.Words, "[SYS/TEMP]")):
		return true, step
	case h.Refused && strings.Contains(h.Words, "[LOGIN-DELAY]") && !b.delayed:
		b.delayed = true
		return true, loginDelay
	}
	return false, 0
}

// loginDelay is how long a server that wants logins apart is given, once.
const loginDelay = 61 * time.Second

// popAfter is how long POP3 may take to show what IMAP has shown.
const popAfter = 15 * time.Second

// nowhere says that no other box has any of the probes: there is nothing to wait for.
func (b *popBox) nowhere(probes []*Probe) bool {
	return !slices.ContainsFunc(probes, func(p *Probe) bool {
		return slices.ContainsFunc(b.out.Boxes, func(o *Box) bool {
			return slices.ContainsFunc(o.Arrivals, func(a *Arrival) bool { return a.ID == p.ID && a.Folder == inbox })
		})
	})
}

// look goes through the candidates.
func (v *popVisit) look(probes []*Probe) *Halt {
	ids, halt := v.list()
	if halt != nil {
		return halt
	}
	v.box.Looked = true
	for _, id := range v.candidates(ids) {
		header, halt := v.header(id)
		if halt != nil && !halt.Refused {
			return halt
		}
		for _, p := range probes {
			if halt == nil && p.is(header) {
				if h := v.take(p, id); h != nil {
					return h
				}
			}
		}
	}
	return nil
}

func (v *popVisit) take(p *Probe, id pop3.MessageID) *Halt {
	seen := time.Now()
	text, h := popAsked(v, "retr", "RETR "+strconv.Itoa(id.ID), func() (*bytes.Buffer, error) { return v.lib.RetrRaw(id.ID) })
	if h != nil {
		return h
	}
	raw := text.Bytes()
	header, _ := split(raw)
	if !p.is(header) {
		return nil
	}
	a := &Arrival{ID: p.ID, UID: id.UID, Seen: seen, Raw: bytes.Clone(raw)}
	v.box.Arrivals = append(v.box.Arrivals, a)
	if v.byIMAP(p) {
		return nil // who deletes it
	}
	if h := v.remove(a, id); h != nil {
		a.Kept = h.text()
		if !h.Refused {
			return h
		}
	}
	return nil
}

// remove marks a message that TOP and RETR of this session have shown to be the probe; QUIT
// deletes it (RFC 1939, 6).
func (v *popVisit) remove(a *Arrival, id pop3.MessageID) *Halt {
	h := v.ask("dele", "DELE "+strconv.Itoa(id.ID), func() error { return v.lib.Dele(id.ID) })
	if h == nil {
		v.marked = append(v.marked, a)
	}
	return h
}

// byIMAP says that IMAP has found the probe.
func (t *trip) byIMAP(p *Probe) bool {
	return slices.ContainsFunc(t.out.Boxes, func(b *Box) bool { return b.Service.Protocol == "imap" && b.has(p) })
}

// clean deletes what should have been deleted by IMAP and was not, and looks whether what
// was deleted is gone.
func (b *popBox) clean() {
	var left, gone []*Arrival
	for _, a := range b.box.Arrivals {
		switch by := b.deletedBy(a); {
		case a.Deleted != "":
			gone = append(gone, a)
		case by != "":
			a.Deleted = by
		default:
			left = append(left, a)
		}
	}
	if len(left) > 0 {
		b.box.Service.Failure = nil
		shown := map[*Arrival]bool{}
		halt := b.session(func(v *popVisit) *Halt {
			return v.each(left, func(a *Arrival, id pop3.MessageID) *Halt {
				shown[a] = true
				return v.remove(a, id)
			})
		})
		for _, a := range left {
			switch {
			case a.Deleted != "":
				gone = append(gone, a)
			case halt != nil:
				a.Kept = halt.text()
			case !shown[a]:
				a.Kept = "it is not shown any more, and nothing else is ever deleted"
			}
		}
	}
	if len(gone) == 0 || b.box.Service.Failure != nil {
		return
	}
	b.session(func(v *popVisit) *Halt { // a server that wants logins apart shows nothing
		return v.each(gone, func(a *Arrival, _ pop3.MessageID) *Halt {
			a.Deleted, a.Kept = "", "DELE and QUIT were answered with +OK, and it is still there"
			return nil
		})
	})
}

// each goes to the messages that are the probes of the arrivals.
func (v *popVisit) each(left []*Arrival, do func(*Arrival, pop3.MessageID) *Halt) *Halt {
	ids, halt := v.list()
	if halt != nil {
		return halt
	}
	for _, id := range v.candidates(ids) {
		header, halt := v.header(id)
		if halt != nil {
			return halt
		}
		for _, a := range left {
			if v.probeOf(a.ID).is(header) && a.UID == id.UID {
				if h := do(a, id); h != nil {
					return h
				}
			}
		}
	}
	return nil
}

// deletedBy says how the probe was deleted where another box shows it, "" where it was not.
func (t *trip) deletedBy(a *Arrival) string {
	for _, o := range t.out.Boxes {
		for _, other := range o.Arrivals {
			if other.ID == a.ID && other != a && other.Deleted != "" && !slices.Contains(o.Arrivals, a) {
				return other.Deleted
			}
		}
	}
	return ""
}
