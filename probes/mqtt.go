package probes

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"herald/wire"
)

// MQTT opens a clean session without user and password. Where a broker gives one to
// everybody, it reads the topic in which brokers tell their version, and leaves.
// It publishes nothing.
var MQTT = add(mqtt{})

type mqtt struct{}

var mqttInfo = Info{
	Name:  "mqtt",
	Title: "Message Queuing Telemetry Transport",
	Refs:  []string{"https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html"},
	Ports: []Port{{1883, wire.Plain}, {8883, wire.TLS}},
	Keys: []Key{
		{"mqtt.connack", "return code of CONNACK: 0 accepted, 5 not authorised (3.2.2.3)"},
		{"mqtt.version", "message of topic $SYS/broker/version"},
	},
	Asks: true,
}

func (mqtt) Info() *Info { return &mqttInfo }

func (mqtt) Recognize([]byte) Likeness { return Unlike }

const mqttVersionTopic = "$SYS/broker/version"

func (mqtt) Converse(c *wire.Conversation, o *Observation) error {
	// CONNECT: protocol level 4, clean session, keep alive 30 s, no client name: with one
	// we would throw out the client that has it (3.1.3.1).
	if err := c.Say([]byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 30, 0, 0}); err != nil {
		return err
	}
	answer, err := c.ReadFull(4)
	if err != nil {
		return err
	}
	if answer[0] != 0x20 || answer[1] != 2 || answer[2] > 1 || answer[3] > 5 {
		return c.Malformed("CONNECT is answered by CONNACK", answer)
	}
	o.Note("mqtt.connack", strconv.AppendInt(nil, int64(answer[3]), 10))
	o.Confirmed = true
	if answer[3] != 0 {
		o.Declined = true
		return nil
	}
	subscribe := []byte{0x82, byte(5 + len(mqttVersionTopic)), 0, 1, 0, byte(len(mqttVersionTopic))}
	if err := c.Say(append(append(subscribe, mqttVersionTopic...), 0)); err != nil {
		return err
	}
	suback, err := c.ReadFull(5)
	if err != nil {
		return err
	}
	if suback[0] == 0x90 && suback[1] == 3 && suback[4] < 0x80 {
		// A broker that has no such topic stays silent.
		message, err := hear(c)
		if err != nil {
			return err
		}
		o.Note("mqtt.version", mqttMessage(message))
	}
	return c.Say([]byte{0xe0, 0}) // DISCONNECT
}

// mqttMessage is the payload of a PUBLISH packet of the version's topic.
func mqttMessage(packet []byte) []byte {
	t := taker{rest: packet}
	kind, size := t.u8(), t.u8()
	body := taker{rest: t.bytes(size)}
	topic := body.bytes(body.u16(binary.BigEndian))
	if t.short || body.short || kind&0xf6 != 0x30 || size > 127 || !bytes.Equal(topic, []byte(mqttVersionTopic)) {
		return nil
	}
	return body.rest
}
