package mail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"herald/audit/login"
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
