package probes

import (
	"bytes"

	"herald/wire"
)

// AMI reads the greeting of Asterisk's manager interface and pings, which needs a login
// and is refused in the protocol's own form.
var AMI = add(ami{})

type ami struct{}

var amiInfo = Info{
	Name:  "ami",
	Title: "Asterisk Manager Interface",
	Refs:  []string{"https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Manager-Interface-AMI/"},
	Ports: []Port{{5038, wire.Plain}, {5039, wire.TLS}},
	Keys: []Key{
		{"ami.greeting", "greeting with the interface's version"},
		{"ami.answer", "answer to Ping, every line"},
	},
}

func (ami) Info() *Info { return &amiInfo }

func (ami) Recognize(greeting []byte) Likeness {
	if bytes.HasPrefix(greeting, []byte("Asterisk Call Manager")) {
		return Sure
	}
	return Unlike
}

func (a ami) Converse(c *wire.Conversation, o *Observation) error {
	greeting, err := c.ReadLine()
	o.Note("ami.greeting", greeting)
	if err != nil {
		return err
	}
	if a.Recognize(greeting) == Unlike {
		return c.Malformed("a greeting names the manager", greeting)
	}
	if err := c.Say([]byte("Action: Ping\r\n\r\n")); err != nil {
		return err
	}
	var answer []byte
	const most = 30
	for range most {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			if !bytes.HasPrefix(answer, []byte("Response: ")) && !bytes.HasPrefix(answer, []byte("Event: ")) {
				return c.Malformed("an action is answered by a response", answer)
			}
			o.Note("ami.answer", answer)
			o.Confirmed = true
			return nil
		}
		answer = append(answer, line...)
	}
	return c.TooMuch("lines of an answer", most)
}
