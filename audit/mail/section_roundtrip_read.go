package mail

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"herald/audit"
)

// read reads one round trip.
func (t *Trips) read(f *audit.File, n ast.Node) error {
	one := &tripExpected{patience: TripPatience}
	var certificate string
	var idAt, mailboxAt ast.Node
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"id":          func(n ast.Node) error { idAt = n; return audit.ReadText(&one.id)(n) },
		"credentials": audit.ReadText(&one.credentials),
		"mailbox":     func(n ast.Node) error { mailboxAt = n; return audit.ReadText(&one.mailbox)(n) },
		"submit":      one.places(f, "submit", "smtp"),
		"fetch":       one.places(f, "fetch", "imap", "pop3"),
		"deliver":     one.places(f, "deliver", "smtp"),
		"certificate": audit.ReadWord(&certificate, "trusted", "any"),
		"timeout":     one.readTimeout,
		"expect":      one.readExpect,
	})
	if err != nil {
		return err
	}
	one.anyCertificate = certificate == "any"
	if lacks := one.lacks(); lacks != "" {
		return audit.At(n, "%s", lacks)
	}
	if one.mailbox != "" {
		if err := (&TripRequest{Mailbox: one.mailbox}).check(Question{}); err != nil {
			return audit.At(mailboxAt, "%v", err)
		}
	}
	for _, before := range t.list {
		if before.id == one.id {
			return audit.At(idAt, "id %q is used in line %d already", one.id, before.line)
		}
	}
	one.line, one.col = audit.PositionOf(idAt)
	t.list = append(t.list, one)
	return nil
}

func (one *tripExpected) readTimeout(n ast.Node) error {
	var text string
	if err := audit.ReadText(&text)(n); err != nil {
		return err
	}
	d, err := audit.ParseDuration(text)
	if err != nil || d <= 0 || d > time.Hour {
		return audit.At(n, "%q: want a time to wait for delivery, an hour at most, like 2m", text)
	}
	one.patience = d
	return nil
}

func (one *tripExpected) readExpect(n ast.Node) error {
	leaks := true
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"delay":           one.readDelay,
		"dkim":            audit.ReadWord(&one.dkim, "pass", "any"),
		"leaks_client_ip": audit.ReadYes(&leaks),
	})
	one.hidesAuthor = !leaks
	return err
}

func (one *tripExpected) readDelay(n ast.Node) error {
	var text string
	if err := audit.ReadText(&text)(n); err != nil {
		return err
	}
	bound, err := audit.DurationBound(text)
	if err != nil {
		return audit.At(n, "%v", err)
	}
	one.delay = bound
	return nil
}

// lacks says what is missing of a round trip, "" for nothing.
func (one *tripExpected) lacks() string {
	has := func(role string) bool {
		return slices.ContainsFunc(one.at, func(p TripPlace) bool { return p.Role == role })
	}
	switch {
	case one.id == "":
		return `a round trip without "id"`
	case one.credentials == "":
		return `without "credentials", the name of whose mailbox it is`
	case !has("submit") && !has("deliver"):
		return `without "submit", the places that take the message`
	case !has("fetch"):
		return `without "fetch", the places that show it`
	}
	return ""
}

// places reads where something is done: "mail:465" or "mail:10465", whose number tells how it
// is spoken, or {at: mail:4650, protocol: smtp, security: tls}.
func (one *tripExpected) places(f *audit.File, role string, protocols ...string) func(ast.Node) error {
	return func(n ast.Node) error {
		return audit.ReadOneOrList(n, func(n ast.Node) error {
			w := writtenPlace{at: n}
			if err := w.read(n, protocols); err != nil {
				return err
			}
			places, err := f.Places(w.text)
			if err != nil {
				return audit.At(w.at, "%v", err)
			}
			for _, p := range places {
				place, err := w.place(p, role, protocols)
				if err != nil {
					return err
				}
				one.at = append(one.at, place)
			}
			return nil
		})
	}
}

// writtenPlace is a place as a file has it.
type writtenPlace struct {
	text, protocol, security string // the latter two "" where the port's number tells
	at                       ast.Node
}

func (w *writtenPlace) read(n ast.Node, protocols []string) error {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		return audit.ReadText(&w.text)(n)
	}
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"at":       func(n ast.Node) error { w.at = n; return audit.ReadText(&w.text)(n) },
		"protocol": audit.ReadWord(&w.protocol, protocols...),
		"security": audit.ReadWord(&w.security, "starttls", "tls"),
	})
	if err == nil && w.text == "" {
		err = audit.At(n, `without "at", the place`)
	}
	return err
}

// place is one of the addresses that were meant, with how it is spoken there.
func (w *writtenPlace) place(p audit.Place, role string, protocols []string) (TripPlace, error) {
	custom := customOf(p.Port)
	place := TripPlace{Role: role, Host: p.Host, Port: p.Port, Protocol: cmp.Or(w.protocol, custom.protocol)}
	switch w.security {
	case "":
		place.Security = custom.security
	case "starttls":
		place.Security = "plain"
	default:
		place.Security = w.security
	}
	if custom.protocol == "" && (w.protocol == "" && len(protocols) > 1 || w.security == "") {
		return place, audit.At(w.at, "port %d tells neither protocol nor security: write {at: %q, protocol: %s, security: tls}", p.Port, w.text, protocols[0])
	}
	place.Protocol = cmp.Or(place.Protocol, protocols[0])
	if !slices.Contains(protocols, place.Protocol) {
		return place, audit.At(w.at, "%s speaks %s; %s wants %s", w.text, place.Protocol, role, strings.Join(protocols, " or "))
	}
	return place, nil
}
