package login

import (
	"errors"
	"net"
	"sync/atomic"
)

// Careful is a connection for go-imap, v2.0.0-beta.8. Lists in lists have it call itself, and
// wrap an error at each level: 16 MiB of "(" after BODYSTRUCTURE overflow the stack, which
// ends the process, and 1 MiB keeps a processor busy for hours; numbers in falling order are
// sorted in as they come. So that between two things that we say a server may say so much and
// open so many parentheses, wherever they stand. Beyond that reading fails, with
// [ErrTooMuch], and the connection is closed.
func Careful(c net.Conn) net.Conn { return &careful{Conn: c} }

// ErrTooMuch is a server that says more than an IMAP client can be made to read.
var ErrTooMuch = errors.New("more than an answer may have")

const (
	mostAnswer = 256 << 10 // bytes; 2,500 folders, each with one list
	mostOpened = 3_000     // parentheses
)

type careful struct {
	net.Conn
	heard, opened atomic.Int64
}

func (c *careful) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	opened := 0
	for _, b := range p[:n] {
		if b == '(' {
			opened++
		}
	}
	if c.heard.Add(int64(n)) > mostAnswer || c.opened.Add(int64(opened)) > mostOpened {
		c.Conn.Close()
		return 0, ErrTooMuch
	}
	return n, err
}

func (c *careful) Write(p []byte) (int, error) {
	c.heard.Store(0)
	c.opened.Store(0)
	return c.Conn.Write(p)
}
