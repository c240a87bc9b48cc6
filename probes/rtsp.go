package probes

import (
	"bytes"

	"herald/wire"
)

// RTSP asks a media server for its methods.
var RTSP = add(rtsp{})

type rtsp struct{}

var rtspInfo = Info{
	Name:  "rtsp",
	Title: "Real Time Streaming Protocol",
	Refs:  []string{"RFC 2326", "RFC 7826"},
	Ports: []Port{{554, wire.Plain}, {8554, wire.Plain}, {322, wire.TLS}, {7070, wire.Plain}},
	Keys: []Key{
		{"rtsp.status", "status line"},
		{"rtsp.header.*", "value of a header field, by its name in lower case"},
	},
	Asks: true,
}

func (rtsp) Info() *Info { return &rtspInfo }

func (rtsp) Recognize(words []byte) Likeness {
	if bytes.HasPrefix(words, []byte("RTSP/1.0 ")) || bytes.HasPrefix(words, []byte("RTSP/2.0 ")) {
		return Sure
	}
	return Unlike
}

func (r rtsp) Overhear(_ string, answer []byte) Likeness { return r.Recognize(answer) }

func (r rtsp) Converse(c *wire.Conversation, o *Observation) error {
	if err := c.Say([]byte("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: " + userAgent(c) + "\r\n\r\n")); err != nil {
		return err
	}
	h, err := readHead(c)
	if err != nil {
		return err
	}
	if r.Recognize(h.status) == Unlike {
		return c.Malformed("an answer begins with RTSP/1.0", h.status)
	}
	h.note(o, "rtsp")
	o.Confirmed = true
	return nil
}

// userAgent is how we name ourselves.
func userAgent(c *wire.Conversation) string {
	if name := c.Manners().UserAgent; name != "" {
		return name
	}
	return wire.DefaultUserAgent
}

// messageHead is what RTSP and SIP took over from HTTP: a status line and header fields.
type messageHead struct {
	status []byte
	fields [][2][]byte // name in lower case, value
}

func (h messageHead) note(o *Observation, protocol string) {
	o.Note(protocol+".status", h.status)
	for _, f := range h.fields {
		o.Note(protocol+".header."+string(f[0]), f[1])
	}
}

// readHead reads through the empty line.
func readHead(c *wire.Conversation) (messageHead, error) {
	status, err := c.ReadLine()
	if err != nil {
		return messageHead{}, err
	}
	h := messageHead{status: bytes.TrimRight(status, "\r\n")}
	const most = 60
	for range most {
		line, err := c.ReadLine()
		if err != nil {
			return h, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return h, nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue // a field that goes on: no product stands there
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		name = bytes.ToLower(bytes.TrimSpace(name))
		if !ok || !fitsKey(name) {
			return h, c.Malformed("a header field has a name", line)
		}
		h.fields = append(h.fields, [2][]byte{name, bytes.TrimSpace(value)})
	}
	return h, c.TooMuch("header fields", most)
}
