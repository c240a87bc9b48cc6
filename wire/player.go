package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Player plays the server's side of transcripts from listeners on loopback, for
// demonstrations and tests: a real socket, a real handshake, recorded words. A client
// that asks in another order than the recorded one gets the answer that the record has
// for its command. The n-th connection gets the transcript's n-th exchange, and after the
// last the first again.
type Player struct {
	listeners []net.Listener
	conns     map[net.Conn]bool
	mu        sync.Mutex
	all       sync.WaitGroup
}

// Play begins to listen, a port for each transcript, and returns the ports in the same
// order. Close ends it.
func Play(transcripts ...*Transcript) (*Player, []netip.AddrPort, error) {
	p := &Player{conns: map[net.Conn]bool{}}
	var ports []netip.AddrPort
	for _, t := range transcripts {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.Close()
			return nil, nil, err
		}
		p.listeners = append(p.listeners, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).AddrPort())
		p.all.Go(func() { p.accept(l, t) })
	}
	return p, ports, nil
}

// Close ends all listeners and conversations and waits for them.
func (p *Player) Close() error {
	p.mu.Lock()
	for _, l := range p.listeners {
		l.Close()
	}
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
	return nil
}

func (p *Player) accept(l net.Listener, t *Transcript) {
	for n := 0; ; n++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns[conn] = true
		p.mu.Unlock()
		p.all.Go(func() {
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			if len(t.Exchanges) > 0 {
				playExchange(conn, t.Exchanges[n%len(t.Exchanges)])
			}
			conn.Close()
			p.mu.Lock()
			delete(p.conns, conn)
			p.mu.Unlock()
		})
	}
}

// playExchange answers as the record does, until the client leaves or the record ends.
func playExchange(conn net.Conn, x Exchange) {
	from := bufio.NewReader(conn)
	at := 0
	for at < len(x.Events) {
		switch e := x.Events[at]; e.Mark {
		case '<':
			if _, err := conn.Write(e.Data); err != nil {
				return
			}
			at++
		case '!':
			config, err := lookalike(e.TLS)
			if err != nil {
				return
			}
			session := tls.Server(&bufferedConn{conn, from}, config)
			if session.HandshakeContext(context.Background()) != nil {
				return
			}
			conn, from = session, bufio.NewReader(session)
			at++
		case '>':
			said, err := readAsLong(from, e.Data)
			if err != nil {
				return
			}
			at = answerTo(x.Events, at, said)
		default:
			at++
		}
	}
	if x.End != "read closed" { // the recorded client left first: so may this one
		from.WriteTo(discard{})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// readAsLong reads what the client says: lines where the record has lines, as many bytes
// where it has not.
func readAsLong(r *bufio.Reader, recorded []byte) ([]byte, error) {
	lines := bytes.Count(recorded, []byte("\n"))
	if lines == 0 || !bytes.HasSuffix(recorded, []byte("\n")) {
		said := make([]byte, len(recorded))
		_, err := r.Read(said)
		return said, err
	}
	if bytes.HasSuffix(recorded, []byte("\r\n\r\n")) {
		lines = 1 << 10 // a head of fields: until the empty line
	}
	var said []byte
	for range lines {
		line, err := r.ReadSlice('\n')
		said = append(said, line...)
		if err != nil {
			return said, err
		}
		if lines == 1<<10 && len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	return said, nil
}

// answerTo finds where the record goes on after the client's words: behind the next
// message that begins with the same word, or else behind the message that is due.
func answerTo(events []Event, due int, said []byte) int {
	word := firstWord(said)
	for i := due; i < len(events); i++ {
		if events[i].Mark == '>' && bytes.EqualFold(firstWord(events[i].Data), word) {
			return i + 1
		}
	}
	return due + 1
}

func firstWord(b []byte) []byte {
	if i := bytes.IndexAny(b, " \r\n"); i >= 0 {
		return b[:i]
	}
	return b
}

type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (b *bufferedConn) Read(p []byte) (int, error) { return b.r.Read(p) }

// lookalike is a configuration with the version of a recorded handshake, and a fresh
// self-signed certificate with the names of the recorded leaf: its key is not ours.
func lookalike(s *TLSState) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "herald demo"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	if len(s.Chain) > 0 {
		leaf.Subject, leaf.DNSNames = s.Chain[0].Subject, s.Chain[0].DNSNames
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS10, MaxVersion: s.Version,
	}
	if s.ALPN != "" {
		config.NextProtos = []string{s.ALPN}
	}
	if s.Version == 0 {
		return nil, errors.New("a handshake without a version")
	}
	return config, nil
}
