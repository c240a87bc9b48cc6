package probes_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"herald/probes"
	"herald/wire"
)

// six is a transport whose connections come from ::1.
type six struct{ *wire.Replay }

func (s six) Dial(ctx context.Context, e wire.Endpoint) (net.Conn, error) {
	c, err := s.Replay.Dial(ctx, e)
	return fromSix{c}, err
}

type fromSix struct{ net.Conn }

func (fromSix) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv6loopback, Port: 1} }

// Over IPv6 SMTP is told a literal of that form (RFC 5321, 4.1.3), and FTP is not asked
// for what cannot say such an address (RFC 2428, 1).
func TestQuestionsOverIPv6(t *testing.T) {
	for _, test := range []struct {
		probe probes.Probe
		text  string
	}{
		{probes.SMTP, `
< 220 mx.example.org ESMTP\r\n
> EHLO [IPv6:::1]\r\n
< 250 mx.example.org\r\n
> HELP\r\n
< 214 no\r\n
> QUIT\r\n
< 221 bye\r\n
. left
`},
		{probes.FTP, `
< 220 camera FTP\r\n
> FEAT\r\n
< 211 none\r\n
> SYST\r\n
> EPSV\r\n
> QUIT\r\n
< 215 UNIX Type: L8\r\n
< 229 Entering Extended Passive Mode (|||30001|)\r\n
< 221 bye\r\n
. left
`},
		{probes.FTP, `
< 220 camera FTP\r\n
> FEAT\r\n
< 500 none\r\n
> SYST\r\n
< 215 UNIX Type: L8\r\n
> AUTH TLS\r\n
< 500 none\r\n
> HELP\r\n
< 214 none\r\n
> EPSV\r\n
< 229 Entering Extended Passive Mode (|||30001|)\r\n
> EPRT |2|::1|65535|\r\n
< 200 EPRT command successful\r\n
> EPSV ALL\r\n
< 200 EPSV ALL ok\r\n
> QUIT\r\n
< 221 bye\r\n
. left
`},
		{probes.FTP, `
< 220 box FTP\r\n
> FEAT\r\n
< 211 none\r\n
> SYST\r\n
> EPSV\r\n
> QUIT\r\n
< 215 UNIX Type: L8\r\n
< 500 unknown\r\n
< 221 bye\r\n
. left
`},
	} {
		tr, err := wire.ReadTranscript("here", strings.NewReader(test.text), nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := (&wire.Caller{Transport: six{&wire.Replay{Transcript: tr}}}).Open(context.Background(), wire.Endpoint{Addr: netip.MustParseAddrPort("[::1]:21")})
		if err != nil {
			t.Fatal(err)
		}
		o := probes.Observe(c)
		if err := test.probe.Converse(c, o); err != nil || !o.Confirmed {
			t.Errorf("%s: confirmed %v, %v", test.probe.Info().Name, o.Confirmed, err)
		}
		c.Close()
	}
}
