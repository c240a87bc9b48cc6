package audit

import (
	"slices"
	"strings"
)

// mechanisms are the ways to log in that a list of capabilities offers, upper case; nil
// where the list does not tell.
func mechanisms(protocol string, list []string) []string {
	if list == nil {
		return nil
	}
	offered := []string{}
	add := func(names ...string) {
		for _, n := range names {
			if n = strings.ToUpper(n); n != "" && !slices.Contains(offered, n) {
				offered = append(offered, n)
			}
		}
	}
	disabled := false
	for _, item := range list {
		words := strings.Fields(item)
		if len(words) == 0 {
			continue
		}
		name := strings.ToUpper(words[0])
		switch protocol {
		case "smtp", "lmtp":
			if name == "AUTH" {
				add(words[1:]...)
			} else if first, ok := strings.CutPrefix(name, "AUTH="); ok { // before RFC 4954
				add(first)
				add(words[1:]...)
			}
		case "imap":
			if m, ok := strings.CutPrefix(name, "AUTH="); ok {
				add(m)
			}
			disabled = disabled || name == "LOGINDISABLED"
		case "pop3", "sieve":
			if name == "SASL" {
				add(words[1:]...)
			} else if name == "USER" && protocol == "pop3" {
				add("USER")
			}
		case "nntp":
			if name == "SASL" {
				add(words[1:]...)
			} else if name == "AUTHINFO" && slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, "USER") }) {
				add("USER")
			}
		}
	}
	if protocol == "imap" && !disabled {
		add("LOGIN") // RFC 9051, 6.2.3: the command, unless LOGINDISABLED
	}
	return offered
}

// hasMechanisms are the protocols whose capabilities tell how one can log in.
var hasMechanisms = []string{"smtp", "lmtp", "imap", "pop3", "nntp", "sieve"}

// readable are the mechanisms that send a password so that a listener can read it.
var readable = []string{"PLAIN", "LOGIN", "USER", "XOAUTH2", "OAUTHBEARER"}

// offersTLS says that the server offers to go on inside TLS.
func offersTLS(protocol string, clear []string) bool {
	name := map[string]string{"smtp": "STARTTLS", "lmtp": "STARTTLS", "imap": "STARTTLS", "pop3": "STLS", "nntp": "STARTTLS", "sieve": "STARTTLS"}[protocol]
	for _, item := range clear {
		word, rest, _ := strings.Cut(strings.ToUpper(item), " ")
		if name != "" && word == name || protocol == "ftp" && word == "AUTH" && (strings.Contains(rest, "TLS") || strings.Contains(rest, "SSL")) {
			return true
		}
	}
	return false
}
