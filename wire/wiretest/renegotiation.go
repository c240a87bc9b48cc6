package wiretest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"slices"
)

// renegotiates asks for another handshake as soon as the first one stands (HelloRequest,
// RFC 5246, 7.4.1.1). crypto/tls has no word for that: the record is sealed by hand, with
// the keys of the session that crypto/tls has made.
func renegotiates(c net.Conn) {
	var log bytes.Buffer // "CLIENT_RANDOM <64 hex digits> <master secret, hex>"
	heard := &helloTap{Conn: c}
	s := tls.Server(heard, &tls.Config{
		Certificates: []tls.Certificate{evil()}, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, KeyLogWriter: &log,
	})
	if s.Handshake() != nil {
		return
	}
	words := bytes.Fields(log.Bytes())
	clientRandom, _ := hex.DecodeString(string(words[1]))
	master, _ := hex.DecodeString(string(words[2]))
	// RFC 5246, 6.3, with RFC 5288, 3: two keys of 16 bytes, then two salts of 4 bytes, the
	// client's first.
	block := prf(master, slices.Concat([]byte("key expansion"), heard.random[:], clientRandom), 40)
	key, salt := block[16:32], block[36:40]
	sequence := []byte{0, 0, 0, 0, 0, 0, 0, 1} // Finished was 0
	helloRequest := []byte{0, 0, 0, 0}
	about := append(slices.Clone(sequence), 22, 3, 3, 0, byte(len(helloRequest)))
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	seal, err := cipher.NewGCM(b)
	if err != nil {
		panic(err)
	}
	body := seal.Seal(slices.Clone(sequence), slices.Concat(salt, sequence), helloRequest, about)
	c.Write(append([]byte{22, 3, 3, 0, byte(len(body))}, body...))
	hold(c)
}

// prf is the pseudorandom function of TLS 1.2 (RFC 5246, 5); the label leads the seed.
func prf(secret, seed []byte, n int) (out []byte) {
	hash := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	for a := hash(seed); len(out) < n; a = hash(a) {
		out = append(out, hash(a, seed)...)
	}
	return out[:n]
}

// helloTap keeps the random bytes of the ServerHello.
type helloTap struct {
	net.Conn
	random [32]byte
	said   bool
}

func (t *helloTap) Write(p []byte) (int, error) {
	const at = 5 + 4 + 2 // behind the heads of record and message, and the version
	if !t.said && len(p) >= at+len(t.random) {
		t.said = true
		copy(t.random[:], p[at:])
	}
	return t.Conn.Write(p)
}

// noisy is a TLS 1.3 server with a record of application data behind its ServerHello, where
// its encrypted extensions are due: as if it were answering early data that nobody sent.
func noisy(c net.Conn) {
	tls.Server(&noise{Conn: c}, &tls.Config{Certificates: []tls.Certificate{evil()}, MinVersion: tls.VersionTLS13}).Handshake()
}

type noise struct {
	net.Conn
	made bool
}

func (n *noise) Write(p []byte) (int, error) {
	if n.made || len(p) < 5 {
		return n.Conn.Write(p)
	}
	n.made = true
	end := min(len(p), 5+int(p[3])<<8+int(p[4])) // of the first record
	record := append([]byte{23, 3, 3, 0, 64}, bytes.Repeat([]byte("z"), 64)...)
	if _, err := n.Conn.Write(slices.Concat(p[:end], record, p[end:])); err != nil {
		return 0, err
	}
	return len(p), nil
}
