package probes

import (
	"bytes"
	"errors"
	"fmt"

	"herald/wire"
)

// HTTP speaks HTTP/1.1, and HTTP/2 where the handshake chose it (ALPN). It asks once, for
// "/", follows no redirect, and keeps no cookie. Where the answer is that of a forward
// proxy it asks what [HTTPProxy] asks, on the same connection.
var HTTP = add(httpProbe{})

type httpProbe struct{}

var httpInfo = Info{
	Name:  "http",
	Title: "Hypertext Transfer Protocol",
	Refs:  []string{"RFC 9110", "RFC 9112", "RFC 9113", "RFC 6265"},
	Ports: []Port{
		{80, wire.Plain}, {443, wire.TLS}, {8443, wire.TLS}, {8000, wire.Plain}, {8081, wire.Plain},
		{8080, wire.Plain}, {8008, wire.Plain}, {8088, wire.Plain}, {8888, wire.Plain}, {3000, wire.Plain}, {5000, wire.Plain},
	},
	Keys: []Key{
		{"http.status", "status line: HTTP/1.1 200 OK; of HTTP/2, which has none, HTTP/2 200"},
		{"http.header.*", "value of a field line, under its name in lower case; one evidence a line"},
		{"http.headers", "names of the fields in order, as spelled, joined by commas"},
		{"http.malformed", "a line of the header section that is no field"},
		{"http.title", "the page's title, UTF-8, entities decoded, white space folded"},
		{"http.realm", "realm of a challenge in WWW-Authenticate"},
		{"http.cookie", "name of a cookie that is set"},
		{"http.location", "where a redirect leads; it is not followed"},
		{"http.body", "first 8 KiB of the content, transfer coding removed"},
		{"http.favicon.mmh3", "MurmurHash3 of the site's icon, decimal; asked on request only"},
		{"http.favicon.md5", "MD5 of the site's icon, hex"},
		{"http.wants-tls", "what was answered in the clear by a server that wants TLS: a TLS record, or the status line"},
		{"http2.settings", "identifiers and values of the server's SETTINGS in order: 3=128,4=65536"},
		{"http2.goaway", "error code and debug data of a GOAWAY"},
	},
	Asks: true,
}

func (httpProbe) Info() *Info { return &httpInfo }

// Recognize knows a status line that is pushed unasked: 408 from servers that are tired
// of waiting, 400 and 503 from those that are full.
func (httpProbe) Recognize(greeting []byte) Likeness {
	if statusOf(firstLine(greeting)) != 0 {
		return Sure
	}
	return Unlike
}

func (httpProbe) Overhear(asked string, answer []byte) Likeness {
	switch {
	case statusOf(firstLine(answer)) != 0:
		return Sure
	case isPage(answer):
		return Likely // HTTP/0.9
	}
	return Unlike
}

func (httpProbe) Converse(c *wire.Conversation, o *Observation) error {
	switch pushed := c.Pending(); {
	case isHTTP2(pushed) || c.TLS() != nil && c.TLS().ALPN == "h2":
		return converseHTTP2(c, o)
	case wantsIconAlone(c, o):
		return askFavicon(c, o, o.After.web.origin)
	case o.After != nil && o.After.Probe == SOCKS5.Info().Name:
		return askSOCKS(c, o)
	case len(pushed) == 0:
		if err := request(c, "GET", "/", hostField(c)); err != nil {
			return err
		}
	case statusOf(firstLine(pushed)) == 0:
		return fmt.Errorf("it greets, and not with a status line: %w", ErrOtherProtocol)
	}
	follow := c.Manners().Favicon || proxyPort(c)
	r, err := readOrigin(c, o, follow)
	if err != nil || r == nil {
		return err
	}
	if saysSOCKS(o.Text("http.title")) {
		o.Then = SOCKS5.Info().Name
		return nil
	}
	if r.Alive && c.Manners().Favicon {
		if err := askFavicon(c, o, r); err != nil {
			return err
		}
	}
	if err := followProxy(c, o); err != nil {
		return err
	}
	if c.Manners().Favicon && !r.Alive && o.After == nil && o.Then == "" && o.Protocol == "" && !WantsTLS(o) {
		o.Then = HTTP.Info().Name // for the icon alone
	}
	if indexFold(o.Text("http.body"), mongoOverHTTP) >= 0 {
		o.Then = MongoDB.Info().Name // which answers HTTP with a sentence, and speaks its own
	}
	return nil
}

// askSOCKS asks a server that has spoken SOCKS for its page. Some tell there who they are
// (Tor); whatever they answer, SOCKS is what they speak.
func askSOCKS(c *wire.Conversation, o *Observation) error {
	if err := request(c, "GET", "/", hostField(c)); err != nil {
		return err
	}
	_, err := readOrigin(c, o, false)
	o.Protocol, o.Declined = SOCKS5.Info().Name, o.After.Declined
	return err
}

// saysSOCKS knows the page by which a SOCKS server answers those who take it for HTTP.
func saysSOCKS(title []byte) bool {
	return containsWord(title, "SOCKS") && indexFold(title, "not an HTTP") >= 0
}

// wantsIconAlone is true in a conversation that follows one in which everything was
// answered but the icon, since the server closed.
func wantsIconAlone(c *wire.Conversation, o *Observation) bool {
	return c.Manners().Favicon && len(c.Pending()) == 0 && o.After != nil && o.After.Then == HTTP.Info().Name &&
		o.After.Speaks() == HTTP.Info().Name && o.After.web.origin != nil
}

// readOrigin reads the answer to a request in origin form, and notes it. Without an error
// it is nil where there was no status line.
func readOrigin(c *wire.Conversation, o *Observation, follow bool) (*response, error) {
	most := bodyKept
	if follow {
		most = bodyDrained
	}
	r, err := readResponse(c, "GET", most)
	if errors.Is(err, errNotHTTP) {
		return nil, notHTTP(c, o)
	}
	if r.Status != 0 {
		o.Confirmed = true
		o.web.origin = &r
		noteResponse(o, "http", &r)
		if wantsTLS(&r, c) {
			o.Note("http.wants-tls", r.Line)
		}
	}
	return &r, err
}

// notHTTP tells what an answer without a status line is.
func notHTTP(c *wire.Conversation, o *Observation) error {
	heard := c.Pending()
	switch {
	case isTLSRecord(heard):
		o.Note("http.wants-tls", heard[:min(len(heard), 64)])
		return fmt.Errorf("it answers with a TLS record: %w", ErrOtherProtocol)
	case isHTTP2(heard):
		// It takes HTTP/2 alone, and our request was no preface: the connection is lost.
		o.Then = HTTP2.Info().Name
		return fmt.Errorf("it answers with a frame of HTTP/2: %w", ErrOtherProtocol)
	case isPage(heard):
		// RFC 1945, 1.1: HTTP/0.9 answers with the content alone.
		page, err := c.ReadRest(bodyKept)
		o.Confirmed = len(page) > 0
		o.Note("http.title", pageTitle(page, nil))
		o.Note("http.body", page)
		return err
	}
	return fmt.Errorf("%w: %w", errNotHTTP, ErrOtherProtocol)
}

// WantsTLS says whether a conversation in the clear was answered by a server that speaks
// TLS on this port.
func WantsTLS(o *Observation) bool { return o.Text("http.wants-tls") != nil }

// isTLSRecord knows an alert or a handshake message (RFC 8446, 5.1) by the first bytes
// of the record: type, and a version of 3.x.
func isTLSRecord(heard []byte) bool {
	return len(heard) >= 3 && (heard[0] == 21 || heard[0] == 22) && heard[1] == 3 && heard[2] <= 4
}

// wantsTLS knows the answers of servers that heard HTTP in the clear where they expect
// TLS: a refusal that speaks of it, an upgrade to it (RFC 2817, 4.2), a redirect to
// https on the very port that was asked.
func wantsTLS(r *response, c *wire.Conversation) bool {
	if c.TLS() != nil {
		return false
	}
	switch r.Status {
	case 400, 497:
		return containsWord(r.Line, "HTTPS", "SSL", "TLS") || containsWord(r.Body[:min(len(r.Body), 1<<10)], "HTTPS", "SSL", "TLS")
	case 426:
		return containsWord(r.field("Upgrade"), "TLS")
	case 301, 302, 303, 307, 308:
		to := bytes.TrimPrefix(r.field("Location"), []byte("https://"))
		host := hostField(c)
		return len(to) < len(r.field("Location")) && bytes.IndexByte([]byte(host), ':') > 0 &&
			(string(to) == host || bytes.HasPrefix(to, []byte(host+"/")))
	}
	return false
}

// isPage says whether bytes begin as an HTML page does.
func isPage(heard []byte) bool {
	heard = bytes.TrimLeft(heard, " \t\r\n")
	for _, start := range []string{"<!doctype html", "<html", "<head", "<title"} {
		if len(heard) >= len(start) && bytes.EqualFold(heard[:len(start)], []byte(start)) {
			return true
		}
	}
	return false
}
