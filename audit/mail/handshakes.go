package mail

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"herald/wire"
)

// mostChain bounds the certificates of one chain that are kept.
const mostChain = 12

// tlsOf notes a handshake.
func (v *visit) tlsOf(c *wire.Conversation, into **wire.TLSState, err error) *TLS {
	if c != nil && c.TLS() != nil {
		state := c.TLS()
		*into = state
		t := &TLS{Version: state.Version, Suite: state.Cipher, Group: state.Curve, Name: state.ServerName, MS: ms(state.Duration)}
		for _, cert := range state.Chain[:min(len(state.Chain), mostChain)] {
			t.Chain = append(t.Chain, certificateKey(cert.Raw))
		}
		return t
	}
	if f := wire.FailureOf(wire.OpHandshake, err); err != nil && f.Op == wire.OpHandshake {
		return &TLS{Failure: failure("handshake", err)}
	}
	return nil
}

// handshakeAgain tries a handshake once more that ended without a word: a server may hang
// up for a limit once; one that does so on every hello does not speak TLS.
func (v *visit) handshakeAgain() {
	f := v.s.Failure
	if f == nil || f.Step != "handshake" || !hungUp(f) {
		return
	}
	var state *wire.TLSState
	if again := v.handshake(wire.TLSOffer{}, &state); again.Failure != nil && again.Failure.Op == f.Op && hungUp(again.Failure) {
		f.Twice, v.s.TLS.Failure.Twice = true, true
	}
}

// hungUp says that a connection was closed on us, or reset.
func hungUp(f *Failure) bool { return f.Kind == wire.Closed || f.Kind == wire.Reset }

// toTLS goes the shortest way to where a handshake is due, in the clear.
func (v *visit) toTLS(caller wire.Caller) (*wire.Conversation, error) {
	c, err := v.open(caller, wire.Plain)
	if err != nil || v.s.Security == "tls" {
		return c, err
	}
	return c, v.agree(c, "")
}

// agree has the server agree to TLS; more goes out in the same segment as the command.
func (v *visit) agree(c *wire.Conversation, more string) error {
	t := &talk{c: c, s: &Service{}} // its steps are no news
	if _, err := c.Listen(0); err != nil {
		return err
	}
	var reply string
	var err error
	upgrade := func(command string, read func(*wire.Conversation) ([]byte, error)) {
		began := time.Now()
		if err = c.Say([]byte(command + "\r\n" + more)); err == nil {
			reply, err = t.hear("starttls", command, began, read)
		}
	}
	agreed := false
	switch v.s.Protocol {
	case "smtp":
		if reply, err = t.hear("greeting", "", time.Now(), smtpReply); err == nil && code(reply) == 220 {
			if _, err = t.ehlo(cmp.Or(c.Manners().Hello, addressLiteral(c.Local()))); err == nil {
				upgrade("STARTTLS", smtpReply)
				agreed = code(reply) == 220
			}
		}
	case "imap":
		if _, err = t.hear("greeting", "", time.Now(), oneLine); err == nil {
			upgrade("h1 STARTTLS", untilTag("h1"))
			agreed = tagged(reply) == "OK"
		}
	case "pop3":
		if _, err = t.hear("greeting", "", time.Now(), oneLine); err == nil {
			upgrade("STLS", oneLine)
			agreed = positive(reply)
		}
	case "sieve":
		if _, err = t.hear("greeting", "", time.Now(), sieveResponse); err == nil {
			upgrade("STARTTLS", sieveResponse)
			agreed = strings.HasPrefix(strings.ToUpper(reply), "OK")
		}
	}
	if err == nil && !agreed {
		err = fmt.Errorf("it would not begin TLS: %s", clip(reply, 100))
	}
	return err
}

// handshake makes a connection for one more handshake, with another offer.
func (v *visit) handshake(offer wire.TLSOffer, into **wire.TLSState) *TLS {
	caller := v.caller()
	caller.TLS = offer
	c, err := v.toTLS(caller)
	defer func() { v.close(c) }()
	if err == nil {
		err = c.StartTLS()
	}
	if t := v.tlsOf(c, into, err); t != nil {
		return t
	}
	return &TLS{Failure: failure("handshake", err)}
}

// withoutName asks which certificate a client gets that sends no server name.
func (v *visit) withoutName() {
	if v.s.TLS == nil || v.s.TLS.Name == "" {
		return
	}
	v.s.NoName = v.handshake(wire.TLSOffer{NoSNI: true}, &v.noName)
}

// otherKey asks for the certificate of the other key type. TLS 1.2 names it in the suite,
// which is how it can be asked for (RFC 5246, 7.4.2); a server of TLS 1.3 alone is asked
// once more, another way.
func (v *visit) otherKey() {
	if len(v.main.Chain) == 0 {
		return
	}
	want, id := "ECDSA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	if v.main.Chain[0].PublicKeyAlgorithm == x509.ECDSA {
		want, id = "RSA", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	}
	suites := []uint16{id}
	for _, s := range tls.CipherSuites() {
		if strings.Contains(s.Name, "_ECDHE_"+want+"_") || strings.HasPrefix(s.Name, "TLS_ECDHE_"+want+"_") {
			suites = append(suites, s.ID)
		}
	}
	v.s.OtherWas = want
	v.s.OtherKey = v.handshake(wire.TLSOffer{
		MaxVersion:  tls.VersionTLS12,
		Certificate: func(c *tls.Config) { c.CipherSuites = suites },
	}, &v.other)
	const protocolVersion = 70 // the alert of those who do not speak TLS 1.2 (RFC 8446, 6.2)
	if f := v.s.OtherKey.Failure; f != nil && f.Alert == protocolVersion && v.s.TLS.Version >= tls.VersionTLS13 {
		v.otherKey13(want)
	}
}

// otherKey13 asks the same of a server that speaks nothing older than TLS 1.3, by the
// signature algorithms (RFC 8446, 4.2.3).
func (v *visit) otherKey13(want string) {
	signatures := map[string][]uint16{"RSA": wire.RSASignatures, "ECDSA": wire.ECDSASignatures}[want]
	c, err := v.toTLS(v.caller())
	defer func() { v.close(c) }()
	if err != nil {
		v.s.OtherKey.Failure = failure("handshake", err)
		return
	}
	chain, err := c.AskChain(signatures)
	if err != nil {
		v.s.OtherKey.Failure = failure("handshake", err)
	}
	if len(chain) == 0 {
		return // none, as with TLS 1.2
	}
	v.other = &wire.TLSState{Version: tls.VersionTLS13, Chain: chain}
	v.s.OtherKey = &TLS{Version: tls.VersionTLS13, Name: v.s.TLS.Name}
	for _, cert := range chain[:min(len(chain), mostChain)] {
		v.s.OtherKey.Chain = append(v.s.OtherKey.Chain, certificateKey(cert.Raw))
	}
}
