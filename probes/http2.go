package probes

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"herald/wire"
)

// HTTP2 finds servers that take HTTP/2 alone, in the clear and without being asked by
// HTTP/1.1 first (prior knowledge, RFC 9113, 3.3). Where a handshake chose h2 the http
// probe speaks it; what both note is the same.
var HTTP2 = add(http2Probe{})

type http2Probe struct{}

var http2Info = Info{
	Name:  "http2",
	Title: "HTTP/2 with prior knowledge",
	Refs:  []string{"RFC 9113", "RFC 7541"},
	Keys:  httpInfo.Keys,
	Asks:  true,
}

func (http2Probe) Info() *Info { return &http2Info }

// Recognize knows the frame with which a server begins (RFC 9113, 3.4).
func (http2Probe) Recognize(greeting []byte) Likeness {
	if isHTTP2(greeting) {
		return Sure
	}
	return Unlike
}

func (http2Probe) Overhear(asked string, answer []byte) Likeness {
	if isHTTP2(answer) {
		return Sure
	}
	return Unlike
}

func (http2Probe) Converse(c *wire.Conversation, o *Observation) error {
	o.Protocol = HTTP.Info().Name
	return converseHTTP2(c, o)
}

// isHTTP2 knows the first frame of a server: SETTINGS on stream 0, of whole parameters
// of six bytes, or a GOAWAY that answers what was no preface (RFC 9113, 4.1, 6.5, 6.8).
func isHTTP2(heard []byte) bool {
	if len(heard) < 9 || heard[0] != 0 || binary.BigEndian.Uint32(heard[5:])&(1<<31-1) != 0 {
		return false
	}
	length := int(heard[1])<<8 | int(heard[2])
	switch http2.FrameType(heard[3]) {
	case http2.FrameSettings:
		return heard[4] == 0 && length%6 == 0 && length <= 20*6
	case http2.FrameGoAway:
		return length >= 8 && length <= 1<<10
	}
	return false
}

const mostFrames = 64 // read of an answer

// converseHTTP2 asks for "/" once. The connection is left without a GOAWAY: nothing of
// ours is under way on it.
func converseHTTP2(c *wire.Conversation, o *Observation) error {
	if err := c.Say(http2Request(c)); err != nil {
		return err
	}
	in := http2.NewFramer(io.Discard, stream{c})
	in.SetMaxReadFrameSize(16 << 10) // the smallest that a peer may allow, and our setting
	in.ReadMetaHeaders = hpack.NewDecoder(4<<10, nil)
	in.MaxHeaderListSize = 32 << 10
	var r *response
	var body []byte
	done := false
	for range mostFrames {
		f, err := in.ReadFrame()
		if err != nil {
			return frameError(c, o, r, body, err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				o.Confirmed = true
				o.Note("http2.settings", settingsText(f))
			}
		case *http2.MetaHeadersFrame:
			if got := responseOf(f); got.Status/100 != 1 && r == nil {
				r = got
			}
			done = f.StreamEnded()
		case *http2.DataFrame:
			body = append(body, f.Data()...)
			done = f.StreamEnded() || len(body) >= bodyKept
		case *http2.GoAwayFrame:
			o.Confirmed = true
			o.Note("http2.goaway", []byte(f.ErrCode.String()+" "+string(f.DebugData())))
			done = true
		case *http2.RSTStreamFrame:
			done = true
		}
		if done {
			noteHTTP2(o, r, body)
			return nil
		}
	}
	noteHTTP2(o, r, body)
	return c.TooMuch("frames", mostFrames)
}

func noteHTTP2(o *Observation, r *response, body []byte) {
	if r != nil {
		o.Confirmed = true
		r.Body = body
		noteResponse(o, "http", r)
	}
}

// frameError keeps what was heard until a frame could not be read.
func frameError(c *wire.Conversation, o *Observation, r *response, body []byte, err error) error {
	noteHTTP2(o, r, body)
	if c.Failure() != nil {
		return c.Failure()
	}
	if !o.Confirmed {
		return fmt.Errorf("no frames of HTTP/2: %w", ErrOtherProtocol)
	}
	return c.Malformed("HTTP/2: "+err.Error(), nil)
}

// http2Request is preface, settings and request, as one message.
func http2Request(c *wire.Conversation) []byte {
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	frames := http2.NewFramer(&out, nil)
	// Writing to a buffer does not fail. The window keeps more of a page from being sent
	// than is kept.
	_ = frames.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: bodyKept},
	)
	scheme := "http"
	if c.TLS() != nil {
		scheme = "https"
	}
	agent := c.Manners().UserAgent
	if agent == "" {
		agent = wire.DefaultUserAgent
	}
	fields := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "GET"}, {":scheme", scheme}, {":authority", hostField(c)}, {":path", "/"},
		{"user-agent", oneLine(agent)}, {"accept", "*/*"},
	} {
		_ = fields.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	return out.Bytes()
}

func responseOf(f *http2.MetaHeadersFrame) *response {
	r := &response{}
	status := f.PseudoValue("status")
	r.Status, _ = strconv.Atoi(status)
	r.Line = []byte("HTTP/2 " + status)
	for _, h := range f.RegularFields() {
		r.Fields = append(r.Fields, field{[]byte(h.Name), []byte(h.Value)})
	}
	return r
}

// settingsText is identifiers and values in the order sent: it tells implementations apart.
func settingsText(f *http2.SettingsFrame) []byte {
	var out []byte
	for i := range f.NumSettings() {
		if i > 0 {
			out = append(out, ',')
		}
		s := f.Setting(i)
		out = strconv.AppendUint(out, uint64(s.ID), 10)
		out = append(out, '=')
		out = strconv.AppendUint(out, uint64(s.Val), 10)
	}
	if out == nil {
		out = []byte("none")
	}
	return out
}
