package scan_test

import (
	"context"
	"fmt"
	"net/netip"

	"herald/scan"
	"herald/wire"
)

// One endpoint, looked at with the defaults. The conversation here is a recorded one, so
// that the example runs anywhere; leave the Transport out to call over the network.
func Example() {
	scanner := scan.New(scan.Options{Caller: wire.Caller{Transport: recorded}})
	at := netip.MustParseAddrPort("192.0.2.1:25")
	found := scanner.Look(context.Background(), scan.Target{Host: "192.0.2.1", Port: 25}, wire.Endpoint{Addr: at})
	fmt.Println(found.Protocol, found.Verdict, found.Claim("product"), found.Claim("version"))
	for _, e := range found.Evidence() {
		fmt.Printf("%s: %s\n", e.Key, wire.Escape(e.Text))
	}
	// Output:
	// smtp expected Exim 4.96
	// smtp.greeting: 220 mail.example.org ESMTP Exim 4.96 Sun, 22 Nov 2026 22:42:13 +0000
	// smtp.ehlo: 250-mail.example.org Hello [127.0.0.1] [127.0.0.1]\r\n250 HELP
	// smtp.help: 214-Commands supported:\r\n214 AUTH HELO EHLO MAIL RCPT DATA BDAT NOOP QUIT RSET HELP
	// smtp.quit: 221 mail.example.org closing connection
}

var recorded = &wire.Replay{Transcript: &wire.Transcript{Exchanges: []wire.Exchange{{
	Events: []wire.Event{
		{Mark: '<', Data: []byte("220 mail.example.org ESMTP Exim 4.96 Sun, 22 Nov 2026 22:42:13 +0000\r\n")},
		{Mark: '>', Data: []byte("EHLO [127.0.0.1]\r\n")},
		{Mark: '<', Data: []byte("250-mail.example.org Hello [127.0.0.1] [127.0.0.1]\r\n250 HELP\r\n")},
		{Mark: '>', Data: []byte("HELP\r\n")},
		{Mark: '<', Data: []byte("214-Commands supported:\r\n214 AUTH HELO EHLO MAIL RCPT DATA BDAT NOOP QUIT RSET HELP\r\n")},
		{Mark: '>', Data: []byte("QUIT\r\n")},
		{Mark: '<', Data: []byte("221 mail.example.org closing connection\r\n")},
	},
}}}}
