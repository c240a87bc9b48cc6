package mail

import (
	"bytes"
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
		err = k.startTLS()
		b.noteTLS(c, s, err)
		if err != nil {
			return halted("tls", s.Failure)
		}
	}
	if h := b.mayBeTold(c, b.call); h != nil {
		return h
	}
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
	b.caps, halt = imapAsked(b, "login", "LOGIN "+wire.Masked, func() (imap.CapSet, error) {
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

// look searches the folder for the probes. Every fourth time, and the last, it does not
// rely on UIDNEXT having been true.
func (b *imapBox) look(probes []*Probe, pushed time.Time, last bool) {
	b.box.Looked = true
	b.looks++
	for _, p := range probes {
		criteria := &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: p.ID}}}
		if b.folder == inbox && b.next > 0 && b.looks%4 != 0 && !last {
			criteria.UID = []imap.UIDSet{b.fresh()}
		}
		uids, h := b.search("HEADER Message-ID "+p.ID, criteria)
		if h != nil {
			return
		}
		if len(uids) == 0 && last {
			uids = b.among(p)
		}
		for _, uid := range uids {
			b.take(probes, uid, pushed)
		}
	}
}

// search finds messages in the folder that is selected, the newest of them; what is for the record.
func (b *imapBox) search(what string, criteria *imap.SearchCriteria) ([]imap.UID, *Halt) {
	data, h := imapAsked(b, "search", "UID SEARCH "+what, func() (*imap.SearchData, error) { return b.client.UIDSearch(criteria, nil).Wait() })
	if h != nil {
		return nil, h
	}
	return newest(data), nil
}

// newest are the highest UIDs of an answer, few: a range may stand for four thousand million.
func newest(data *imap.SearchData) (uids []imap.UID) {
	const most = 10
	set, _ := data.All.(imap.UIDSet)
	for _, r := range slices.Backward(set) {
		for uid := r.Stop; uid >= r.Start && uid > 0 && len(uids) < most; uid-- {
			uids = append(uids, uid)
		}
	}
	return uids
}

// fresh are the UIDs since before anything was sent.
func (b *imapBox) fresh() imap.UIDSet {
	var set imap.UIDSet
	set.AddRange(b.next, 0) // 0 is *
	return set
}

// among looks at the headers of new messages, for a server that changed the Message-ID.
func (b *imapBox) among(p *Probe) (uids []imap.UID) {
	if b.next == 0 || b.folder != inbox {
		return nil
	}
	messages := b.fetch(b.fresh(), p, true)
	for _, m := range messages {
		if header, _ := split(m.raw); p.is(header) && m.uid >= b.next {
			uids = append(uids, m.uid)
		}
	}
	return uids
}

// fetched is a message, or its header.
type fetched struct {
	uid imap.UID
	raw []byte
}

// fetch asks for messages, or for those header fields alone by which a probe is known; no
// flag is set.
func (b *imapBox) fetch(set imap.UIDSet, p *Probe, names bool) (list []fetched) {
	section, said := &imap.FetchItemBodySection{Peek: true}, "BODY.PEEK[]"
	if names {
		section.Specifier, section.HeaderFields = imap.PartSpecifierHeader, []string{"Message-ID", probeField}
		said = "BODY.PEEK[HEADER.FIELDS (Message-ID " + probeField + ")]"
	}
	messages, h := imapAsked(b, "fetch", "UID FETCH "+set.String()+" "+said, func() ([]*imapclient.FetchMessageBuffer, error) {
		return b.client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	})
	if h != nil {
		return nil
	}
	for _, m := range messages {
		for _, s := range m.BodySection {
			list = append(list, fetched{m.UID, s.Bytes})
		}
	}
	return list
}

// take fetches a message that should be one of the probes, and keeps it where it is.
func (b *imapBox) take(probes []*Probe, uid imap.UID, pushed time.Time) {
	seen, key := time.Now(), fmt.Sprint(b.folder, " ", uid)
	known := slices.ContainsFunc(b.box.Arrivals, func(a *Arrival) bool { return a.Folder == b.folder && a.UID == fmt.Sprint(uid) })
	const most = 1000 // that are kept in mind
	if known || b.others[key] || len(b.others) > most {
		return
	}
	for _, m := range b.fetch(imap.UIDSetNum(uid), probes[0], false) {
		header, _ := split(m.raw)
		i := slices.IndexFunc(probes, func(p *Probe) bool { return p.is(header) })
		if m.uid != uid || i < 0 {
			continue // the server answers something else than was asked
		}
		a := &Arrival{ID: probes[i].ID, Folder: b.folder, UID: fmt.Sprint(uid), Seen: seen, Raw: bytes.Clone(m.raw), Idled: b.stood(probes[i])}
		if !pushed.IsZero() {
			a.Seen, a.Pushed = pushed, true
		}
		b.box.Arrivals = append(b.box.Arrivals, a)
		return
	}
	if b.others == nil {
		b.others = map[string]bool{}
	}
	b.others[key] = true
}

// stood says that IDLE stood when the probe was accepted, and a while longer: long enough to
// be told of it.
func (b *imapBox) stood(p *Probe) bool {
	b.sent.Lock()
	defer b.sent.Unlock()
	return !b.idled[0].IsZero() && b.idled[0].Before(p.Accepted) && b.idled[1].Sub(p.Accepted) > 1500*time.Millisecond
}

// elsewhere looks for what did not come into INBOX: in the folder for junk, and for a
// bounce.
func (b *imapBox) elsewhere(probes []*Probe) {
	for _, p := range probes {
		b.bounces(p)
	}
	list, h := imapAsked(b, "list", `LIST "" *`, func() ([]*imap.ListData, error) { return b.client.List("", "*", nil).Collect() })
	if h != nil {
		return
	}
	for _, folder := range list {
		name := strings.ToLower(folder.Mailbox[strings.LastIndexAny(folder.Mailbox, "./")+1:])
		junk := slices.Contains(folder.Attrs, imap.MailboxAttrJunk) || name == "junk" || name == "spam"
		if junk && !slices.Contains(folder.Attrs, imap.MailboxAttrNoSelect) && b.open(folder.Mailbox) == nil {
			b.look(probes, time.Time{}, true)
			return
		}
	}
}

// bounces looks for new messages that quote the probe: the server's own words about why it
// was not delivered.
func (b *imapBox) bounces(p *Probe) {
	if b.next == 0 {
		return
	}
	uids, h := b.search("TEXT "+p.Token, &imap.SearchCriteria{Text: []string{p.Token}, UID: []imap.UIDSet{b.fresh()}})
	if h != nil {
		return
	}
	for _, uid := range uids {
		for _, m := range b.fetch(imap.UIDSetNum(uid), p, false) {
			header, body := split(m.raw)
			if m.uid != uid || p.is(header) || !bytes.Contains(m.raw, []byte(p.Token)) {
				continue
			}
			b.box.Bounces = append(b.box.Bounces, clip(value(header, "Subject")+diagnosis(body), 500))
		}
	}
}

// diagnosis is what a delivery report says (RFC 3464, 2.3.4 and 2.3.6), "" where it is none.
func diagnosis(body []byte) string {
	header, _ := split(bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n\n"), []byte("\n")))
	var words []string
	for _, name := range []string{"Status", "Diagnostic-Code"} {
		if v := value(header, name); v != "" {
			words = append(words, v)
		}
	}
	if words == nil {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

// clean deletes the probes that were found: each where a last look shows that this UID is
// still the probe's, by UID EXPUNGE, which touches no other message (RFC 4315, 2.1).
func (b *imapBox) clean() {
	for _, a := range b.box.Arrivals {
		if !b.alive() {
			a.Kept = "the connection had ended"
			continue
		}
		if a.Folder != b.folder {
			if h := b.open(a.Folder); h != nil {
				a.Kept = h.text()
				continue
			}
		}
		b.delete(a)
	}
}

func (b *imapBox) delete(a *Arrival) {
	p := b.probeOf(a.ID)
	var uid imap.UID
	fmt.Sscan(a.UID, &uid)
	set := imap.UIDSetNum(uid)
	if !b.still(p, set, uid) {
		a.Kept = "its UID does not show it any more, and nothing else is ever deleted"
		return
	}
	if !b.caps.Has(imap.CapUIDPlus) && !b.caps.Has(imap.CapIMAP4rev2) {
		a.Kept = "the server has no UIDPLUS: EXPUNGE would also remove what others have marked"
		return
	}
	mark := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if h := b.ask("store", "UID STORE "+a.UID+` +FLAGS.SILENT (\Deleted)`, func() error {
		_, err := b.client.Store(set, mark, nil).Collect()
		return err
	}); h != nil {
		a.Kept = h.text()
		return
	}
	if h := b.ask("expunge", "UID EXPUNGE "+a.UID, func() error { _, err := b.client.UIDExpunge(set).Collect(); return err }); h != nil {
		a.Kept = h.text()
		return
	}
	if b.alive() && b.still(p, set, uid) {
		a.Kept = "UID EXPUNGE was answered with OK, and it is still there"
		return
	}
	if !b.alive() {
		a.Kept = "the connection had ended"
		return
	}
	a.Deleted = "UID EXPUNGE"
}

// recheck looks whether POP3 has deleted what IMAP could not.
func (b *imapBox) recheck() {
	for _, a := range b.box.Arrivals {
		by := b.deletedBy(a)
		if a.Deleted != "" || by == "" || !b.alive() || a.Folder != inbox {
			continue
		}
		if a.Folder != b.folder && b.open(a.Folder) != nil {
			continue
		}
		// NOOP has the server tell of what others have removed (RFC 9051, 6.1.2).
		if b.ask("noop", "NOOP", func() error { return b.client.Noop().Wait() }) != nil {
			continue
		}
		var uid imap.UID
		fmt.Sscan(a.UID, &uid)
		if !b.still(b.probeOf(a.ID), imap.UIDSetNum(uid), uid) && b.alive() {
			a.Deleted, a.Kept = by, ""
		}
	}
}

// still says that the UID shows the probe, and it alone.
func (b *imapBox) still(p *Probe, set imap.UIDSet, uid imap.UID) bool {
	list := b.fetch(set, p, true)
	if len(list) != 1 || list[0].uid != uid {
		return false
	}
	header, _ := split(list[0].raw)
	return p.is(header)
}

// probeOf is the probe with that id.
func (t *trip) probeOf(id string) *Probe {
	for _, p := range t.out.Probes {
		if p.ID == id {
			return p
		}
	}
	return &Probe{} // is of no message
}
