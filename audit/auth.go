package audit

import (
	"slices"
	"strings"

	"herald/report"
	"herald/wire"
)

func (j *judge) auth() {
	a := &j.service.Expect.Auth
	clear, protected := j.fact.capabilities()
	if j.fact.spoken() == wire.TLS {
		// TLS from the first byte: what was heard before it is nothing.
		if protected == nil {
			protected = clear
		}
		if a.BeforeTLS != nil && !a.BeforeTLS.Any {
			j.mechanisms("auth-before-tls", a.BeforeTLS, []string{})
		}
	} else if a.BeforeTLS != nil && !a.BeforeTLS.Any {
		j.mechanisms("auth-before-tls", a.BeforeTLS, mechanisms(j.fact.Record.Protocol, clear))
	}
	if a.AfterTLS == nil || a.AfterTLS.Any {
		return
	}
	if j.fact.spoken() == wire.Plain {
		if j.judgedByMode() {
			j.add(NA, "auth-after-tls", a.AfterTLS.String(), "no TLS")
		} else {
			j.add(Fail, "auth-after-tls", a.AfterTLS.String(), "no TLS").fix("offer TLS")
		}
		return
	}
	j.mechanisms("auth-after-tls", a.AfterTLS, mechanisms(j.fact.Record.Protocol, protected))
}

func (j *judge) mechanisms(id string, want *Mechanisms, offered []string) {
	if offered == nil || !slices.Contains(hasMechanisms, j.fact.Record.Protocol) {
		j.add(Unknown, id, want.String(), "the server does not tell")
		return
	}
	seen := "none"
	if len(offered) > 0 {
		seen = report.Printable(strings.Join(offered, ", "), 200)
	}
	ok := want.None && len(offered) == 0
	if !want.None {
		missing, unwanted := want.List.against(offered)
		ok = len(missing)+len(unwanted) == 0
	}
	f := j.check(ok, id, want.String(), seen)
	if id == "auth-before-tls" {
		f.fix("let the server offer logins only inside TLS")
	} else {
		f.fix("set the mechanisms in the server's settings")
	}
}

// cleartext looks for passwords in the clear on a published port.
func (j *judge) cleartext() {
	if !j.service.Published || j.fact.spoken() == wire.TLS {
		return
	}
	e, r := &j.service.Expect, j.fact.Record
	clear, _ := j.fact.capabilities()
	var how string
	switch r.Protocol {
	case "telnet", "rlogin", "rsh", "exec":
		how = r.Protocol + " has no other way"
	case "ftp":
		if !offersTLS("ftp", clear) && j.fact.spoken() == wire.Plain {
			how = "AUTH TLS is not offered"
		}
	case "http":
		if challenge := j.fact.said("http.header.www-authenticate"); len(challenge) >= 5 && strings.EqualFold(challenge[:5], "basic") {
			how = "the page asks for a password by Basic (RFC 7617)"
		}
	default:
		var offered []string
		for _, m := range mechanisms(r.Protocol, clear) {
			if slices.Contains(readable, m) {
				offered = append(offered, m)
			}
		}
		if len(offered) > 0 {
			how = "offered in the clear: " + strings.Join(offered, ", ")
		}
	}
	if how == "" {
		return
	}
	const expected = "passwords inside TLS only"
	switch {
	case e.ModeOf(j.place) == wire.Plain && !j.service.Guess, e.Auth.BeforeTLS != nil && e.Auth.BeforeTLS.Any:
		j.add(NA, "cleartext-login", expected, how+"; said to be meant")
	case e.Auth.BeforeTLS != nil:
		// judged by auth-before-tls
	default:
		j.add(Warn, "cleartext-login", expected, how).
			fix("let the server offer logins inside TLS only; where the clear is meant, say so: \"plain\" or \"auth-before-tls=any\"")
	}
}
