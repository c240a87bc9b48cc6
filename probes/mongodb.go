package probes

import (
	"encoding/binary"
	"math"
	"strconv"

	"herald/wire"
)

// MongoDB says hello as every driver does (isMaster, which servers of all ages know) and
// asks for the build, both of which are answered before anybody logs in.
var MongoDB = add(mongodb{})

type mongodb struct{}

var mongodbInfo = Info{
	Name:  "mongodb",
	Title: "MongoDB wire protocol",
	Refs:  []string{"https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/", "https://bsonspec.org/spec.html"},
	Ports: []Port{{27017, wire.Plain}, {27018, wire.Plain}, {27019, wire.Plain}},
	Keys: []Key{
		{"mongodb.version", "version that buildInfo tells"},
		{"mongodb.wire-version", "maxWireVersion of the answer to isMaster"},
		{"mongodb.error", "errmsg of an answer"},
	},
	Asks: true,
}

func (mongodb) Info() *Info { return &mongodbInfo }

func (mongodb) Recognize([]byte) Likeness { return Unlike }

// The server answers HTTP with a sentence of its own, under an HTTP status line or alone.
func (mongodb) Overhear(_ string, answer []byte) Likeness {
	if indexFold(answer, mongoOverHTTP) >= 0 {
		return 100 // surer than HTTP itself
	}
	return Unlike
}

// mongoOverHTTP is what every version says to those who come by HTTP.
const mongoOverHTTP = "trying to access MongoDB over HTTP"

// Operation codes, and a bound: answers to a hello have some hundred bytes.
const (
	mongoReply   = 1
	mongoQuery   = 2004
	mongoMessage = 2013
	mongoMost    = 48 << 10
)

func (mongodb) Converse(c *wire.Conversation, o *Observation) error {
	hello, err := mongoAsk(c, mongoQuery, "isMaster")
	if err != nil {
		return err
	}
	if hello["ok"] == "" {
		return c.Malformed("an answer tells whether it is ok", nil)
	}
	o.Confirmed = true
	o.Note("mongodb.wire-version", []byte(hello["maxWireVersion"]))
	o.Note("mongodb.error", []byte(hello["errmsg"]))
	kind := mongoQuery
	if n, _ := number([]byte(hello["maxWireVersion"])); n >= 6 {
		kind = mongoMessage // 3.6 and newer; from 5.1 on nothing but a hello may be an OP_QUERY
	}
	build, err := mongoAsk(c, kind, "buildInfo")
	if err != nil {
		return err
	}
	o.Note("mongodb.version", []byte(build["version"]))
	o.Note("mongodb.error", []byte(build["errmsg"]))
	return nil
}

// mongoAsk runs a command of the database admin and gives the fields of its answer.
func mongoAsk(c *wire.Conversation, kind int, command string) (map[string]string, error) {
	document := append([]byte{0, 0, 0, 0, 0x10}, command+"\x00\x01\x00\x00\x00"...)
	if kind == mongoMessage {
		document = append(document, "\x02$db\x00\x06\x00\x00\x00admin\x00"...)
	}
	document = append(document, 0)
	binary.LittleEndian.PutUint32(document, uint32(len(document)))
	var body []byte
	if kind == mongoQuery {
		body = append([]byte{4, 0, 0, 0}, "admin.$cmd\x00\x00\x00\x00\x00\xff\xff\xff\xff"...) // a secondary may answer; one document
	} else {
		body = make([]byte, 5) // no flags; section of kind 0
	}
	body = append(body, document...)
	message := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	message = binary.LittleEndian.AppendUint32(message, 1)
	message = binary.LittleEndian.AppendUint32(message, 0)
	message = binary.LittleEndian.AppendUint32(message, uint32(kind))
	if err := c.Say(append(message, body...)); err != nil {
		return nil, err
	}
	head, err := c.Peek(16)
	if err != nil {
		return nil, err
	}
	h := taker{rest: head}
	size := h.u32(binary.LittleEndian)
	h.u32(binary.LittleEndian)
	inReplyTo, code := h.u32(binary.LittleEndian), h.u32(binary.LittleEndian)
	if size < 26 || size > mongoMost || inReplyTo != 1 || code != mongoReply && code != mongoMessage {
		return nil, c.Malformed("an answer names the question and its own size", head)
	}
	whole, err := c.ReadFull(int(size))
	if err != nil {
		return nil, err
	}
	skip := 16 + 20 // flags, cursor, first, count
	if code == mongoMessage {
		skip = 16 + 5
	}
	fields, ok := bsonFields(whole[min(skip, len(whole)):])
	if !ok {
		return nil, c.Malformed("an answer is a BSON document", whole)
	}
	return fields, nil
}

// bsonFields gives the texts, numbers and booleans at the top of a document, by name.
func bsonFields(document []byte) (map[string]string, bool) {
	t := taker{rest: document}
	size := int(t.u32(binary.LittleEndian))
	t = taker{rest: t.bytes(size - 4), short: t.short}
	fields := map[string]string{}
	for !t.short {
		kind := t.u8()
		if kind == 0 {
			return fields, !t.short && len(t.rest) == 0
		}
		name := string(t.until(0))
		switch kind {
		case 0x01: // double; whole numbers are all that we ask for
			b := t.bytes(8)
			if b != nil {
				fields[name] = strconv.FormatFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', -1, 64)
			}
		case 0x02, 0x0d, 0x0e: // string, code, symbol
			text := t.bytes(int(int32(t.u32(binary.LittleEndian))))
			if len(text) > 0 {
				fields[name] = string(text[:len(text)-1])
			}
		case 0x03, 0x04: // document, array: its size counts itself
			t.bytes(int(int32(t.u32(binary.LittleEndian))) - 4)
		case 0x05: // binary
			t.bytes(int(int32(t.u32(binary.LittleEndian))) + 1)
		case 0x07: // object id
			t.bytes(12)
		case 0x08:
			fields[name] = strconv.FormatBool(t.u8() != 0)
		case 0x0a, 0x06: // null, undefined
		case 0x10:
			fields[name] = strconv.Itoa(int(int32(t.u32(binary.LittleEndian))))
		case 0x09, 0x11, 0x12: // date, timestamp, int64
			if b := t.bytes(8); b != nil {
				fields[name] = strconv.FormatInt(int64(binary.LittleEndian.Uint64(b)), 10)
			}
		default:
			return fields, false
		}
	}
	return fields, false
}
