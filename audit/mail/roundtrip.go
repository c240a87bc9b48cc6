package mail

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"herald/audit/login"
	"herald/resolve"
	"herald/wire"
)

// TripRequest asks for a round trip: that messages are sent to a mailbox of the user's own,
// fetched there and deleted. It is the one thing for which this package logs in.
type TripRequest struct {
	Who            login.Credentials
	Mailbox        string         // address; "" is the user's name, where that is one
	Patience       time.Duration  // for delivery; 0 is [TripPatience]
	Roots          *x509.CertPool // whose certificates a password is said to; nil is the system's
	AnyCertificate bool           // say the password to whoever answers
	Tell           []string       // hosts that may be told the password beside those that the question names
	At             []TripPlace    // these servers and no others; nil has them found among the facts
}

// TripPlace is a server of a round trip.
type TripPlace struct {
	Role     string // submit, fetch, deliver
	Host     string // name or address
	Port     uint16
	Protocol string // smtp, imap, pop3
	Security string // plain (which begins TLS by STARTTLS), tls
}

// TripPatience is how long delivery is awaited where nobody says otherwise.
const TripPatience = 2 * time.Minute

// RoundTrip is what became of the messages.
type RoundTrip struct {
	Mailbox    string    `json:"mailbox"`
	Began      time.Time `json:"began"`
	TookMS     float64   `json:"took_ms"`
	PatienceMS float64   `json:"patience_ms"`            // how long delivery was awaited
	Nothing    string    `json:"nothing_sent,omitempty"` // why no message was sent
	Probes     []*Probe  `json:"probes,omitempty"`
	Boxes      []*Box    `json:"boxes,omitempty"`
}

// Probe is one message and the conversation in which it was sent.
type Probe struct {
	Service  *Service  `json:"service"`
	Outside  bool      `json:"outside,omitempty"` // to an exchanger, as strangers do; else a submission
	ID       string    `json:"message_id"`        // without angle brackets
	Token    string    `json:"token"`             // 128 random bits, in hexadecimal digits
	Message  []byte    `json:"message,omitempty"` // as it was said, dots not doubled; nil where it was not
	Said     time.Time `json:"said,omitzero"`     // when its end was said; zero where it was refused
	Accepted time.Time `json:"accepted,omitzero"` // when the server took it
	Halt     *Halt     `json:"halt,omitempty"`
}

// Box is a mailbox as one server shows it.
type Box struct {
	Service  *Service   `json:"service"`
	Ready    bool       `json:"ready"`             // it opened before anything was sent, or will be tried after
	Looked   bool       `json:"looked"`            // it was looked at for messages that were sent
	Idle     bool       `json:"idle,omitempty"`    // the server was to tell of new messages (RFC 2177)
	Bounces  []string   `json:"bounces,omitempty"` // subjects of new messages that quote a probe
	Arrivals []*Arrival `json:"arrivals,omitempty"`
	Halt     *Halt      `json:"halt,omitempty"`
}

// Arrival is a message as it was found.
type Arrival struct {
	ID         string      `json:"message_id"` // of the probe
	Folder     string      `json:"folder,omitempty"`
	UID        string      `json:"uid"` // IMAP's, or POP3's unique id
	Seen       time.Time   `json:"seen"`
	Pushed     bool        `json:"pushed,omitempty"` // the server told of it
	Idled      bool        `json:"idled,omitempty"`  // IDLE stood when it was sent, and long enough after
	Raw        []byte      `json:"raw,omitempty"`    // the message
	Signatures []Signature `json:"signatures,omitempty"`
	Deleted    string      `json:"deleted,omitempty"` // by which command
	Kept       string      `json:"kept,omitempty"`    // why it was not deleted
}

// Signature is a DKIM signature, verified when it came: some expire.
type Signature struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Result   string `json:"result"` // pass, fail, temperror, permerror where there is no key (RFC 8601, 2.7.1)
	Reason   string `json:"reason,omitempty"`
}

// Halt is where a conversation of a round trip ended before its time.
type Halt struct {
	Stage   string `json:"stage"`             // connect, greeting, hello, tls, certificate, login, select, …
	Words   string `json:"words,omitempty"`   // the server's, or what happened
	Refused bool   `json:"refused,omitempty"` // by a reply that says no
	NotSaid bool   `json:"not_said,omitempty"`
}

// trip is a round trip under way.
type trip struct {
	*plan
	want TripRequest
	out  *RoundTrip
	life context.Context // a little longer than the plan's, so that nothing stays behind

	sent sync.Mutex    // over the probes' times
	over chan struct{} // closed when all is sent
	end  time.Time     // of waiting, set before over is closed
}

// call is a server that is to be called at the first of its addresses that answers.
type call struct {
	s     *Service
	addrs []netip.Addr
	tell  string // why it may not be told the password, "" where it may
}

// Time beyond the delivery's: logging in, fetching, deleting.
const (
	tripBeside  = 5 * time.Minute
	tripCleanup = 20 * time.Second // where the user has stopped us
)

// roundTrip sends, waits, fetches and deletes.
func (p *plan) roundTrip() {
	t := &trip{plan: p, want: *p.g.RoundTrip, over: make(chan struct{})}
	t.want.Patience = cmp.Or(t.want.Patience, TripPatience)
	began := time.Now()
	t.out = &RoundTrip{Mailbox: t.want.Mailbox, Began: began.UTC(), PatienceMS: ms(t.want.Patience)}
	p.facts.RoundTrip = t.out
	life, end := context.WithTimeout(context.WithoutCancel(p.ctx), t.want.Patience+tripBeside)
	defer end()
	stop := context.AfterFunc(p.ctx, func() {
		select {
		case <-time.After(tripCleanup):
			end()
		case <-life.Done():
		}
	})
	defer stop()
	t.life = life
	defer func() { t.out.TookMS = ms(time.Since(began)) }()

	submit, fetch, outside := t.servers()
	var imaps []*imapBox
	var pops []*popBox
	for _, c := range fetch {
		box := &Box{Service: c.s}
		t.out.Boxes = append(t.out.Boxes, box)
		if c.s.Protocol == "imap" {
			imaps = append(imaps, &imapBox{trip: t, call: c, box: box, pushes: make(chan time.Time, 1), standing: make(chan struct{})})
		} else {
			pops = append(pops, &popBox{trip: t, call: c, box: box})
		}
	}
	t.prepare(imaps, pops)
	ready := slices.ContainsFunc(t.out.Boxes, func(b *Box) bool { return b.Ready })
	switch {
	case len(submit) == 0 && len(outside) == 0:
		t.out.Nothing = "no server is known that takes submissions"
	case len(fetch) == 0:
		t.out.Nothing = "no server is known to fetch from"
	case !ready:
		t.out.Nothing = "the mailbox did not open anywhere: nobody could fetch the message, or delete it"
	}
	for _, c := range submit {
		t.out.Probes = append(t.out.Probes, t.probe(c.s, false))
	}
	for _, c := range outside {
		t.out.Probes = append(t.out.Probes, t.probe(c.s, true))
	}

	var watching sync.WaitGroup
	for _, b := range imaps {
		watching.Go(b.watch)
	}
	for _, b := range imaps {
		<-b.standing
	}
	for i, c := range slices.Concat(submit, outside) {
		t.send(c, t.out.Probes[i])
	}
	t.sent.Lock()
	t.end = time.Now().Add(t.want.Patience)
	t.sent.Unlock()
	close(t.over)
	watching.Wait()
	for _, b := range pops {
		b.watch(slices.ContainsFunc(imaps, func(i *imapBox) bool { return i.box.Ready }))
	}
	for _, b := range imaps {
		b.clean()
	}
	for _, b := range pops {
		b.clean()
	}
	for _, b := range imaps {
		b.recheck()
		b.leave()
	}
	t.verify()
	t.mask()
}

// prepare opens all mailboxes side by side. POP3 is left for later where IMAP is enough: some
// of its servers want logins a minute apart.
func (t *trip) prepare(imaps []*imapBox, pops []*popBox) {
	var all sync.WaitGroup
	for _, b := range imaps {
		all.Go(b.prepare)
	}
	all.Wait()
	if slices.ContainsFunc(imaps, func(b *imapBox) bool { return b.box.Ready }) {
		for _, b := range pops {
			b.box.Ready = true
		}
		return
	}
	for _, b := range pops {
		all.Go(b.prepare)
	}
	all.Wait()
}

// missing are the probes that were sent and have not been found in the box.
func (t *trip) missing(b *Box) (list []*Probe) {
	t.sent.Lock()
	defer t.sent.Unlock()
	for _, p := range t.out.Probes {
		if !p.Said.IsZero() && !b.has(p) {
			list = append(list, p)
		}
	}
	return list
}

// all says that everything was sent and found in the box.
func (t *trip) all(b *Box) bool {
	select {
	case <-t.over:
		return len(t.missing(b)) == 0
	default:
		return false
	}
}

// late says that nobody waits any longer.
func (t *trip) late() bool {
	if t.ctx.Err() != nil || t.life.Err() != nil {
		return true
	}
	t.sent.Lock()
	defer t.sent.Unlock()
	return !t.end.IsZero() && time.Now().After(t.end)
}

// untilEnd is a pause no longer than anybody waits.
func (t *trip) untilEnd(d time.Duration) time.Duration {
	t.sent.Lock()
	defer t.sent.Unlock()
	if t.end.IsZero() {
		return d
	}
	return max(0, min(d, time.Until(t.end)+time.Millisecond))
}

func (b *Box) has(p *Probe) bool {
	return slices.ContainsFunc(b.Arrivals, func(a *Arrival) bool { return a.ID == p.ID })
}

// pause waits, and returns early where something ends the waiting.
func (t *trip) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
	case <-t.life.Done():
	}
}

// limits are those of one conversation. RFC 5321, 4.5.3.2 has senders wait for minutes.
func (t *trip) limits(protocol string) wire.Limits {
	wait := t.wait()
	l := wire.Limits{
		Dial: min(10*time.Second, wait), TLS: min(20*time.Second, wait), Greeting: wait, Settle: t.g.Caller.Limits.Settle, Reply: wait,
		Whole: 9 * wait, Line: 16 << 10, Bytes: 256 << 10, Turns: 200,
	}
	switch protocol {
	case "imap": // it stands throughout, and is silent in IDLE; its commands have bounds of their own
		l.Whole = t.want.Patience + tripBeside
		l.Reply, l.Bytes, l.Turns = l.Whole, 8<<20, 5000
	case "pop3":
		l.Bytes, l.Turns = 8<<20, 500 // UIDL has a line for each message
	}
	return l
}

// wait is how long an answer may take.
func (t *trip) wait() time.Duration { return cmp.Or(t.g.Patience, patience) }

// open connects to the first address that answers.
func (t *trip) open(ctx context.Context, c *call) (*wire.Conversation, *Halt) {
	caller := t.g.Caller
	caller.Limits = t.limits(c.s.Protocol)
	s := c.s
	security := wire.Plain
	if s.Security == "tls" {
		security = wire.TLS
	}
	halt := &Halt{Stage: "connect", Words: "the name has no address"}
	for _, addr := range c.addrs {
		s.Addr = addr
		s.Dials++
		e := wire.Endpoint{Addr: netip.AddrPortFrom(addr, s.Port), Security: security}
		if _, err := netip.ParseAddr(s.Host); err != nil {
			e.Name = s.Host
		}
		conversation, err := caller.Open(ctx, e)
		if conversation != nil {
			conversation.Hide(t.want.Who.Secrets()...)
			s.Local, s.DialMS = conversation.Local().String(), ms(conversation.RoundTrip())
			t.noteTLS(conversation, s, err)
		}
		if err == nil {
			s.Failure = nil
			return conversation, nil
		}
		halt = &Halt{Stage: "connect"}
		if conversation != nil {
			halt.Stage = "tls"
			conversation.Close()
		}
		s.Failure = failure(halt.Stage, err)
		halt.Words = s.Failure.String()
		if conversation != nil {
			break
		}
	}
	return nil, halt
}

// noteTLS notes a handshake, and its certificates.
func (t *trip) noteTLS(c *wire.Conversation, s *Service, err error) {
	var state *wire.TLSState
	if s.TLS = (&visit{}).tlsOf(c, &state, err); state != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.keep(state.Chain)
	}
}

// mayBeTold says why the password may not be said on this connection, nil where it may.
func (t *trip) mayBeTold(c *wire.Conversation, to *call) *Halt {
	state := c.TLS()
	switch {
	case state == nil:
		return &Halt{Stage: "tls", Words: "there is no TLS: no password is said", NotSaid: true}
	case to.tell != "":
		return &Halt{Stage: "certificate", Words: to.tell, NotSaid: true}
	case t.want.AnyCertificate:
		return nil
	}
	if err := login.Trusted(state.Chain, t.want.Roots, to.s.Host); err != nil {
		return &Halt{Stage: "certificate", Words: clip(err.Error(), 300) + ": no password is said", NotSaid: true}
	}
	return nil
}

// halted is how a conversation ended that failed.
func halted(stage string, f *Failure) *Halt {
	words := f.String()
	if f.Text != "" && (f.Kind == wire.Protocol || f.Kind == wire.Limit || f.Kind == wire.TLSFailed) {
		words += ": " + f.Text
	}
	return &Halt{Stage: stage, Words: words}
}

// mostKept is how much of a server's words is kept, in bytes.
const mostKept = 4 << 10

// mask takes the password out of everything that servers said: they might repeat it.
func (t *trip) mask() {
	secrets := t.want.Who.Secrets()
	text := func(s *string) { *s = masked(clip(*s, mostKept), secrets) }
	service := func(s *Service) {
		for i := range s.Steps {
			text(&s.Steps[i].Said)
			text(&s.Steps[i].Reply)
		}
		text(&s.Unasked)
		if s.Failure != nil {
			text(&s.Failure.Text)
		}
	}
	halt := func(h *Halt) {
		if h != nil {
			text(&h.Words)
		}
	}
	for _, p := range t.out.Probes {
		service(p.Service)
		halt(p.Halt)
	}
	for _, b := range t.out.Boxes {
		service(b.Service)
		halt(b.Halt)
		for i := range b.Bounces {
			text(&b.Bounces[i])
		}
		for _, a := range b.Arrivals {
			a.Raw = []byte(masked(clip(string(a.Raw), 64<<10), secrets))
			text(&a.UID)
			text(&a.Folder)
			text(&a.Kept)
			for i := range a.Signatures {
				text(&a.Signatures[i].Domain)
				text(&a.Signatures[i].Selector)
				text(&a.Signatures[i].Reason)
			}
		}
	}
}

func masked(text string, secrets [][]byte) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, string(s), wire.Masked)
	}
	return text
}

// ErrMailbox says what is wrong with a request.
var ErrMailbox = errors.New("no address of a mailbox")

// check completes a request for a question.
func (r *TripRequest) check(q Question) error {
	if r.Mailbox == "" {
		r.Mailbox = r.Who.User
		if !strings.Contains(r.Mailbox, "@") && q.Domain != "" {
			r.Mailbox += "@" + q.Domain
		}
	}
	local, domain, ok := strings.Cut(r.Mailbox, "@")
	if !ok || local == "" || domain == "" || strings.ContainsFunc(r.Mailbox, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`<>(),;:\"[]`, c) }) || strings.Contains(domain, "@") {
		return fmt.Errorf("%q: %w", r.Mailbox, ErrMailbox)
	}
	return nil
}

// addressesOf are the addresses of a host that is named or an address itself.
func (p *plan) addressesOf(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	addrs, _, _ := resolve.Addresses(p.ctx, p.dns, host)
	return addrs
}
