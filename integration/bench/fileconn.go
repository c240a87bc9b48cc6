//go:build linux

package main

import (
	"net"
	"os"
)

// fileConn is a socket in a file as crypto/tls wants it.
type fileConn struct{ *os.File }

func (fileConn) LocalAddr() net.Addr  { return nil }
func (fileConn) RemoteAddr() net.Addr { return nil }
