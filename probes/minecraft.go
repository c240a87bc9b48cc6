package probes

import (
	"encoding/json"
	"strconv"

	"herald/wire"
)

// Minecraft asks for a server's status, as the list of servers in the game does, and
// joins nothing. Who plays there is not noted.
var Minecraft = add(minecraft{})

type minecraft struct{}

var minecraftInfo = Info{
	Name:  "minecraft",
	Title: "Minecraft server list ping",
	Refs:  []string{"https://minecraft.wiki/w/Java_Edition_protocol/Server_List_Ping"},
	Ports: []Port{{25565, wire.Plain}},
	Keys: []Key{
		{"minecraft.version", "name of the version: \"1.20.4\", \"Paper 1.20.4\""},
		{"minecraft.protocol", "number of the protocol"},
	},
	Asks: true,
}

func (minecraft) Info() *Info { return &minecraftInfo }

func (minecraft) Recognize([]byte) Likeness { return Unlike }

func (minecraft) Converse(c *wire.Conversation, o *Observation) error {
	host := c.Endpoint().Host()
	if len(host) > 100 {
		host = host[:100]
	}
	port := c.Endpoint().Addr.Port()
	// Handshake: protocol 47 (1.8; a status is told to any), address, port, next state 1.
	hello := append([]byte{0, 47, byte(len(host))}, host...)
	hello = append(hello, byte(port>>8), byte(port), 1)
	if err := c.Say(append(append([]byte{byte(len(hello))}, hello...), 1, 0)); err != nil {
		return err
	}
	const most = 64 << 10 // a status may have an icon
	size, err := readVarint(c)
	if err != nil {
		return err
	}
	if size < 4 || size > most {
		return c.Malformed("a packet has its length", c.Pending())
	}
	kind, err := readVarint(c)
	if err != nil {
		return err
	}
	length, err := readVarint(c)
	if err != nil {
		return err
	}
	if kind != 0 || length > size || length < 2 {
		return c.Malformed("a status is packet 0 with a text", c.Pending())
	}
	text, err := c.ReadFull(length)
	if err != nil {
		return err
	}
	var status struct {
		Version *struct {
			Name     string `json:"name"`
			Protocol int    `json:"protocol"`
		} `json:"version"`
	}
	if err := json.Unmarshal(text, &status); err != nil || status.Version == nil {
		return c.Malformed("a status is an object with a version", text)
	}
	o.Note("minecraft.version", []byte(status.Version.Name))
	o.Note("minecraft.protocol", strconv.AppendInt(nil, int64(status.Version.Protocol), 10))
	o.Confirmed = true
	return nil
}

// readVarint reads a number of up to three bytes, seven bits in each, the lowest first.
func readVarint(c *wire.Conversation) (n int, err error) {
	for shift := 0; shift < 21; shift += 7 {
		b, err := c.ReadFull(1)
		if err != nil {
			return 0, err
		}
		n |= int(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n, nil
		}
	}
	return 0, c.Malformed("a number of up to three bytes", c.Pending())
}
