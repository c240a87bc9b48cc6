package probes

import (
	"bytes"
	"strings"

	"herald/wire"
)

// Sieve speaks ManageSieve, the protocol for filter scripts. It never logs in.
var Sieve = add(sieve{})

type sieve struct{}

var sieveInfo = Info{
	Name:  "sieve",
	Title: "ManageSieve, a protocol for remotely managing Sieve scripts",
	Refs:  []string{"RFC 5804"},
	Ports: []Port{{4190, wire.Plain}, {2000, wire.Plain}},
	Keys: []Key{
		{"sieve.greeting", "greeting: capabilities, a line each, and the status"},
		{"sieve.starttls", "response to STARTTLS"},
		{"sieve.capability", "capabilities that follow TLS, a line each, and the status"},
		{"sieve.implementation", "value of the capability IMPLEMENTATION, without quotes"},
		{"sieve.logout", "response to LOGOUT"},
	},
}

func (sieve) Info() *Info { return &sieveInfo }

func (sieve) Recognize(greeting []byte) Likeness {
	line := firstLine(greeting)
	if len(line) > 0 && line[0] == '"' {
		name, _, _ := bytes.Cut(line[1:], []byte(`"`))
		switch strings.ToUpper(string(name)) {
		case "IMPLEMENTATION", "SIEVE":
			return Sure
		case "SASL", "STARTTLS", "VERSION", "NOTIFY", "MAXREDIRECTS", "LANGUAGE", "OWNER", "EXTLISTS", "UNAUTHENTICATE":
			return Likely
		}
		return Unlike
	}
	switch sieveStatus(line) {
	case "BYE", "NO":
		if containsWord(line, "sieve") || bytes.HasPrefix(line, []byte("BYE")) && len(line) > 3 {
			return Possible
		}
	}
	return Unlike
}

func (sieve) Converse(c *wire.Conversation, o *Observation) error {
	status, err := sieveHear(c, o, "sieve.greeting")
	if err != nil {
		return err
	}
	offered := SieveCapabilities(o.Text("sieve.greeting"))
	if status != "OK" {
		o.Declined = true // RFC 5804, 1.2: BYE, and it closes
		return nil
	}
	if !hasWordFirst(offered, "IMPLEMENTATION") && !hasWordFirst(offered, "SIEVE") {
		return c.Malformed("a greeting lists IMPLEMENTATION and SIEVE", o.Text("sieve.greeting")) // RFC 5804, 1.7
	}
	if c.TLS() != nil || c.Manners().NoUpgrade || !hasWordFirst(offered, "STARTTLS") {
		return sieveLogout(c, o)
	}
	if err := c.Send("STARTTLS"); err != nil {
		return err
	}
	status, err = sieveHear(c, o, "sieve.starttls")
	if err != nil {
		return err
	}
	o.Confirmed = true
	if status != "OK" {
		return sieveLogout(c, o)
	}
	if err := c.StartTLS(); err != nil {
		return err
	}
	// RFC 5804, 2.2: the server lists its capabilities again, unasked. Servers from before
	// the RFC do not; by saying LOGOUT now we need not wait for what may not come.
	if err := c.Send("LOGOUT"); err != nil {
		return err
	}
	if _, err := sieveHear(c, o, "sieve.capability"); err != nil {
		return err
	}
	if last := len(o.Evidence) - 1; SieveCapabilities(o.Text("sieve.capability")) == nil {
		o.Evidence[last].Key = "sieve.logout"
		return nil
	}
	_, err = sieveHear(c, o, "sieve.logout")
	return onlyMalformed(err)
}

func sieveLogout(c *wire.Conversation, o *Observation) error {
	if err := c.Send("LOGOUT"); err != nil {
		return onlyMalformed(err)
	}
	_, err := sieveHear(c, o, "sieve.logout")
	if err != nil {
		return onlyMalformed(err)
	}
	o.Confirmed = true
	return nil
}

// sieveHear reads a response: lines of quoted capabilities or none, then OK, NO or BYE.
// It notes all of it, and the implementation that it names.
func sieveHear(c *wire.Conversation, o *Observation, key string) (status string, err error) {
	var all []byte
	defer func() {
		if what, ok := sieveValue(all, "IMPLEMENTATION"); ok {
			o.Note("sieve.implementation", what)
		}
		o.Note(key, all)
	}()
	for {
		line, err := readWithLiterals(c)
		all = append(all, line...)
		if err != nil {
			return "", err
		}
		if status := sieveStatus(line); status != "" {
			return status, nil
		}
		if line[0] != '"' {
			return "", c.Malformed("a response is quoted strings, OK, NO or BYE", line)
		}
	}
}

// sieveStatus is the status that a line begins with, "" without one. What may follow is a
// code in parentheses and a text, quoted or as a literal (RFC 5804, 4).
func sieveStatus(line []byte) string {
	line = bytes.TrimRight(line, "\r\n")
	for _, s := range []string{"OK", "NO", "BYE"} {
		if len(line) < len(s) || !strings.EqualFold(string(line[:len(s)]), s) {
			continue
		}
		rest := line[len(s):]
		if len(rest) == 0 || len(rest) > 1 && rest[0] == ' ' && bytes.IndexByte([]byte(`("{`), rest[1]) >= 0 {
			return s
		}
	}
	return ""
}
