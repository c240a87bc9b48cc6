package mail

import (
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"herald/audit"
)

func (t *Trips) read(f *audit.File, n ast.Node) error {
	one := &tripExpected{patience: TripPatience}
	var certificate string
	var idAt, mailboxAt ast.Node
	leaks := true
	err := audit.ReadMap(n, map[string]func(ast.Node) error{
		"id":          func(n ast.Node) error { idAt = n; return audit.ReadText(&one.id)(n) },
		"credentials": audit.ReadText(&one.credentials),
		"mailbox":     func(n ast.Node) error { mailboxAt = n; return audit.ReadText(&one.mailbox)(n) },
		"submit":      one.places(f, "submit", "smtp"),
		"fetch":       one.places(f, "fetch", "imap", "pop3"),
		"deliver":     one.places(f, "deliver", "smtp"),
		"certificate": audit.ReadWord(&certificate, "trusted", "any"),
		"timeout": func(n ast.Node) error {
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
		},
		"expect": func(n ast.Node) error {
			return audit.ReadMap(n, map[string]func(ast.Node) error{
				"delay": func(n ast.Node) error {
					var text string
					err := audit.ReadText(&text)(n)
					if err == nil {
						if one.delay, err = audit.DurationBound(text); err != nil {
							err = audit.At(n, "%v", err)
						}
					}
					return err
				},
				"dkim":            audit.ReadWord(&one.dkim, "pass", "any"),
				"leaks_client_ip": audit.ReadYes(&leaks),
			})
		},
	})
	if err != nil {
		return err
	}
	one.anyCertificate, one.hidesAuthor = certificate == "any", !leaks
	has := func(role string) bool {
		return slices.ContainsFunc(one.at, func(p TripPlace) bool { return p.Role == role })
	}
	for _, wrong := range []struct {
		is   bool
		says string
	}{
		{one.id == "", `a round trip without "id"`},
		{one.credentials == "", `without "credentials", the name of whose mailbox it is`},
		{!has("submit") && !has("deliver"), `without "submit", the places that take the message`},
		{!has("fetch"), `without "fetch", the places that show it`},
	} {
		if wrong.is {
			return audit.At(n, "%s", wrong.says)
		}
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

// places reads where something is done: "mail:465" or "mail:10465", whose number tells how it
// is spoken, or {at: mail:4650, protocol: smtp, security: tls}.
func (one *tripExpected) places(f *audit.File, role string, protocols ...string) func(ast.Node) error {
	return func(n ast.Node) error {
		return audit.ReadOneOrList(n, func(n ast.Node) error {
			var text, protocol, security string
			at := n
			switch n.(type) {
			case *ast.MappingNode, *ast.MappingValueNode:
				if err := audit.ReadMap(n, map[string]func(ast.Node) error{
					"at":       func(n ast.Node) error { at = n; return audit.ReadText(&text)(n) },
					"protocol": audit.ReadWord(&protocol, protocols...), "security": audit.ReadWord(&security, "starttls", "tls"),
				}); err != nil {
					return err
				}
				if text == "" {
					return audit.At(n, `without "at", the place`)
				}
			default:
				if err := audit.ReadText(&text)(n); err != nil {
					return err
				}
			}
			places, err := f.Places(text)
			if err != nil {
				return audit.At(at, "%v", err)
			}
			for _, p := range places {
				place := TripPlace{Role: role, Host: p.Host, Port: p.Port, Protocol: protocol, Security: strings.TrimPrefix(security, "start")}
				if security == "starttls" {
					place.Security = "plain"
				}
				custom := customOf(p.Port)
				if protocol == "" {
					place.Protocol = custom.protocol
				}
				if security == "" {
					place.Security = custom.security
				}
				if custom.protocol == "" && (protocol == "" && len(protocols) > 1 || security == "") {
					return audit.At(at, "port %d tells neither protocol nor security: write {at: %q, protocol: %s, security: tls}", p.Port, text, protocols[0])
				}
				if place.Protocol == "" {
					place.Protocol = protocols[0]
				}
				if !slices.Contains(protocols, place.Protocol) {
					return audit.At(at, "%s speaks %s; %s wants %s", text, place.Protocol, role, strings.Join(protocols, " or "))
				}
				one.at = append(one.at, place)
			}
			return nil
		})
	}
}
