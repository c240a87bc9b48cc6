package probes

import (
	"bytes"

	"herald/wire"
)

// Redis speaks RESP: PING, and where that is answered INFO, which a server without a
// password tells everybody. It changes nothing and sends no password.
var Redis = add(redis{})

type redis struct{}

var redisInfo = Info{
	Name:  "redis",
	Title: "Redis serialization protocol",
	Refs:  []string{"https://redis.io/docs/latest/develop/reference/protocol-spec/"},
	Ports: []Port{{6379, wire.Plain}, {6380, wire.TLS}, {16379, wire.Plain}, {26379, wire.Plain}},
	Keys: []Key{
		{"redis.error", "error in answer to PING or INFO"},
		{"redis.info", "section \"server\" of INFO"},
	},
	Asks: true,
}

func (redis) Info() *Info { return &redisInfo }

func (r redis) Recognize(greeting []byte) Likeness {
	// In protected mode the refusal comes unasked.
	return r.Overhear("", greeting)
}

func (redis) Overhear(_ string, answer []byte) Likeness {
	line := firstLine(answer)
	switch {
	case bytes.HasPrefix(line, []byte("-DENIED Redis")), bytes.HasPrefix(line, []byte("-NOAUTH ")),
		bytes.HasPrefix(line, []byte("-ERR wrong number of arguments for '")),
		bytes.HasPrefix(line, []byte("-ERR unknown command '")), bytes.HasPrefix(line, []byte("-ERR unknown command `")), // POP3 servers quote otherwise
		bytes.HasPrefix(line, []byte("-ERR Protocol error")),
		bytes.HasPrefix(line, []byte("-ERR max number of clients reached")):
		return Sure
	}
	return Unlike
}

func (redis) Converse(c *wire.Conversation, o *Observation) error {
	if len(c.Pending()) == 0 {
		if err := c.Send("PING"); err != nil {
			return err
		}
	}
	pong, err := c.ReadLine()
	if err != nil {
		return err
	}
	switch {
	case respError(pong):
		o.Note("redis.error", pong)
		o.Confirmed, o.Declined = true, true
		return nil
	case !bytes.Equal(pong, []byte("+PONG\r\n")):
		return c.Malformed("PING is answered +PONG or an error", pong)
	}
	o.Confirmed = true
	if err := c.Send("INFO server"); err != nil {
		return err
	}
	head, err := c.ReadLine()
	if err != nil {
		return err
	}
	switch size, _ := number(bytes.TrimPrefix(head, []byte("$"))); {
	case respError(head):
		o.Note("redis.error", head)
	case head[0] != '$' || size < 0 || size > 1<<16:
		return c.Malformed("INFO is answered by a bulk string", head)
	default:
		info, err := c.ReadFull(size + 2)
		if err != nil {
			return err
		}
		o.Note("redis.info", info)
	}
	c.Ask("QUIT")
	return nil
}

// respError says whether a line is a RESP error: an upper-case word and a text.
func respError(line []byte) bool {
	word, _, spaced := bytes.Cut(bytes.TrimPrefix(line, []byte("-")), []byte(" "))
	if !spaced || line[0] != '-' || len(word) < 3 {
		return false
	}
	for _, b := range word {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	// POP3 says "-ERR …" too.
	return string(word) != "ERR" || containsWord(line, "command", "authentication", "Protocol", "arguments", "clients", "operation")
}
