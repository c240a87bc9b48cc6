package mail

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"herald/audit/login"
	"herald/probes"
	"herald/wire"
)

// send has a server take the probe: a submission after a login (RFC 6409), or as strangers
// do it. Where nothing shall be sent, it logs in and leaves.
func (t *trip) send(to *call, p *Probe) {
	if p.Outside && t.out.Nothing != "" {
		p.Halt = &Halt{Stage: "mail", Words: t.out.Nothing, NotSaid: true}
		return
	}
	if pause := cmp.Or(t.g.Space, space); to.s.Port == 25 && pause > 0 {
		t.pause(pause)
	}
	if t.ctx.Err() != nil {
		p.Halt = &Halt{Stage: "connect", Words: "stopped before", NotSaid: true}
		return
	}
	c, halt := t.open(t.life, to)
	if halt != nil {
		p.Halt = halt
		return
	}
	defer c.Close()
	k := &talk{c: c, s: to.s}
	p.Halt = t.dialogue(k, to, p)
	if c.Failure() == nil {
		k.ask("quit", "QUIT", smtpReply) // the results stand whatever it says
	}
}

// dialogue is the conversation up to the message's acceptance.
func (t *trip) dialogue(k *talk, to *call, p *Probe) *Halt {
	offered, h := t.hello(k, p)
	if h != nil {
		return h
	}
	from, envelope := sender(k.c), ""
	if !p.Outside {
		if h := t.mayBeTold(k.c, to); h != nil {
			return h
		}
		if h := t.logIn(k, k.s.mechanisms(true)); h != nil {
			return h
		}
		if t.out.Nothing != "" {
			return &Halt{Stage: "mail", Words: t.out.Nothing, NotSaid: true}
		}
		from, envelope = t.out.Mailbox, t.out.Mailbox
	}
	message := p.write(from, t.out.Mailbox, time.Now())
	size := ""
	if has(offered, "SIZE") {
		size = fmt.Sprintf(" SIZE=%d", len(message)) // RFC 1870, 3
	}
	if h := t.transaction(k, envelope, size); h != nil {
		return h
	}
	return t.message(k, p, message)
}

// hello hears the greeting and introduces us, under TLS where there is a password to be said, or
// the server offers it. It returns the extensions that are offered there.
func (t *trip) hello(k *talk, p *Probe) ([]string, *Halt) {
	k.c.Listen(0)
	reply, err := k.hear("greeting", "", time.Now().Add(-k.c.Elapsed()), smtpReply)
	if h := k.expect("greeting", 220, reply, err); h != nil {
		return nil, h
	}
	name := cmp.Or(k.c.Manners().Hello, addressLiteral(k.c.Local()))
	greet := func() ([]string, *Halt) {
		reply, err := k.ask("ehlo", "EHLO "+name, smtpReply)
		return probes.SMTPExtensions([]byte(reply)), k.expect("hello", 250, reply, err)
	}
	offered, h := greet()
	switch {
	case h != nil:
		return nil, h
	case k.c.TLS() != nil, p.Outside && !has(offered, "STARTTLS"):
		return offered, nil
	case !has(offered, "STARTTLS"):
		return nil, &Halt{Stage: "tls", Words: "STARTTLS is not offered: no password is said", Refused: true}
	}
	reply, err = k.ask("starttls", "STARTTLS", smtpReply)
	if h := k.expect("tls", 220, reply, err); h != nil {
		return nil, h
	}
	if h := t.upgrade(k); h != nil {
		return nil, h
	}
	return greet()
}

// transaction says sender and recipient, and has the server wait for the message.
func (t *trip) transaction(k *talk, envelope, size string) *Halt {
	reply, err := k.ask("mail", "MAIL FROM:<"+envelope+">"+size, smtpReply)
	if h := k.expect("mail", 250, reply, err); h != nil {
		return h
	}
	reply, err = k.ask("rcpt", "RCPT TO:<"+t.out.Mailbox+">", smtpReply)
	if code(reply) == 251 { // RFC 5321, 3.4: not ours, and forwarded
		reply = "250" + reply[3:]
	}
	if h := k.expect("rcpt", 250, reply, err); h != nil {
		return h
	}
	reply, err = k.ask("data", "DATA", smtpReply)
	return k.expect("data", 354, reply, err)
}

// expect says why a stage is over where the reply has not the code that is wanted, nil where it
// has.
func (t *talk) expect(stage string, want int, reply string, err error) *Halt {
	switch {
	case t.s.Failure != nil:
		return halted(stage, t.s.Failure)
	case err != nil:
		return &Halt{Stage: stage, Words: err.Error()}
	case code(reply) != want:
		return &Halt{Stage: stage, Words: lastReply(reply), Refused: true}
	}
	return nil
}

// message says the message and hears whether it was taken.
func (t *trip) message(k *talk, p *Probe, message []byte) *Halt {
	began := time.Now()
	t.sent.Lock()
	p.Message, p.Said = message, began
	t.sent.Unlock()
	err := k.c.Say(dotted(message))
	if err == nil {
		k.c.FirstReplyWithin(3 * t.wait()) // RFC 5321, 4.5.3.2.6 has ten minutes
	} else if k.s.Failure == nil {
		k.s.Failure = failure("message", err)
	}
	var reply string
	if err == nil {
		reply, err = k.hear("accepted", fmt.Sprintf("(%d bytes)", len(message)), began, smtpReply)
	}
	t.sent.Lock()
	defer t.sent.Unlock()
	if code(reply)/100 == 2 {
		p.Accepted = time.Now()
		return nil
	}
	h := k.expect("message", 250, reply, err)
	if h.Refused {
		p.Said = time.Time{} // it was not taken; without a reply nobody knows
	}
	return h
}

// logIn says the password; what goes out is not noted.
func (t *trip) logIn(k *talk, offered []string) *Halt {
	began, first := time.Now(), ""
	said, last, err := login.SMTPAuth(offered, t.want.Who, func(line string) (int, string, error) {
		if first == "" {
			first = strings.Join(strings.Fields(line)[:min(2, len(strings.Fields(line)))], " ")
		}
		if err := k.c.Send(line); err != nil {
			return 0, "", err
		}
		reply, err := smtpReply(k.c)
		return code(string(reply)), lastReply(string(reply)), err
	})
	step := Step{Name: "login", Said: first + " " + wire.Masked, Reply: last, TLS: true, MS: ms(time.Since(began))}
	if first != "" {
		k.s.Steps = append(k.s.Steps, step)
	}
	switch {
	case k.c.Failure() != nil:
		k.s.Failure = failure("login", k.c.Failure())
		return halted("login", k.s.Failure)
	case errors.Is(err, login.ErrMechanism):
		return &Halt{Stage: "login", Words: err.Error(), NotSaid: true}
	case err != nil:
		return &Halt{Stage: "login", Words: clip(err.Error(), 300)}
	case said != 235:
		return &Halt{Stage: "login", Words: last, Refused: true}
	}
	return nil
}

// lastReply is a reply's last line, which has its words (RFC 5321, 4.2.1), or all of them
// where there is more than one.
func lastReply(reply string) string {
	var lines []string
	for line := range strings.Lines(reply) {
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// queueID is the words after a message was taken: the server's own name for it is there.
func queueID(p *Probe) string {
	i := slices.IndexFunc(p.Service.Steps, func(s Step) bool { return s.Name == "accepted" })
	if i < 0 {
		return ""
	}
	return lastReply(p.Service.Steps[i].Reply)
}
