package mail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"herald/audit/login"
	"herald/wire"
)

// imapBox watches a mailbox by IMAP. The library speaks on a connection that is greeted,
// under TLS and bounded; it is called so that a panic or a silence of it ends this box and
// nothing else.
type imapBox struct {
	*trip
	call *call
	box  *Box

	conn     net.Conn // the library's
	cancel   context.CancelFunc
	c        *wire.Conversation
	client   *imapclient.Client
	caps     imap.CapSet
	pushes   chan time.Time
	folder   string   // that is selected
	next     imap.UID // of INBOX, before anything was sent; 0 where it was not told
	looks    int
	others   map[string]bool // folder and UID of messages that are no probes
	standing chan struct{}   // closed when the first IDLE stands, or cannot
	stands   sync.Once
	idled    [2]time.Time // the last IDLE's beginning and end
}

const inbox = "INBOX"

// prepare logs in and opens INBOX.
func (b *imapBox) prepare() {
	if b.box.Halt = b.enter(); b.box.Halt == nil {
		b.box.Halt = b.open(inbox)
	}
	if b.box.Halt != nil {
		b.leave()
		return
	}
	b.box.Ready = true
	b.box.Idle = b.caps.Has(imap.CapIdle) || b.caps.Has(imap.CapIMAP4rev2)
}

// enter goes as far as the login (RFC 9051, 6.2).
func (b *imapBox) enter() *Halt {
	ctx, cancel := context.WithCancel(b.life)
	b.cancel = cancel
	tooLate := time.AfterFunc(3*b.wait(), cancel) // until the library has it
	defer tooLate.Stop()
	c, halt := b.trip.open(ctx, b.call)
	if halt != nil {
		return halt
	}
	b.c, b.conn = c, login.Careful(c.Conn([]byte("* OK\r\n")))
	s := b.box.Service
	k := &talk{c: c, s: s}
	c.Listen(0)
	greeting, err := k.hear("greeting", "", time.Now().Add(-c.Elapsed()), oneLine)
	switch {
	case err != nil:
		return halted("greeting", s.Failure)
	case !strings.HasPrefix(strings.ToUpper(greeting), "* OK"):
		return &Halt{Stage: "greeting", Words: firstLine(greeting), Refused: true} // BYE; and PREAUTH, where anybody may be anybody
	}
	if c.TLS() == nil {
		reply, err := k.command("starttls", "STARTTLS")
		switch {
		case err != nil:
			return halted("tls", s.Failure)
		case tagged(reply) != "OK":
			return &Halt{Stage: "tls", Words: lastReply(reply), Refused: true}
		}
		if h := b.upgrade(k); h != nil {
			return h
		}
	}
	if h := b.mayBeTold(c, b.call); h != nil {
		return h
	}
	return b.logIn()
}

// logIn hands the connection to the library, which logs in.
func (b *imapBox) logIn() *Halt {
	pushes := b.pushes
	b.client = imapclient.New(b.conn, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				select {
				case pushes <- time.Now():
				default:
				}
			}
		},
	}})
	caps, halt := imapAsked(b, "login", "LOGIN "+wire.Masked, func() (imap.CapSet, error) {
		caps := b.client.Caps() // nil where it could not be asked
		var err error
		switch {
		case !caps.Has(imap.CapLoginDisabled):
			err = b.client.Login(b.want.Who.User, b.want.Who.Password).Wait()
		case caps.Has(imap.AuthCap(sasl.Plain)):
			err = b.client.Authenticate(sasl.NewPlainClient("", b.want.Who.User, b.want.Who.Password))
		default:
			err = errNoLogin // the library would say the password all the same
		}
		if err != nil {
			return nil, err
		}
		return b.client.Caps(), nil
	})
	b.caps = caps
	return halt
}

var errNoLogin = errors.New("LOGINDISABLED, and no AUTH=PLAIN: no password is said")

// ask calls the library where that tells nothing, as imapAsked does.
func (b *imapBox) ask(stage, said string, f func() error) *Halt {
	_, halt := imapAsked(b, stage, said, func() (struct{}, error) { return struct{}{}, f() })
	return halt
}

// imapAsked calls the library and notes the call as a step; the Halt is nil where all went well.
func imapAsked[T any](b *imapBox, stage, said string, f func() (T, error)) (T, *Halt) {
	began := time.Now()
	told, err := login.Guard(b.wait(), f)
	step := Step{Name: stage, Said: said, Reply: "OK", TLS: true, MS: ms(time.Since(began))}
	var no *imap.Error
	var halt *Halt
	switch {
	case err == nil:
	case errors.As(err, &no):
		halt = &Halt{Stage: stage, Words: strings.TrimSpace(string(no.Type) + " " + no.Text), Refused: true}
		if no.Code != "" {
			halt.Words = fmt.Sprintf("%s [%s] %s", no.Type, no.Code, no.Text)
		}
		step.Reply = halt.Words
	case errors.Is(err, errNoLogin):
		halt = &Halt{Stage: stage, Words: err.Error(), NotSaid: true}
		step.Said, step.Reply = "", ""
	default:
		b.shut()
		f := &Failure{Step: stage, Op: wire.OpRead, Kind: wire.Protocol, Text: clip(err.Error(), 300)}
		if errors.Is(err, login.ErrStuck) {
			f = &Failure{Step: stage, Op: wire.OpRead, Kind: wire.Timeout}
		} else if w := b.c.Failure(); w != nil && w.Kind != wire.Canceled {
			f = failure(stage, w)
		}
		if b.box.Service.Failure == nil {
			b.box.Service.Failure = f
		}
		halt = halted(stage, f)
		step.Reply = ""
	}
	b.note(step)
	return told, halt
}

// note keeps a step; of those that come again and again the last.
func (b *imapBox) note(step Step) {
	steps := &b.box.Service.Steps
	if i := slices.IndexFunc(*steps, func(s Step) bool { return s.Name == step.Name }); i >= 0 && (step.Name == "idle" || step.Name == "search") {
		(*steps)[i] = step
		return
	}
	const most = 200
	if len(*steps) < most {
		*steps = append(*steps, step)
	}
}

// shut closes the connection and waits until the library has let go of it.
func (b *imapBox) shut() {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.client != nil {
		login.Guard(5*time.Second, func() (struct{}, error) { return struct{}{}, b.client.Close() })
	}
	if b.cancel != nil {
		b.cancel()
	}
}

// leave logs out.
func (b *imapBox) leave() {
	if b.client != nil && b.alive() {
		b.ask("logout", "LOGOUT", func() error { return b.client.Logout().Wait() })
	}
	b.shut()
}

// alive says that the session can still be used.
func (b *imapBox) alive() bool {
	return b.client != nil && b.box.Service.Failure == nil && b.folder != ""
}

// open selects a folder.
func (b *imapBox) open(folder string) *Halt {
	data, halt := imapAsked(b, "select", "SELECT "+folder, func() (*imap.SelectData, error) { return b.client.Select(folder, nil).Wait() })
	if halt != nil {
		return halt
	}
	if folder == inbox && b.folder == "" {
		b.next = data.UIDNext
	}
	b.folder = folder
	return nil
}

// watch waits for the probes until all are found or nobody waits any longer.
func (b *imapBox) watch() {
	defer b.stands.Do(func() { close(b.standing) })
	step := 500 * time.Millisecond
	for b.alive() && !b.trip.all(b.box) {
		pushed := b.rest(step)
		missing, late := b.missing(b.box), b.late()
		if len(missing) > 0 && b.alive() {
			b.look(missing, pushed, late)
		}
		if late {
			break
		}
		step = min(2*step, 5*time.Second)
	}
	if missing := b.missing(b.box); len(missing) > 0 && b.alive() {
		b.elsewhere(missing)
	}
}

// rest waits until the server tells of a message, or for a while. The time is that of the
// server's telling, zero where it did not.
func (b *imapBox) rest(d time.Duration) (pushed time.Time) {
	var idle *imapclient.IdleCommand
	if b.box.Idle {
		d = max(d, 2*time.Second)
		var halt *Halt
		if idle, halt = imapAsked(b, "idle", "IDLE", func() (*imapclient.IdleCommand, error) { return b.client.Idle() }); halt != nil {
			b.box.Idle = false
			return pushed
		}
		b.idled = [2]time.Time{time.Now(), {}}
	}
	b.stands.Do(func() { close(b.standing) })
	d = b.untilEnd(d)
	over := b.over
	select {
	case <-over: // it stands open already: nothing new
		over = nil
	default:
		if idle != nil { // which is given the time to tell
			over = nil
		}
	}
	select {
	case pushed = <-b.pushes:
	case <-time.After(d):
	case <-over:
	case <-b.ctx.Done():
	case <-b.life.Done():
	}
	if idle != nil {
		b.idled[1] = time.Now()
	}
	if idle != nil && b.alive() {
		if h := b.ask("idle", "IDLE, DONE", func() error { return errors.Join(idle.Close(), idle.Wait()) }); h != nil {
			b.box.Idle = false
		}
	}
	return pushed
}

// stood says that IDLE stood when the probe was accepted, and a while longer: long enough to
// be told of it.
func (b *imapBox) stood(p *Probe) bool {
	b.sent.Lock()
	defer b.sent.Unlock()
	return !b.idled[0].IsZero() && b.idled[0].Before(p.Accepted) && b.idled[1].Sub(p.Accepted) > 1500*time.Millisecond
}
