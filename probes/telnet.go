package probes

import (
	"bytes"
	"strconv"

	"herald/wire"
)

// Telnet refuses every option that the server proposes and reads the text that it shows
// to people before they log in. It types nothing.
var Telnet = add(telnet{})

type telnet struct{}

var telnetInfo = Info{
	Name:  "telnet",
	Title: "Telnet",
	Refs:  []string{"RFC 854", "RFC 855"},
	Ports: []Port{{23, wire.Plain}, {992, wire.TLS}, {2323, wire.Plain}},
	Keys: []Key{
		{"telnet.greeting", "text without commands: banner and prompt"},
		{"telnet.options", "commands in their order: \"DO 24, WILL 1\""},
	},
}

func (telnet) Info() *Info { return &telnetInfo }

// Commands (RFC 854).
const (
	telnetSE   = 240
	telnetSB   = 250
	telnetWill = 251
	telnetWont = 252
	telnetDo   = 253
	telnetDont = 254
	telnetIAC  = 255
)

func (telnet) Recognize(greeting []byte) Likeness {
	if len(greeting) >= 3 && greeting[0] == telnetIAC && greeting[1] >= telnetWill && greeting[1] <= telnetDont && greeting[2] < 64 {
		return Sure
	}
	if commands, _ := telnetSplit(greeting); len(commands) > 0 {
		return Likely // a text, then commands
	}
	if telnetPrompts(greeting) {
		return Likely // not every server negotiates
	}
	return Unlike
}

// telnetPrompts says whether a text ends by asking for a name or a password.
func telnetPrompts(text []byte) bool {
	last := bytes.ToLower(bytes.TrimSpace(text))
	for _, prompt := range []string{"login:", "username:", "user name:", "password:", "user:", "logon:", "account:"} {
		if bytes.HasSuffix(last, []byte(prompt)) {
			return true
		}
	}
	return false
}

func (telnet) Overhear(_ string, answer []byte) Likeness { return telnet{}.Recognize(answer) }

func (telnet) Converse(c *wire.Conversation, o *Observation) error {
	var text, options []byte
	answered := map[telnetCommand]bool{}
	const rounds = 6
	for round := range rounds {
		heard, err := hear(c)
		if err != nil {
			break
		}
		if len(heard) == 0 {
			if round == 1 && len(answered) == 0 && len(text) > 0 {
				// RFC 854: either side may ask for an option, and the other must answer.
				// 3, suppress go-ahead, is what terminals ask for.
				if c.Say([]byte{telnetIAC, telnetDo, 3}) != nil {
					break
				}
				continue
			}
			break
		}
		commands, rest := telnetSplit(heard)
		text = append(text, rest...)
		var refusal []byte
		for _, command := range commands {
			if answered[command] || len(answered) > 60 {
				continue
			}
			answered[command] = true
			if len(options) > 0 {
				options = append(options, ", "...)
			}
			options = append(options, command.String()...)
			switch command.verb {
			case telnetDo:
				refusal = append(refusal, telnetIAC, telnetWont, command.option)
			case telnetWill:
				refusal = append(refusal, telnetIAC, telnetDont, command.option)
			}
		}
		o.Confirmed = o.Confirmed || len(commands) > 0
		if len(refusal) == 0 && telnetPrompts(text) {
			break // it waits for a name
		}
		if len(refusal) > 0 {
			if err := c.Say(refusal); err != nil {
				break
			}
		}
	}
	o.Note("telnet.options", options)
	o.Note("telnet.greeting", text)
	if len(text) == 0 && len(options) == 0 {
		if f := c.Failure(); f != nil {
			return f
		}
	}
	return nil
}

type telnetCommand struct{ verb, option byte }

func (t telnetCommand) String() string {
	verb := map[byte]string{telnetWill: "WILL", telnetWont: "WONT", telnetDo: "DO", telnetDont: "DONT", telnetSB: "SB"}[t.verb]
	return verb + " " + strconv.Itoa(int(t.option))
}

// telnetSplit takes commands and text apart. What is cut short at the end is left out.
func telnetSplit(heard []byte) (commands []telnetCommand, text []byte) {
	for i := 0; i < len(heard); i++ {
		switch b := heard[i]; {
		case b != telnetIAC:
			if b != 0 { // CR NUL is a bare carriage return
				text = append(text, b)
			}
		case i+1 == len(heard):
		case heard[i+1] == telnetIAC:
			text = append(text, telnetIAC)
			i++
		case heard[i+1] >= telnetWill && heard[i+1] <= telnetDont:
			if i+2 < len(heard) {
				commands = append(commands, telnetCommand{heard[i+1], heard[i+2]})
			}
			i += 2
		case heard[i+1] == telnetSB:
			end := bytes.Index(heard[i:], []byte{telnetIAC, telnetSE})
			if end < 3 {
				return commands, text
			}
			commands = append(commands, telnetCommand{telnetSB, heard[i+2]})
			i += end + 1
		default:
			i++
		}
	}
	return commands, text
}
