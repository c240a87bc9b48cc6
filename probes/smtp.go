package probes

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"herald/wire"
)

// SMTP speaks the Simple Mail Transfer Protocol. It never begins a mail transaction and
// never authenticates. It says nothing before the greeting has ended (RFC 5321, 4.3.1).
var SMTP = add(smtp{})

type smtp struct{}

var smtpInfo = Info{
	Name:  "smtp",
	Title: "Simple Mail Transfer Protocol",
	Refs:  []string{"RFC 5321", "RFC 2920", "RFC 3207", "RFC 4954", "RFC 8314"},
	Ports: []Port{{25, wire.Plain}, {587, wire.Plain}, {465, wire.TLS}, {2525, wire.Plain}, {26, wire.Plain}},
	Keys: []Key{
		{"smtp.greeting", "greeting, every line"},
		{"smtp.ehlo", "reply to EHLO: name and extensions with parameters; once in the clear and once inside TLS"},
		{"smtp.helo", "reply to HELO, asked where EHLO is refused"},
		{"smtp.starttls", "reply to STARTTLS"},
		{"smtp.help", "reply to HELP"},
		{"smtp.quit", "reply to QUIT"},
	},
}

func (smtp) Info() *Info { return &smtpInfo }

func (smtp) Recognize(greeting []byte) Likeness {
	code, _ := replyLine(firstLine(greeting))
	speaks := containsWord(greeting, "SMTP", "ESMTP")
	switch {
	case code == 220 && containsWord(greeting, "LMTP"):
		return Possible
	case code == 220 && speaks:
		return Likely
	case code == 220 && containsWord(greeting, "mail", "smtpd", "MTA"):
		return Likely - 10
	case code == 220 && domainFollows(greeting):
		return Possible + 10
	case code == 220:
		return Possible
	case (code == 421 || code/100 == 4 || code/100 == 5) && (speaks || containsWord(greeting, "mail", "blocked", "listed", "RBL")):
		return Likely
	case code == 554:
		return Likely // RFC 5321, 3.1: the greeting of a server that does no mail
	case code == 421 && domainFollows(greeting):
		return Possible + 10
	case code == 421 || code == 450 || code == 451 || code == 521 || code == 550:
		return Possible
	}
	return Unlike
}

// domainFollows says whether the first word after the code has a dot inside, as the
// greeting of SMTP must begin with the server's domain (RFC 5321, 4.2).
func domainFollows(greeting []byte) bool {
	line := firstLine(greeting)
	if len(line) < 5 {
		return false
	}
	word, _, _ := bytes.Cut(line[4:], []byte(" "))
	i := bytes.IndexByte(word, '.')
	return i > 0 && i < len(word)-1
}

func (smtp) Converse(c *wire.Conversation, o *Observation) error {
	d := &mailDialogue{c, o, &smtpInfo}
	greeting, err := readStrictReply(c)
	o.Note("smtp.greeting", greeting.Text)
	switch {
	case err != nil:
		return err
	case greeting.Code == 220:
		err := d.talk(d.ehlo)
		if errors.Is(err, errRefused) {
			return d.greetLocally()
		}
		return err
	case greeting.Code/100 < 4:
		return fmt.Errorf("SMTP does not greet with %d: %w", greeting.Code, ErrOtherProtocol)
	}
	o.Declined = true
	err = d.quit()
	// RFC 5321, 3.1: who greets with 554 still takes QUIT. With other codes the rest
	// of the family would answer the same.
	o.Confirmed = greeting.Code == 554 && bytes.HasPrefix(o.Text("smtp.quit"), []byte("221"))
	return err
}

// ehlo introduces us, by HELO where EHLO is refused. Both are agreed to by 250 and nothing else
// (RFC 5321, 4.3.2).
func (d *mailDialogue) ehlo() (reply, error) {
	name := helloName(d.c)
	hello, err := d.ask("ehlo", "EHLO "+name)
	switch {
	case err != nil:
		return hello, err
	case hello.Code == 250:
		d.o.Confirmed = true
		return hello, nil
	case refusesMail(hello):
		d.o.Confirmed, d.o.Declined = true, true
		return hello, nil
	case wantsLogin(hello):
		return hello, d.other("EHLO is answered with a demand for a login")
	}
	return d.helo(name)
}

// helo introduces us as RFC 821 had it.
func (d *mailDialogue) helo(name string) (reply, error) {
	helo, err := d.ask("helo", "HELO "+name)
	switch {
	case err != nil:
		return helo, err
	case helo.Code == 250:
		d.o.Confirmed = true
	case refusesMail(helo):
		d.o.Confirmed, d.o.Declined = true, true
	default:
		return helo, errRefused
	}
	return helo, nil
}

// errRefused says that neither EHLO nor HELO is known here. LMTP must do so (RFC 2033, 4.1).
var errRefused = errors.New("neither EHLO nor HELO is accepted")

// greetLocally goes on as LMTP where the server takes LHLO. What it has said until then is
// an LMTP server's words, and is noted as such.
func (d *mailDialogue) greetLocally() error {
	local := &mailDialogue{d.c, d.o, &lmtpInfo}
	return local.talk(func() (reply, error) {
		hello, err := local.lhlo()
		if err == nil && d.o.Protocol == "" {
			d.o.Protocol = lmtpInfo.Name
			for i, e := range d.o.Evidence {
				if what, ok := strings.CutPrefix(e.Key, "smtp."); ok {
					d.o.Evidence[i].Key = lmtpInfo.Name + "." + what
				}
			}
		}
		return hello, err
	})
}

// refusesMail is true for a reply to EHLO that only a mail server gives: it has understood
// us and does not want us. The rest of the family refuses a command that it does not know
// by 500 to 504 or 530.
func refusesMail(hello reply) bool {
	switch {
	case hello.Code == 421:
		return hasStatus(hello)
	case hello.Code/100 == 4:
		return true
	}
	return hello.Code == 521 || hello.Code/10 == 55 || hello.Code/10 == 57
}

// wantsLogin is true for FTP's answer to whatever it is asked before USER (RFC 959, 5.4).
// SMTP knows the code too, and says then in which way it is insecure (RFC 4954, 6; RFC
// 3207, 4).
func wantsLogin(r reply) bool {
	return r.Code == 530 && !hasStatus(r) && !containsWord(r.Text, "STARTTLS", "TLS")
}

// hasStatus says whether the reply carries an enhanced status code: 5.7.1 (RFC 2034, 4).
func hasStatus(r reply) bool {
	for _, line := range r.lines() {
		if len(line) >= 5 && (line[0] == '4' || line[0] == '5' || line[0] == '2') && line[1] == '.' && isDigit(line[2]) && isDigit(line[4]) {
			return true
		}
	}
	return false
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// mailDialogue is what SMTP and LMTP share (RFC 2033, 4: LMTP is SMTP with LHLO for EHLO).
type mailDialogue struct {
	c    *wire.Conversation
	o    *Observation
	info *Info // of the protocol
}

// note keeps an answer under the protocol's own key.
func (d *mailDialogue) note(what string, text []byte) {
	for i := range d.info.Keys {
		if key := d.info.Keys[i].Name; key[len(d.info.Name)+1:] == what {
			d.o.Note(key, text)
			return
		}
	}
}

// talk introduces us, goes under TLS where that is offered, introduces us again, and
// leaves.
func (d *mailDialogue) talk(introduce func() (reply, error)) error {
	hello, err := introduce()
	if err != nil {
		return err
	}
	if d.c.TLS() == nil && offers(hello, "STARTTLS") && !d.c.Manners().NoUpgrade {
		agreed, err := d.ask("starttls", "STARTTLS")
		if err != nil {
			return err
		}
		if agreed.Code == 220 {
			if err := d.c.StartTLS(); err != nil {
				return err
			}
			if hello, err = introduce(); err != nil {
				return err
			}
		}
	}
	if offers(hello, "PIPELINING") {
		return d.helpAndQuit()
	}
	if d.o.Declined {
		return d.quit()
	}
	if _, err := d.ask("help", "HELP"); err != nil {
		return err
	}
	return d.quit()
}

// helpAndQuit says both at once (RFC 2920, 3.1: QUIT ends a group). The answers are what
// comes until the server closes or falls silent: where HELP is refused, some servers sit out
// a pause before they answer QUIT (Courier 1.0: 8 seconds), and that answer tells nothing
// that would be worth it.
func (d *mailDialogue) helpAndQuit() error {
	const most = 64 << 10 // bytes in both replies
	if err := d.c.Say([]byte("HELP\r\nQUIT\r\n")); err != nil {
		return err
	}
	both, err := d.c.ReadRestUntil(most, saysGoodbye)
	if err != nil {
		return err
	}
	for _, what := range []string{"help", "quit"} {
		var r reply
		if r, both = cutReply(both); len(r.Text) == 0 {
			break
		}
		d.note(what, r.Text)
		if r.Code == 0 {
			return d.c.Malformed("a reply begins with three digits", r.Text)
		}
	}
	return nil
}

// saysGoodbye says whether two replies are there, whole: nothing follows the second.
func saysGoodbye(text []byte) bool {
	for range 2 {
		var r reply
		r, text = cutReply(text)
		last := r.Text[bytes.LastIndexByte(bytes.TrimSuffix(r.Text, []byte("\n")), '\n')+1:]
		if code, more := replyLine(last); code == 0 || code != r.Code || more || !bytes.HasSuffix(last, []byte("\n")) {
			return false
		}
	}
	return true
}

// ask says a command and notes its reply.
func (d *mailDialogue) ask(what, command string) (reply, error) {
	if err := d.c.Send(command); err != nil {
		return reply{}, err
	}
	return d.hear(what)
}

// hear reads a reply and notes it.
func (d *mailDialogue) hear(what string) (reply, error) {
	r, err := readStrictReply(d.c)
	d.note(what, r.Text)
	return r, err
}

func (d *mailDialogue) quit() error {
	if err := d.c.Send("QUIT"); err != nil {
		return onlyMalformed(err)
	}
	return d.lastWord()
}

func (d *mailDialogue) lastWord() error {
	_, err := d.hear("quit")
	return onlyMalformed(err)
}

// other takes leave without waiting and says that this is somebody else's server.
func (d *mailDialogue) other(why string) error {
	d.c.Send("QUIT")
	return fmt.Errorf("%s: %w", why, ErrOtherProtocol)
}

// onlyMalformed drops the failure of a server that does not answer our farewell: it was
// our last word, and nothing was due. What it says must still be of the protocol.
func onlyMalformed(err error) error {
	if wire.KindOf(err) == wire.Protocol {
		return err
	}
	return nil
}

// helloName is how we introduce ourselves: the caller's name, or the address literal of
// our side (RFC 5321, 4.1.3), which is valid towards a bare address too.
func helloName(c *wire.Conversation) string {
	if name := c.Manners().Hello; name != "" {
		return name
	}
	addr := c.Local().Addr().WithZone("")
	switch {
	case addr.Is4():
		return "[" + addr.String() + "]"
	case addr.Is6():
		return "[IPv6:" + addr.String() + "]"
	}
	return "[" + netip.AddrFrom4([4]byte{127, 0, 0, 1}).String() + "]"
}

// offers says whether a reply to EHLO or LHLO lists a keyword (RFC 5321, 4.1.1.1).
func offers(hello reply, keyword string) bool {
	if hello.Code != 250 {
		return false
	}
	_, rest, _ := bytes.Cut(hello.Text, []byte("\n")) // the first line is a greeting
	for line := range bytes.Lines(rest) {
		if code, _ := replyLine(line); code == hello.Code {
			line = line[min(4, len(line)):]
		}
		if word := firstWord(line); len(word) == len(keyword) && equalFold(word, keyword) {
			return true
		}
	}
	return false
}

// leave says QUIT and notes the answer. A server that just closes is no failure.
func leave(c *wire.Conversation, o *Observation, key string) error {
	bye, err := ask(c, "QUIT")
	o.Note(key, bye.Text)
	return onlyMalformed(err)
}
