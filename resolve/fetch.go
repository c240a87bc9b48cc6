package resolve

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"herald/wire"
)

// Fetcher gets documents that a domain publishes over HTTPS (an MTA-STS policy, a mail
// client's configuration). It asks once, follows no redirect, and verifies nothing: the
// certificate is part of the result, to be judged later.
type Fetcher struct {
	Records   Records
	Transport wire.Transport // nil is the network
	Timeout   time.Duration  // for everything; 0 is 15 s
	UserAgent string
}

// Fetched is what came.
type Fetched struct {
	URL       string
	Addr      netip.Addr // who answered
	Status    int        // 0 where no answer came
	Type      string     // Content-Type
	Location  string     // where a redirect leads
	Body      []byte     // at most MostBody bytes
	Cut       bool       // it would have gone on
	Chain     []*x509.Certificate
	Failure   *wire.Failure
	Took      time.Duration
	Addresses []netip.Addr // all of the host's
}

// MostBody is how much of a document is read, in bytes: RFC 8461, 3.3 advises to refuse
// policies beyond 64 KB.
const MostBody = 64 << 10

// Get fetches a URL from the first of the host's addresses that lets itself be connected.
func (f Fetcher) Get(ctx context.Context, address string) Fetched {
	began := time.Now()
	out := Fetched{URL: address}
	defer func() { out.Took = time.Since(began) }()
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		out.Failure = &wire.Failure{Op: wire.OpResolve, Kind: wire.NotFound, Err: errors.New("not a URL with a host")}
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(f.Timeout, 15*time.Second))
	defer cancel()
	addrs, a, _ := Addresses(ctx, f.Records, u.Hostname())
	if len(addrs) == 0 {
		out.Failure = &wire.Failure{Op: wire.OpResolve, Kind: wire.NotFound, Err: errors.New("no address: " + string(a.Status))}
		if !a.Known() {
			out.Failure.Kind = wire.Unresolved
		}
		return out
	}
	out.Addresses = addrs
	for i, addr := range addrs {
		if i == 4 {
			break
		}
		out.Addr = addr
		f.get(ctx, u, addr, &out)
		if out.Failure == nil || out.Failure.Op != wire.OpDial || ctx.Err() != nil {
			break
		}
	}
	return out
}

// get asks one address.
func (f Fetcher) get(ctx context.Context, u *url.URL, addr netip.Addr, out *Fetched) {
	w := &witness{}
	h := f.transport(ctx, u, addr, w)
	defer h.CloseIdleConnections()
	out.Failure = nil
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		out.Failure = &wire.Failure{Op: wire.OpWrite, Kind: wire.Internal, Err: err}
		return
	}
	request.Header.Set("User-Agent", cmp.Or(f.UserAgent, wire.DefaultUserAgent))
	reply, err := h.RoundTrip(request) // a round trip follows no redirects (RFC 8461, 3.3)
	if chain := w.shown.Load(); chain != nil {
		out.Chain = *chain
	}
	if err != nil {
		op := wire.OpRead
		if out.Chain == nil && u.Scheme == "https" {
			op = wire.OpHandshake
		}
		failed := wire.FailureOf(op, err)
		if dialed := w.dialed.Load(); dialed != nil {
			failed = dialed
		}
		out.Failure = ended(ctx, failed)
		return
	}
	defer reply.Body.Close()
	out.Status, out.Type, out.Location = reply.StatusCode, clip(reply.Header.Get("Content-Type"), 200), clip(reply.Header.Get("Location"), 500)
	body, err := io.ReadAll(io.LimitReader(reply.Body, MostBody+1))
	if out.Cut = len(body) > MostBody; out.Cut {
		body = body[:MostBody]
	}
	out.Body = body
	if err != nil {
		out.Failure = ended(ctx, wire.FailureOf(wire.OpRead, err))
	}
}

// witness has what was seen while net/http worked, which may still be dialling, and shaking
// hands, when it has given up.
type witness struct {
	dialed atomic.Pointer[wire.Failure]        // why no connection stands
	shown  atomic.Pointer[[]*x509.Certificate] // by the server
}

func (f Fetcher) transport(ctx context.Context, u *url.URL, addr netip.Addr, w *witness) *http.Transport {
	at := wire.Endpoint{Addr: netip.AddrPortFrom(addr, portOf(u)), Name: u.Hostname()}
	transport := f.Transport
	if transport == nil {
		transport = wire.Network{}
	}
	return &http.Transport{
		DialContext: func(dialling context.Context, _, _ string) (net.Conn, error) {
			conn, err := transport.Dial(dialling, at)
			if err != nil {
				w.dialed.Store(wire.FailureOf(wire.OpDial, err))
				return nil, err
			}
			// What follows a 101 is not ended by the context: net/http hands the connection on.
			context.AfterFunc(ctx, func() { conn.Close() })
			return conn, nil
		},
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // judged later, on the recorded chain
			ServerName:         u.Hostname(), MinVersion: tls.VersionTLS10,
			VerifyConnection: func(s tls.ConnectionState) error { w.shown.Store(&s.PeerCertificates); return nil },
		},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout:    10 * time.Second,
	}
}

func portOf(u *url.URL) uint16 {
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(p)
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// ended is how a fetch ended that failed: where its time was over, by that.
func ended(ctx context.Context, f *wire.Failure) *wire.Failure {
	out := *f
	out.Kind = theirs(f)
	if ctx.Err() != nil {
		out.Kind = wire.Timeout
	}
	return &out
}

// theirs is a failure's kind, where what no network does is taken for what the server said:
// net/http and crypto/tls have no types for that, and nothing of ours is between.
func theirs(f *wire.Failure) wire.Kind {
	switch {
	case f.Kind != wire.Internal:
		return f.Kind
	case f.Op == wire.OpHandshake:
		return wire.TLSFailed
	}
	return wire.Protocol
}
