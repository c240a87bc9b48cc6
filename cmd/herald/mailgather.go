package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"herald/audit/login"
	"herald/audit/mail"
	"herald/wire"
)

// obtain gathers, or reads what was gathered before.
func (f mailFlags) obtain(ctx context.Context, args []string, roots *x509.CertPool) (*mail.Facts, error) {
	if f.from == "" {
		return f.gather(ctx, args, roots)
	}
	if len(args) > 0 || f.host != "" || len(f.services) > 0 || f.roundTrip {
		return nil, usagef("--from: the facts say what they are about; leave domain, --host, --services and --round-trip out")
	}
	file, err := os.Open(f.from)
	if err != nil {
		return nil, usagef("--from: %w", err)
	}
	defer file.Close()
	facts, err := mail.ReadFacts(f.from, file)
	return facts, usage(err)
}

func (f mailFlags) gather(ctx context.Context, args []string, roots *x509.CertPool) (*mail.Facts, error) {
	q := mail.Question{Host: f.host, Services: f.services, Selectors: f.dkim, Senders: f.senders}
	if len(args) == 1 {
		q.Domain = args[0]
	}
	for _, a := range f.senders {
		if _, err := netip.ParseAddr(a); err != nil {
			return nil, usagef("--senders: %w", err)
		}
	}
	g, err := f.gatherer()
	if err != nil {
		return nil, usage(err)
	}
	if g.RoundTrip, err = f.trip(roots); err != nil {
		return nil, usage(err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	facts, err := g.Gather(ctx, q)
	switch {
	case errors.Is(err, mail.ErrQuestion):
		return nil, usagef("%w (see 'herald mail --help')", err)
	case errors.Is(err, mail.ErrMailbox):
		return nil, usagef("--mailbox: %w", err)
	}
	return facts, err
}

func (f mailFlags) gatherer() (mail.Gatherer, error) {
	g := mail.Gatherer{
		Caller:   wire.Caller{Manners: wire.Manners{Hello: f.hello}},
		Relay:    f.relay,
		Sender:   f.sender,
		Patience: f.patience, TLSScan: f.tlsScan, Injection: f.injection, Documents: !f.noDocuments,
	}
	for _, said := range []struct{ flag, value string }{{"--helo", f.hello}, {"--relay-to", f.relay}, {"--sender", f.sender}} {
		if strings.ContainsAny(said.value, "\r\n<> ") {
			return g, fmt.Errorf("%s %q: without spaces and angle brackets", said.flag, said.value)
		}
	}
	if len(f.connect) > 0 {
		elsewhere, err := parseConnect(f.connect)
		if err != nil {
			return g, err
		}
		g.Caller.Transport = elsewhere
	}
	err := f.setRecords(&g)
	return g, err
}

// trip is the round trip that is asked for, nil for none.
func (f mailFlags) trip(roots *x509.CertPool) (*mail.TripRequest, error) {
	if !f.roundTrip {
		return nil, nil
	}
	if f.delivery <= 0 {
		return nil, fmt.Errorf("--round-trip-timeout %s: want a time to wait, like 2m", f.delivery)
	}
	store, err := login.NewStore(f.credentialsFile, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("--credentials-file: %w", err)
	}
	who, err := store.Get(f.credentials)
	if err != nil {
		return nil, fmt.Errorf("--round-trip: %w", err)
	}
	return &mail.TripRequest{Who: who, Mailbox: f.mailbox, Patience: f.delivery, Roots: roots, AnyCertificate: f.anyCertificate, Tell: f.tell}, nil
}
