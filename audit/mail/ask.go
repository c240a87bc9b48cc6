package mail

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"herald/probes"
	"herald/wire"
)

// What is asked on one connection, protocol by protocol. Nobody speaks before the
// greeting has ended, nothing is pipelined, and no secret is ever sent: a SASL exchange is
// opened to see whether the server would take a password here, and cancelled with "*".

// transaction is what port 25 is asked beyond its capabilities. No message is ever sent:
// it ends with RSET before DATA.
type transaction struct {
	domain string // recipients are in it; "" asks for postmaster alone (RFC 5321, 4.1.1.3)
	sender string // reverse-path of the relay test; "" is the null reverse-path
	relay  string // a mailbox that the server surely does not serve
	random string // a local part that surely does not exist
	unsure bool   // whether this is an exchanger shows in what it offers
}

func (t *talk) smtp(hello string, tx *transaction) {
	greeting, err := t.hear("greeting", "", time.Now().Add(-t.c.Elapsed()), smtpReply)
	if err != nil {
		return
	}
	if code(greeting) != 220 {
		t.ask("quit", "QUIT", smtpReply)
		return
	}
	if hello == "" {
		hello = addressLiteral(t.c.Local())
	}
	offered, err := t.ehlo(hello)
	if err != nil {
		return
	}
	if code(t.s.Any("ehlo").Reply) != 250 { // it would not talk to us: nothing else says more
		t.ask("quit", "QUIT", smtpReply)
		return
	}
	if t.c.TLS() == nil {
		if !t.openPlain("AUTH PLAIN", "*", smtpReply, func(r string) bool { return code(r) == 334 }) {
			return
		}
		step := "starttls"
		switch {
		case !has(offered, "STARTTLS"):
			// It is asked for nevertheless: where it works, something took it off the list.
			step = "starttls-unoffered"
		case tx != nil && !tx.unsure:
			if !t.sendInClear(tx) {
				return
			}
		}
		agreed, err := t.ask(step, "STARTTLS", smtpReply)
		if err != nil {
			return
		}
		if code(agreed) == 220 {
			if t.startTLS() != nil {
				return
			}
			if offered, err = t.ehlo(hello); err != nil {
				return
			}
		}
	}
	t.s.settle(offered)
	if tx != nil && tx.unsure && t.s.custom() != 25 {
		tx = nil
	}
	if tx != nil && !t.transact(tx, offered) {
		return
	}
	t.ask("quit", "QUIT", smtpReply)
}

func (t *talk) ehlo(hello string) ([]string, error) {
	reply, err := t.ask("ehlo", "EHLO "+hello, smtpReply)
	return probes.SMTPExtensions([]byte(reply)), err
}

// sendInClear asks whether mail is taken without TLS, and takes the question back; false
// where the conversation is over.
func (t *talk) sendInClear(tx *transaction) bool {
	reply, err := t.ask("mail-clear", "MAIL FROM:<"+tx.sender+">", smtpReply)
	if err == nil && code(reply)/100 == 2 {
		_, err = t.ask("rset-clear", "RSET", smtpReply)
	}
	return err == nil
}

// transact is the transaction's part; false where the conversation is over.
func (t *talk) transact(tx *transaction, offered []string) bool {
	at := ""
	if tx.domain != "" {
		at = "@" + tx.domain
	}
	accepted := func(reply string, err error) bool { return err == nil && code(reply)/100 == 2 }
	if accepted(t.ask("mail-null", "MAIL FROM:<>", smtpReply)) {
		t.ask("rcpt-postmaster", "RCPT TO:<postmaster"+at+">", smtpReply)
	}
	if _, err := t.ask("rset", "RSET", smtpReply); err != nil {
		return false
	}
	if accepted(t.ask("mail", "MAIL FROM:<"+tx.sender+">", smtpReply)) {
		if tx.domain != "" {
			t.ask("rcpt-abuse", "RCPT TO:<abuse"+at+">", smtpReply)
			t.ask("rcpt-random", "RCPT TO:<"+tx.random+at+">", smtpReply)
		}
		t.ask("rcpt-relay", "RCPT TO:<"+tx.relay+">", smtpReply)
	}
	if _, err := t.ask("rset", "RSET", smtpReply); err != nil {
		return false
	}
	if n := sizeLimit(offered); n > 0 {
		if accepted(t.ask("mail-size", fmt.Sprintf("MAIL FROM:<> SIZE=%d", n+1), smtpReply)) {
			t.ask("rset", "RSET", smtpReply)
		}
	}
	t.ask("vrfy", "VRFY "+tx.random+at, smtpReply)
	t.ask("expn", "EXPN "+tx.random, smtpReply)
	return t.c.Failure() == nil
}

// sizeLimit is the limit that a server names with SIZE, in bytes (RFC 1870, 3); 0 without.
func sizeLimit(offered []string) uint64 {
	value, _ := parameter(offered, "SIZE")
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return 0
	}
	return n
}

// openPlain begins a PLAIN exchange and cancels it where the server goes along (RFC 4954,
// 4; RFC 9051, 6.2.2; RFC 5034, 4).
func (t *talk) openPlain(command, cancel string, read func(*wire.Conversation) ([]byte, error), goes func(string) bool) bool {
	reply, err := t.ask("auth", command, read)
	if err == nil && goes(reply) {
		_, err = t.ask("cancel", cancel, read)
	}
	return err == nil
}

func (t *talk) imap() {
	greeting, err := t.hear("greeting", "", time.Now().Add(-t.c.Elapsed()), oneLine)
	if err != nil || !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		if err == nil && strings.HasPrefix(strings.ToUpper(greeting), "* PREAUTH") {
			t.command("capability", "CAPABILITY")
			t.command("logout", "LOGOUT")
		}
		return
	}
	list, err := t.command("capability", "CAPABILITY")
	if err != nil {
		return
	}
	offered := probes.IMAPCapabilities([]byte(list))
	if t.c.TLS() == nil {
		reply, err := t.command("auth", "AUTHENTICATE PLAIN")
		if err == nil && strings.HasPrefix(reply, "+") {
			_, err = t.ask("cancel", "*", untilTag("h2"))
		}
		if err != nil {
			return
		}
		if has(offered, "STARTTLS") {
			agreed, err := t.command("starttls", "STARTTLS")
			if err != nil {
				return
			}
			if tagged(agreed) == "OK" {
				if t.startTLS() != nil {
					return
				}
				if list, err = t.command("capability", "CAPABILITY"); err != nil {
					return
				}
				offered = probes.IMAPCapabilities([]byte(list))
			}
		}
	}
	if has(offered, "ID") {
		if _, err := t.command("id", "ID NIL"); err != nil {
			return
		}
	}
	t.command("logout", "LOGOUT")
}

// tagged is the status of the tagged response at the end: OK, NO, BAD; "" without.
func tagged(reply string) string {
	lines := strings.Split(strings.TrimRight(reply, "\r\n"), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(fields) < 2 || fields[0] == "*" || fields[0] == "+" {
		return ""
	}
	return strings.ToUpper(fields[1])
}

func (t *talk) pop3() {
	greeting, err := t.hear("greeting", "", time.Now().Add(-t.c.Elapsed()), oneLine)
	if err != nil || !positive(greeting) {
		return
	}
	list, err := t.ask("capa", "CAPA", popBlock)
	if err != nil {
		return
	}
	offered := probes.POP3Capabilities([]byte(list))
	if t.c.TLS() == nil {
		if !t.openPlain("AUTH PLAIN", "*", oneLine, func(r string) bool { return strings.HasPrefix(r, "+") && !positive(r) }) {
			return
		}
		switch {
		case has(offered, "STLS"):
			agreed, err := t.ask("starttls", "STLS", oneLine)
			if err != nil {
				return
			}
			if positive(agreed) {
				if t.startTLS() != nil {
					return
				}
				if _, err := t.ask("capa", "CAPA", popBlock); err != nil {
					return
				}
			}
		default:
			// A name alone, which nobody has: to take it is to ask for its password next.
			// Where STLS is offered this is not asked, since after USER nothing but PASS or
			// QUIT need be understood (RFC 1939, 7).
			if _, err := t.ask("user", "USER herald-asks-only", oneLine); err != nil {
				return
			}
		}
	}
	t.ask("quit", "QUIT", oneLine)
}

// positive says whether a POP3 reply is +OK.
func positive(reply string) bool {
	return strings.HasPrefix(reply, "+OK") && (len(reply) == 3 || strings.ContainsRune(" \r\n\t", rune(reply[3])))
}

func (t *talk) sieve() {
	greeting, err := t.hear("greeting", "", time.Now().Add(-t.c.Elapsed()), sieveResponse)
	if err != nil {
		return
	}
	offered := probes.SieveCapabilities([]byte(greeting))
	if len(offered) == 0 {
		return
	}
	if t.c.TLS() == nil {
		reply, err := t.ask("auth", `AUTHENTICATE "PLAIN"`, sieveChallenge)
		if err == nil && (strings.HasPrefix(reply, `"`) || strings.HasPrefix(reply, "{")) {
			_, err = t.ask("cancel", `"*"`, sieveResponse) // RFC 5804, 2.1: the string "*" cancels
		}
		if err != nil {
			return
		}
		if has(offered, "STARTTLS") {
			agreed, err := t.ask("starttls", "STARTTLS", sieveResponse)
			if err != nil {
				return
			}
			if strings.HasPrefix(strings.ToUpper(agreed), "OK") {
				if t.startTLS() != nil {
					return
				}
				// RFC 5804, 2.2: the capabilities come again, unasked.
				if _, err := t.hear("capability", "", time.Now(), sieveResponse); err != nil {
					return
				}
			}
		}
	}
	t.ask("logout", "LOGOUT", sieveResponse)
}

// has says whether the list has a capability of that name, whatever its parameters.
func has(list []string, name string) bool {
	_, ok := parameter(list, name)
	return ok
}

// parameter is what follows a capability's name, and whether the list has it.
func parameter(list []string, name string) (string, bool) {
	for _, item := range list {
		if word, rest, _ := strings.Cut(item, " "); strings.EqualFold(word, name) {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// addressLiteral is our side as EHLO names it (RFC 5321, 4.1.3).
func addressLiteral(local netip.AddrPort) string {
	addr := local.Addr().WithZone("")
	switch {
	case addr.Is4():
		return "[" + addr.String() + "]"
	case addr.Is6():
		return "[IPv6:" + addr.String() + "]"
	}
	return "[127.0.0.1]"
}
