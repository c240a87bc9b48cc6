package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"syscall"
)

// Op is what was being done when a failure came. Stable strings, part of the output.
type Op string

const (
	OpResolve   Op = "resolve"
	OpDial      Op = "dial"
	OpHandshake Op = "handshake"
	OpRead      Op = "read"
	OpWrite     Op = "write"
)

// Kind is what kind of failure it was. Stable strings, part of the output; kinds are
// only ever added.
type Kind string

const (
	NotFound    Kind = "not-found"   // the name does not exist, or has no address
	Unresolved  Kind = "unresolved"  // the name could not be looked up
	Excluded    Kind = "excluded"    // the user asked not to go there
	Refused     Kind = "refused"     // RST to our SYN
	Unreachable Kind = "unreachable" // no route, or an ICMP message said so
	Timeout     Kind = "timeout"     // nothing came in time
	Reset       Kind = "reset"       // RST on a standing connection
	Closed      Kind = "closed"      // FIN where more was due
	NotTLS      Kind = "not-tls"     // a handshake was answered with something else
	TLSAlert    Kind = "tls-alert"   // the server ended the handshake with an alert
	TLSFailed   Kind = "tls-failed"  // the handshake failed on our side
	Protocol    Kind = "protocol"    // the reply does not fit the protocol's grammar
	Limit       Kind = "limit"       // a bound of ours was reached; Err says which
	Canceled    Kind = "canceled"    // the caller gave up
	Exhausted   Kind = "exhausted"   // this machine ran out of ports, files or memory
	Internal    Kind = "internal"    // a defect in our hands, a panic included
)

// Failure is how a conversation ended before its time. It is a result, not a defect.
type Failure struct {
	Op    Op
	Kind  Kind
	Alert uint8 // the TLS alert's number (RFC 8446, 6.2) where Kind is tls-alert
	Err   error // the cause, for people; never compared by its text
}

func (f *Failure) Error() string {
	s := string(f.Op) + ": " + string(f.Kind)
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Brief is the failure in a few words: the operation, the kind, and the name of an alert.
func (f *Failure) Brief() string {
	s := string(f.Op) + ": " + string(f.Kind)
	if f.Kind == TLSAlert {
		s += ", " + strings.TrimPrefix(tls.AlertError(f.Alert).Error(), "tls: ")
	}
	return s
}

func (f *Failure) Unwrap() error { return f.Err }

// KindOf returns the kind of the failure in err, "" where there is none.
func KindOf(err error) Kind {
	var f *Failure
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}

// FailureOf turns any error of a network operation into a failure, by type and number.
func FailureOf(op Op, err error) *Failure { return failureOf(op, err) }

func failureOf(op Op, err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	f = &Failure{Op: op, Err: err}
	f.Kind, f.Alert = kindOf(err)
	return f
}

func kindOf(err error) (Kind, uint8) {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var number syscall.Errno
	if alert, ok := remoteAlert(err); ok {
		return TLSAlert, alert
	}
	switch {
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return NotFound, 0
		}
		return Unresolved, 0
	case errors.As(err, &record):
		return NotTLS, 0
	case errors.Is(err, context.Canceled):
		return Canceled, 0
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout, 0
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Closed, 0
	case errors.As(err, &number):
		return kindOfErrno(number), 0
	case errors.Is(err, net.ErrClosed):
		return Canceled, 0
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return TLSFailed, 0
	}
	return Internal, 0
}

func kindOfErrno(n syscall.Errno) Kind {
	switch n {
	case syscall.ECONNREFUSED:
		return Refused
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return Reset
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
		syscall.EACCES, syscall.EPERM, syscall.EINVAL, syscall.ENETRESET, syscall.ENOPROTOOPT,
		syscall.EPROTO:
		return Unreachable // EACCES and EPERM: a local packet filter; EINVAL: no route to such an address
	case syscall.ETIMEDOUT:
		return Timeout
	case syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.EAGAIN:
		return Exhausted
	case syscall.EAFNOSUPPORT:
		return Unreachable
	}
	return Internal
}

// remoteAlert finds the number of an alert that the peer sent. crypto/tls keeps the type
// of alerts to itself (a uint8 inside a net.OpError), so it is recognised by its kind.
func remoteAlert(err error) (uint8, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(v.Uint()), true
}

// limitReached says which bound of ours ended the conversation.
func limitReached(op Op, what string, value any) *Failure {
	return &Failure{Op: op, Kind: Limit, Err: fmt.Errorf("%s exceeds %v", what, value)}
}

// protocolError says where a reply leaves its protocol's grammar; the offending bytes
// are quoted and cut, since they come from a stranger.
func protocolError(what string, got []byte) *Failure {
	const most = 60
	text := strconv.QuoteToASCII(string(got[:min(len(got), most)]))
	return &Failure{Op: OpRead, Kind: Protocol, Err: fmt.Errorf("%s: %s", what, text)}
}
