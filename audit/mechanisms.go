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
		add(mechanismsIn(protocol, words)...)
		disabled = disabled || strings.EqualFold(words[0], "LOGINDISABLED")
	}
	if protocol == "imap" && !disabled {
		add("LOGIN") // RFC 9051, 6.2.3: the command, unless LOGINDISABLED
	}
	return offered
}

// mechanismsIn are those that one capability offers: its name and its parameters.
func mechanismsIn(protocol string, words []string) []string {
	name, parameters := strings.ToUpper(words[0]), words[1:]
	first, hasFirst := strings.CutPrefix(name, "AUTH=")
	mail := protocol == "smtp" || protocol == "lmtp"
	switch {
	case mail && name == "AUTH":
		return parameters
	case mail && hasFirst: // before RFC 4954
		return append([]string{first}, parameters...)
	case protocol == "imap" && hasFirst:
		return []string{first}
	case (protocol == "pop3" || protocol == "sieve" || protocol == "nntp") && name == "SASL":
		return parameters
	case protocol == "pop3" && name == "USER":
		return []string{"USER"}
	case protocol == "nntp" && name == "AUTHINFO" && slices.ContainsFunc(parameters, func(w string) bool { return strings.EqualFold(w, "USER") }):
		return []string{"USER"}
	}
	return nil
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
