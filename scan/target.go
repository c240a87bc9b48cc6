package scan

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"herald/wire"
)

// Target is one port of one host, as the user named it. Names are looked up later; each
// address of a name becomes an endpoint.
type Target struct {
	Host     string     // name or address, as the user wrote it
	Addr     netip.Addr // invalid while Host is a name
	Port     uint16
	Protocol string        // the user's hint, from an URL: "imap"; "" for none
	Security wire.Security // the user's hint; "" for none
	Position uint64        // its place in the order of the scan; see Plan
}

// String is the target as a user would write it.
func (t Target) String() string {
	s := joinHostPort(t.Host, t.Port)
	if t.Protocol != "" {
		s = Expected{t.Protocol, t.Security}.scheme() + "://" + s
	}
	return s
}

func joinHostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// Source gives targets one by one, so that there may be more of them than memory holds.
// It ends at the first error.
type Source = iter.Seq2[Target, error]
