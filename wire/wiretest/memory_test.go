package wiretest

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/nettest"
)

// What every connection does, one in memory does too.
func TestPipeIsConnection(t *testing.T) {
	nettest.TestConn(t, func() (here, there net.Conn, stop func(), err error) {
		here, there = Pipe(netip.MustParseAddrPort("192.0.2.1:25"))
		return here, there, func() { here.Close(); there.Close() }, nil
	})
}
