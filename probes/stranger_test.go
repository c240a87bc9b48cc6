package probes

import (
	"context"
	"io"
	"net"
	"time"

	"herald/wire"
)

// stranger is a server that says its words whatever it is asked, one after each message,
// and closes.
type stranger struct {
	says   [][]byte
	due    []byte
	closed bool
}

func (s *stranger) Dial(context.Context, wire.Endpoint) (net.Conn, error) { return s, nil }

func (s *stranger) Read(p []byte) (int, error) {
	if len(s.due) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.due)
	s.due = s.due[n:]
	return n, nil
}

func (s *stranger) Write(p []byte) (int, error) {
	if len(s.says) > 0 {
		s.due, s.says = append(s.due, s.says[0]...), s.says[1:]
	}
	return len(p), nil
}

func (s *stranger) Close() error                     { s.closed = true; return nil }
func (s *stranger) LocalAddr() net.Addr              { return nil }
func (s *stranger) RemoteAddr() net.Addr             { return nil }
func (s *stranger) SetDeadline(time.Time) error      { return nil }
func (s *stranger) SetReadDeadline(time.Time) error  { return nil }
func (s *stranger) SetWriteDeadline(time.Time) error { return nil }
