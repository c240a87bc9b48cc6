package probes

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"herald/wire"
)

// FTP speaks the File Transfer Protocol on its control connection. It never logs in, not
// as anonymous either, and opens no data connection: what a server says of those before a
// login is evidence. Questions go out one at a time, since many servers take no other way,
// and end after a few refusals, since some count them.
var FTP = add(ftp{})

type ftp struct{}

var ftpInfo = Info{
	Name:  "ftp",
	Title: "File Transfer Protocol",
	Refs:  []string{"RFC 959", "RFC 2228", "RFC 2389", "RFC 2428", "RFC 4217"},
	Ports: []Port{{21, wire.Plain}, {990, wire.TLS}, {2121, wire.Plain}},
	Keys: []Key{
		{"ftp.greeting", "greeting, every line; a second one where the first asks for patience (120)"},
		{"ftp.feat", "reply to FEAT, every line; once in the clear and once inside TLS"},
		{"ftp.syst", "reply to SYST"},
		{"ftp.help", "reply to HELP, asked where FEAT is refused"},
		{"ftp.auth", "reply to AUTH TLS"},
		{"ftp.pbsz", "reply to PBSZ 0, asked inside TLS"},
		{"ftp.prot", "reply to PROT P, asked inside TLS"},
		{"ftp.pasv", "reply to PASV before a login"},
		{"ftp.epsv", "reply to EPSV before a login, asked where PASV does not settle it"},
		{"ftp.epsv-all", "reply to EPSV ALL, asked where EPSV is accepted"},
		{"ftp.port", "reply to PORT or EPRT with our own address before a login, asked where a passive port was given"},
		{"ftp.noop", "reply to NOOP, asked where nothing before was an answer of FTP's own"},
		{"ftp.unknown", "first reply to a command that the server does not know"},
		{"ftp.quit", "reply to QUIT"},
	},
}

func (ftp) Info() *Info { return &ftpInfo }

func (ftp) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	code, _ := replyLine(line)
	named := indexFold(greeting, "ftp") >= 0 && !containsWord(greeting, "SMTP", "ESMTP", "LMTP")
	switch code {
	case 120, 220, 230, 421, 530:
		switch {
		case named && containsWord(greeting, "FTP"):
			return Likely + 10
		case named, code == 120, code == 530:
			return Likely // of the family, FTP alone begins with 120 or 530 (RFC 959, 5.4)
		case containsWord(greeting, "SMTP", "ESMTP", "LMTP"):
			return Unlike
		}
		return Possible
	case 500, 501, 550, 426:
		if named {
			return Likely
		}
	}
	return Unlike
}

func (ftp) Converse(c *wire.Conversation, o *Observation) error {
	t := ftpTalk{c: c, o: o}
	greeting, err := t.hear("ftp.greeting")
	if err == nil && greeting.Code/100 == 1 {
		greeting, err = t.hear("ftp.greeting") // RFC 959, 5.4: 120, then 220 when it is ready
		o.Declined = err != nil
	}
	switch {
	case err != nil:
		return err
	case greeting.Code == 421, greeting.Code/100 == 5:
		o.Declined = true
		t.refused = 0
		_, err := t.ask("ftp.quit", "QUIT")
		return onlyMalformed(err)
	case !greeting.positive():
		return fmt.Errorf("FTP does not greet with %d: %w", greeting.Code, ErrOtherProtocol)
	}
	if o.After != nil && o.After.Then == ftpInfo.Name {
		err = t.transfers(bytes.HasPrefix(o.After.Text("ftp.pasv"), []byte("227")))
	} else {
		err = t.meet()
	}
	if err != nil || t.left {
		return err
	}
	_, err = t.ask("ftp.quit", "QUIT")
	return onlyMalformed(err)
}

// ftpTalk is a conversation and how much of the server's patience is used.
type ftpTalk struct {
	c       *wire.Conversation
	o       *Observation
	refused int
	over    bool // the server has said 421 and closes
	left    bool // we have said QUIT
}

// mostRefusals is how many questions may be refused before we leave it at that.
const mostRefusals = 3

func (t *ftpTalk) tired() bool { return t.over || t.refused >= mostRefusals }

// meet asks the questions, those that decide whether this is FTP at all first.
func (t *ftpTalk) meet() error {
	feat, err := t.ask("ftp.feat", "FEAT")
	if err != nil {
		return err
	}
	if !t.o.Confirmed && !t.over {
		if err := t.settle(); err != nil {
			return err
		}
	}
	if !t.tired() && t.c.TLS() == nil && !t.c.Manners().NoUpgrade && offersTLS(feat) {
		auth, err := t.ask("ftp.auth", "AUTH TLS")
		if err != nil {
			return err
		}
		if auth.Code == 234 {
			if err := t.c.StartTLS(); err != nil {
				return err
			}
			t.refused = 0 // what was refused for want of TLS
			if !unknownCommand(feat) {
				if feat, err = t.ask("ftp.feat", "FEAT"); err != nil {
					return err
				}
			}
		}
	}
	if t.c.TLS() != nil && !t.tired() {
		if err := t.protection(); err != nil {
			return err
		}
	}
	if feat.Code == 211 && !t.tired() {
		return t.askTogether()
	}
	if t.o.Text("ftp.syst") == nil && !t.tired() {
		if _, err := t.ask("ftp.syst", "SYST"); err != nil {
			return err
		}
	}
	if t.o.Text("ftp.help") == nil && !t.tired() {
		if _, err := t.ask("ftp.help", "HELP"); err != nil {
			return err
		}
	}
	return t.dataChannel()
}

// settle finds out whether the server speaks FTP where FEAT did not: SYST is FTP's own, and
// NOOP is answered with 200 by FTP and with 250 by SMTP.
func (t *ftpTalk) settle() error {
	for _, q := range []ftpQuestion{{"ftp.syst", "SYST"}, {"ftp.noop", "NOOP"}, {"ftp.help", "HELP"}} {
		r, err := t.ask(q.key, q.command)
		if err != nil {
			return err
		}
		if t.o.Confirmed || t.over {
			return nil
		}
		if r.Code == 250 {
			break
		}
	}
	t.c.Send("QUIT")
	return fmt.Errorf("neither FEAT nor SYST nor NOOP is answered as FTP does: %w", ErrOtherProtocol)
}

// protection asks whether data connections would be protected (RFC 4217, 8 and 9), which
// servers answer before a login.
func (t *ftpTalk) protection() error {
	size, err := t.ask("ftp.pbsz", "PBSZ 0")
	if err != nil || !size.positive() {
		return err
	}
	_, err = t.ask("ftp.prot", "PROT P")
	return err
}

// askTogether asks the rest in one piece, QUIT included: whoever lists features (RFC 2389 is
// of 1998) reads a line as a line, and each round trip saved is a tenth of a second at the
// other end of the world. Who gives an address to strangers is asked on over a connection of
// its own; one that went under TLS by AUTH is not left for that.
func (t *ftpTalk) askTogether() error {
	rest := []ftpQuestion{{"ftp.syst", "SYST"}, {"ftp.pasv", "PASV"}}
	if t.six() {
		rest[1] = ftpQuestion{"ftp.epsv", "EPSV"}
	}
	if t.c.Security() != wire.StartTLS {
		rest, t.left = append(rest, ftpQuestion{"ftp.quit", "QUIT"}), true
	}
	var message []byte
	for _, q := range rest {
		message = append(append(message, q.command...), "\r\n"...)
	}
	if err := t.c.Say(message); err != nil {
		return err
	}
	gives := false
	for i, q := range rest {
		if i > 0 {
			if words, err := t.c.Listen(restPatience); err == nil && len(words) == 0 {
				t.left = false // it took the first line alone
				return nil
			}
		}
		r, err := t.hear(q.key)
		switch {
		case q.key == "ftp.quit":
			err = onlyMalformed(err)
		case t.over:
			return nil
		case q.key != "ftp.syst":
			gives = r.positive()
		}
		if err != nil {
			return err
		}
	}
	switch {
	case gives && !t.left:
		return t.transfers(t.o.Text("ftp.pasv") != nil)
	case gives:
		t.o.Then = ftpInfo.Name
	}
	return nil
}

// restPatience is how long the second and each later answer to questions that went out
// together is awaited.
const restPatience = 2 * time.Second

type ftpQuestion struct{ key, command string }

// dataChannel asks what the server says of data connections before a login. Nearly all say
// 530, once; who gives an address is asked on, since it gives it to everybody.
func (t *ftpTalk) dataChannel() error {
	if t.tired() {
		return nil
	}
	passive := false
	if !t.six() {
		r, err := t.ask("ftp.pasv", "PASV")
		if err != nil || t.tired() || !r.positive() && !unknownCommand(r) {
			return err
		}
		passive = r.Code == 227
	}
	return t.transfers(passive)
}

// transfers asks on where PASV has not settled it. passive says that it gave an address.
func (t *ftpTalk) transfers(passive bool) error {
	own := t.c.Local().Addr()
	extended := bytes.HasPrefix(t.o.Text("ftp.epsv"), []byte("229"))
	if !extended {
		r, err := t.ask("ftp.epsv", "EPSV")
		if err != nil {
			return err
		}
		extended = r.Code == 229
	}
	if t.tired() || !own.IsValid() || !passive && !extended {
		return nil
	}
	// The port is one that nothing is asked to connect to: no transfer follows.
	port := "PORT " + strings.ReplaceAll(own.String(), ".", ",") + ",255,255"
	if own.Is6() {
		port = "EPRT |2|" + own.WithZone("").String() + "|65535|"
	}
	if _, err := t.ask("ftp.port", port); err != nil || t.tired() || !extended {
		return err
	}
	_, err := t.ask("ftp.epsv-all", "EPSV ALL") // last: it forbids the others (RFC 2428, 4)
	return err
}

// six says that PASV has no way to say our addresses (RFC 2428, 1).
func (t *ftpTalk) six() bool { return t.c.Endpoint().Addr.Addr().Unmap().Is6() }

// ask says a command and hears the reply.
func (t *ftpTalk) ask(key, command string) (reply, error) {
	if err := t.c.Send(command); err != nil {
		return reply{}, err
	}
	return t.hear(key)
}

// hear reads and notes a reply, and draws from it what is common to all.
func (t *ftpTalk) hear(key string) (reply, error) {
	r, err := readReply(t.c)
	t.o.Note(key, r.Text)
	if err != nil || key == "ftp.greeting" {
		return r, err
	}
	t.o.Confirmed = t.o.Confirmed || ftpConfirms(key, r)
	if r.Code/100 >= 4 {
		t.refused++
	}
	if r.Code == 421 && key != "ftp.quit" {
		t.over = true
	}
	if unknownCommand(r) && t.o.Text("ftp.unknown") == nil {
		t.o.Note("ftp.unknown", r.Text)
	}
	return r, nil
}

// ftpConfirms is true for a reply that only FTP gives to this question.
func ftpConfirms(key string, r reply) bool {
	if wantsLogin(r) {
		return true
	}
	switch key {
	case "ftp.feat":
		return r.Code == 211
	case "ftp.syst":
		return r.Code == 215
	case "ftp.auth":
		return r.Code == 234 || r.Code == 334 || r.Code == 431 || r.Code == 534
	case "ftp.pbsz", "ftp.prot", "ftp.noop":
		return r.Code == 200
	case "ftp.pasv":
		return r.Code == 227
	case "ftp.epsv":
		return r.Code == 229
	case "ftp.help":
		return (r.Code == 211 || r.Code == 214) && containsWord(r.Text, "RETR", "STOR", "PASV", "CWD")
	}
	return false
}

// unknownCommand is true for a command that the server does not have (RFC 959, 5.4).
func unknownCommand(r reply) bool { return r.Code == 500 || r.Code == 502 }

// offersTLS says whether AUTH TLS is worth asking: FEAT lists it (RFC 4217, 6), or FEAT
// was refused and tells nothing.
func offersTLS(feat reply) bool {
	if feat.Code != 211 {
		return true
	}
	for _, feature := range FTPFeatures(feat.Text) {
		name, mechanisms, _ := strings.Cut(strings.ToUpper(feature), " ")
		if name == "AUTH" && (strings.Contains(mechanisms, "TLS") || strings.Contains(mechanisms, "SSL")) {
			return true
		}
	}
	return false
}
