package probes

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"herald/wire"
)

// HTTPProxy finds forward HTTP proxies. It asks for a page and a tunnel of a name that
// can not exist, so that nothing is relayed for us; whether a proxy would relay for a
// stranger is asked only of a URL that the user owns (Manners.RelayCheck). A proxy and an
// origin server are told apart by what each refuses, see [webAnswers.ofProxy].
//
// Where the answers are those of an origin server they are noted as the http probe notes
// them, and Observation.Protocol says http: one connection does for both.
var HTTPProxy = add(proxyProbe{})

type proxyProbe struct{}

var proxyInfo = Info{
	Name:  "http-proxy",
	Title: "Forward HTTP proxy",
	Refs:  []string{"RFC 9110, 7.6 and 9.3.6", "RFC 9112, 3.2"},
	Ports: []Port{
		{3128, wire.Plain}, {8080, wire.Plain}, {8008, wire.Plain}, {8088, wire.Plain}, {8888, wire.Plain},
		{8118, wire.Plain}, {8123, wire.Plain},
	},
	Keys: []Key{
		{"proxy.status", "status line answered to a request in absolute form, for a name that can not exist"},
		{"proxy.header.*", "value of a field line of that answer, under its name in lower case"},
		{"proxy.headers", "names of its fields in order, as spelled, joined by commas"},
		{"proxy.realm", "realm of a challenge in Proxy-Authenticate"},
		{"proxy.title", "title of its page"},
		{"proxy.body", "first 8 KiB of its content"},
		{"proxy.connect", "status line answered to CONNECT to a name that can not exist"},
		{"proxy.relay", "status line answered for the URL of --relay-check"},
		{"proxy.relay.body", "first 1 KiB of what came from there"},
	},
	Asks: true,
}

func (proxyProbe) Info() *Info { return &proxyInfo }

func (proxyProbe) Recognize([]byte) Likeness { return Unlike }

// webAnswers are what the probes of HTTP heard, each nil where it was not asked.
type webAnswers struct {
	origin   *response // to GET / with our own Host
	absolute *response // to GET http://herald.invalid/
	connect  *response // to CONNECT herald.invalid:443
	stranger *response // to GET / with Host: herald.invalid
	relay    *response // to the URL of --relay-check
	tunnel   bool      // that URL is https, and the way to it was opened
}

func (proxyProbe) Converse(c *wire.Conversation, o *Observation) error {
	if len(c.Pending()) > 0 || c.TLS() != nil && c.TLS().ALPN == "h2" {
		o.Protocol = HTTP.Info().Name
		return HTTP.Converse(c, o)
	}
	err := askAsProxy(c, o)
	if errors.Is(err, errNotHTTP) {
		return notHTTP(c, o)
	}
	settleProxy(o, HTTPProxy.Info().Name)
	return err
}

// askAsProxy asks until it is clear what is spoken, or the connection is at its end.
func askAsProxy(c *wire.Conversation, o *Observation) error {
	w := &o.web
	if c.Manners().RelayCheck != "" {
		if alive, err := askRelay(c, o); err != nil || !alive {
			return err
		}
	}
	questions := []func(*wire.Conversation, *Observation) (bool, error){askAbsolute, askConnect, askOrigin, askStranger}
	if o.After != nil {
		// What was answered before, and then the connection closed, decides what is left to ask.
		questions[0], questions[1] = askConnect, askAbsolute
		if a := o.After.web.absolute; a != nil && a.Status != 500 && a.field("Via") == nil { // a proxy refuses the origin form
			questions[0], questions[1] = askOrigin, askConnect
		}
	}
	for _, ask := range questions {
		alive, err := ask(c, o)
		if err != nil {
			return err
		}
		if !alive {
			break
		}
	}
	switch {
	case o.After != nil || WantsTLS(o):
	case w.unclear():
		o.Then = HTTPProxy.Info().Name
	case w.origin == nil && !w.ofProxy():
		o.Then = HTTP.Info().Name // it closed before it could be asked for its own page
	}
	return nil
}

// followProxy goes on after the answer to a request in origin form, where that may be a
// proxy's.
func followProxy(c *wire.Conversation, o *Observation) error {
	w := &o.web
	defer settleProxy(o, HTTP.Info().Name)
	suspect := w.origin.suspect(false) && !WantsTLS(o)
	switch {
	case WantsTLS(o):
		return nil
	case !w.origin.Alive:
		if suspect && o.After == nil && !w.ofProxy() {
			o.Then = HTTPProxy.Info().Name
		}
		return nil
	case !suspect && !proxyPort(c):
		return nil
	}
	for _, ask := range []func(*wire.Conversation, *Observation) (bool, error){askAbsolute, askConnect, askStranger} {
		if alive, err := ask(c, o); err != nil || !alive {
			return err
		}
	}
	if c.Manners().RelayCheck != "" && w.known(o.After).ofProxy() {
		_, err := askRelay(c, o)
		return err
	}
	return nil
}

// proxyPort says whether proxies are usual on the conversation's port.
func proxyPort(c *wire.Conversation) bool {
	for _, p := range proxyInfo.Ports {
		if p.Number == c.Endpoint().Addr.Port() {
			return true
		}
	}
	return false
}

func askAbsolute(c *wire.Conversation, o *Observation) (alive bool, err error) {
	if o.web.known(o.After).absolute != nil {
		return true, nil
	}
	return exchange(c, o, &o.web.absolute, "GET", "http://"+nobody+"/", nobody)
}

// askConnect asks for a tunnel, where what was heard until now makes a proxy likely:
// origin servers close on a method that they do not know.
func askConnect(c *wire.Conversation, o *Observation) (alive bool, err error) {
	w := o.web.known(o.After)
	if w.connect != nil || !w.absolute.suspect(true) && !w.origin.suspect(false) || w.ofProxy() && w.absolute.status() == 407 {
		return true, nil
	}
	return exchange(c, o, &o.web.connect, "CONNECT", nobody+":443", nobody+":443")
}

func askOrigin(c *wire.Conversation, o *Observation) (alive bool, err error) {
	w := o.web.known(o.After)
	if w.origin != nil || w.ofProxy() {
		return true, nil
	}
	return exchange(c, o, &o.web.origin, "GET", "/", hostField(c))
}

// askStranger asks for an unknown name in origin form: a server that routes by name
// fails as it did for the absolute form, a proxy answers with a page of its own.
func askStranger(c *wire.Conversation, o *Observation) (alive bool, err error) {
	w := o.web.known(o.After)
	if !w.absolute.gatewayFailed() || w.origin == nil || w.ofProxy() || w.origin.gatewayFailed() {
		return true, nil
	}
	return exchange(c, o, &o.web.stranger, "GET", "/", nobody)
}

// askRelay asks for the user's own URL: by CONNECT where it is https.
func askRelay(c *wire.Conversation, o *Observation) (alive bool, err error) {
	target, ok := relayAuthority(c.Manners().RelayCheck)
	u, err := url.Parse(c.Manners().RelayCheck)
	if !ok || err != nil {
		return true, nil // whoever reads the flag says so
	}
	if u.Scheme == "https" {
		alive, err = exchange(c, o, &o.web.relay, "CONNECT", target, target)
		if o.web.relay.status()/100 == 2 {
			o.web.tunnel, alive = true, false // what follows would go through the tunnel
		}
		return alive, err
	}
	plain := url.URL{Scheme: "http", Host: u.Host, Path: u.Path, RawQuery: u.RawQuery}
	if plain.Path == "" {
		plain.Path = "/"
	}
	return exchange(c, o, &o.web.relay, "GET", plain.String(), u.Host)
}

// exchange asks one question and keeps the answer.
func exchange(c *wire.Conversation, o *Observation, into **response, method, target, host string) (alive bool, err error) {
	if err := request(c, method, target, host); err != nil {
		return false, err
	}
	r, err := readResponse(c, method, bodyDrained)
	switch {
	case r.Status != 0:
		*into = &r
		o.Confirmed = true
		if wantsTLS(&r, c) {
			o.Note("http.wants-tls", r.Line)
			return false, err
		}
	case o.Confirmed && (wire.KindOf(err) == wire.Closed || errors.Is(err, errNotHTTP)):
		return false, nil // that is an answer too: it does not like the question
	}
	return r.Alive, err
}

// settleProxy says what was spoken, and notes the answers under its name. own is the
// probe's name.
func settleProxy(o *Observation, own string) {
	w := o.web.known(o.After)
	isProxy := w.ofProxy()
	if isProxy {
		o.Then = ""
		first := o.web.absolute
		if first == nil {
			first = o.web.connect
		}
		if first == nil {
			first = o.web.origin
		}
		if first != nil {
			noteResponse(o, "proxy", first)
		}
		if o.web.connect != nil {
			o.Note("proxy.connect", o.web.connect.Line)
		}
		if r := o.web.relay; r != nil {
			o.Note("proxy.relay", r.Line)
			o.Note("proxy.relay.body", r.Body[:min(len(r.Body), 1<<10)])
		}
	}
	if own == HTTPProxy.Info().Name {
		// The http probe has noted its own already.
		switch page := o.web.origin; {
		case page != nil:
			noteResponse(o, "http", page)
		case !isProxy && o.web.absolute != nil:
			noteResponse(o, "http", o.web.absolute)
		}
	}
	protocol := HTTP.Info().Name
	if isProxy {
		protocol = HTTPProxy.Info().Name
	}
	if o.Protocol = protocol; protocol == own {
		o.Protocol = ""
	}
}

// known are the answers of this conversation and of the one before it.
func (w webAnswers) known(before *Observation) webAnswers {
	if before != nil {
		w.origin = either(w.origin, before.web.origin)
		w.absolute = either(w.absolute, before.web.absolute)
		w.connect = either(w.connect, before.web.connect)
		w.stranger = either(w.stranger, before.web.stranger)
		w.relay = either(w.relay, before.web.relay)
		w.tunnel = w.tunnel || before.web.tunnel
	}
	return w
}

func either(a, b *response) *response {
	if a != nil {
		return a
	}
	return b
}

// ofProxy says whether the answers are those of a forward proxy.
//
// An origin server must take a request for its own page in origin form and must take the
// absolute form too (RFC 9112, 3.2.2), for which it ignores who is named or routes by it;
// CONNECT it answers with 400, 404, 405 or 501, or closes. A proxy refuses the origin
// form with 400, or answers it with a page of its own, and for a name that does not exist
// fails as gateways do.
func (w webAnswers) ofProxy() bool {
	for _, r := range []*response{w.origin, w.absolute, w.connect, w.relay} {
		if r.status() == 407 || r.field("Proxy-Authenticate") != nil || r.field("Proxy-Agent") != nil || r.field("Proxy-Connection") != nil {
			return true
		}
	}
	switch {
	case w.connect.status()/100 == 2, w.tunnel:
		return true
	case w.connect.status() == 500 && w.connect.ownReason():
		// "500 Unable to connect": it tried. Who answers 500 for its own page too, with
		// another complaint, dislikes our questions.
		return w.origin.status() != 500 || bytes.Equal(w.origin.reason(), w.connect.reason())
	case w.origin.status() == 400 && (w.absolute.refusedAsProxy() || w.connect.refusedAsProxy()):
		return true
	case w.connect.status() == 403 && w.connect.field("Via") != nil && w.origin == nil:
		return true
	case w.absolute.gatewayFailed() && w.stranger != nil && w.stranger.Status < 500:
		return true
	case w.absolute.status() == 500 && w.absolute.ownReason() && w.origin != nil && w.origin.Status < 500:
		return true
	}
	return false
}

// unclear is true where a proxy is suspected and one more connection could tell.
func (w webAnswers) unclear() bool {
	return !w.ofProxy() && w.absolute.suspect(true) && (w.origin == nil || w.connect == nil)
}

func (r *response) status() int {
	if r == nil {
		return 0
	}
	return r.Status
}

// suspect is true for an answer that a proxy may have given. absolute tells that it was
// asked for a name that does not exist.
func (r *response) suspect(absolute bool) bool {
	switch {
	case r == nil || r.Status < 400 || r.Status == 401:
		return false
	case r.Status == 407 || r.field("Via") != nil || r.field("Proxy-Connection") != nil || r.field("Proxy-Agent") != nil:
		return true
	case r.Status == 400 && !absolute:
		return true
	case r.Status >= 500 && absolute && r.Status != 501:
		return true
	}
	return r.Status != 400 && r.ownReason()
}

// refusedAsProxy is true for the errors with which proxies answer for a name that does
// not exist, or that they may not ask.
func (r *response) refusedAsProxy() bool {
	s := r.status()
	return s == 403 || s >= 500 && s != 501 || s >= 400 && s != 400 && r.ownReason()
}

func (r *response) gatewayFailed() bool { return r.status() >= 502 && r.status() <= 504 }

// ownReason is true where the reason phrase is of the server's own making.
func (r *response) ownReason() bool {
	reason := r.reason()
	return len(reason) > 0 && !bytes.EqualFold(reason, []byte(http.StatusText(r.Status))) &&
		!bytes.EqualFold(reason, []byte(olderReasons[r.Status]))
}

// olderReasons are phrases of RFC 2068 and RFC 2616 that later editions changed, and 405
// as some servers spell it.
var olderReasons = map[int]string{
	302: "Moved Temporarily", 404: "File not found", 405: "Not Allowed", 408: "Request Time-out", 413: "Request Entity Too Large",
	414: "Request-URI Too Large", 416: "Requested range not satisfiable", 503: "Service Temporarily Unavailable",
	504: "Gateway Time-out",
}

// relayAuthority is "host:port" of a URL.
func relayAuthority(text string) (string, bool) {
	host, port, ok := relayTarget(text)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port)), ok
}
