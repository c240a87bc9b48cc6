package probes

import (
	"encoding/binary"
	"fmt"

	"herald/wire"
)

// Kafka asks which requests a broker takes (ApiVersions, version 0), which every client
// does before it authenticates.
var Kafka = add(kafka{})

type kafka struct{}

var kafkaInfo = Info{
	Name:  "kafka",
	Title: "Apache Kafka protocol",
	Refs:  []string{"https://kafka.apache.org/protocol"},
	Ports: []Port{{9092, wire.Plain}, {9093, wire.TLS}, {9094, wire.Plain}},
	Keys:  []Key{{"kafka.answer", "requests with their lowest and highest version, \"0:0-9,1:0-13,…\""}},
	Asks:  true,
}

func (kafka) Info() *Info { return &kafkaInfo }

func (kafka) Recognize([]byte) Likeness { return Unlike }

func (kafka) Converse(c *wire.Conversation, o *Observation) error {
	const correlation = 0x68657261
	request := []byte{0, 0, 0, 16, 0, 18, 0, 0}
	request = binary.BigEndian.AppendUint32(request, correlation)
	if err := c.Say(append(request, "\x00\x06herald"...)); err != nil {
		return err
	}
	head, err := c.Peek(8)
	if err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head)
	if binary.BigEndian.Uint32(head[4:]) != correlation || size < 10 || size > 8<<10 {
		return c.Malformed("an answer has the question's number", head)
	}
	answer, err := c.ReadFull(4 + int(size))
	if err != nil {
		return err
	}
	versions, ok := kafkaVersions(answer[8:])
	if !ok {
		return c.Malformed("a list of requests and versions", answer)
	}
	o.Note("kafka.answer", versions)
	o.Confirmed = true
	return nil
}

// kafkaVersions reads an ApiVersionsResponse of version 0.
func kafkaVersions(body []byte) (list []byte, ok bool) {
	t := taker{rest: body}
	t.u16(binary.BigEndian) // error
	n := int(t.u32(binary.BigEndian))
	if t.short || n < 0 || len(t.rest) != 6*n {
		return nil, false
	}
	for i := range n {
		if i > 0 {
			list = append(list, ',')
		}
		list = fmt.Appendf(list, "%d:%d-%d", t.u16(binary.BigEndian), t.u16(binary.BigEndian), t.u16(binary.BigEndian))
	}
	return list, true
}
