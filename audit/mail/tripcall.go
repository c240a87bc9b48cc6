package mail

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"herald/audit/login"
	"herald/resolve"
	"herald/wire"
)

// call is a server that is to be called at the first of its addresses that answers.
type call struct {
	s     *Service
	addrs []netip.Addr
	tell  string // why it may not be told the password, "" where it may
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

// upgrade begins TLS where the server has agreed to it.
func (t *trip) upgrade(k *talk) *Halt {
	err := k.startTLS()
	t.noteTLS(k.c, k.s, err)
	if err != nil {
		return halted("tls", k.s.Failure)
	}
	return nil
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

// addressesOf are the addresses of a host that is named or an address itself.
func (p *plan) addressesOf(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	addrs, _, _ := resolve.Addresses(p.ctx, p.dns, host)
	return addrs
}
