package recorded

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLinesAreBounded(t *testing.T) {
	long := strings.Repeat("a", longestText+1)
	input := "220 one\n" + long + "\r\n220 three\n\n220 five"
	var got []string
	for i, err := range Read("f", strings.NewReader(input), Options{Key: "smtp.greeting"}) {
		var bad *BadRecord
		switch {
		case errors.As(err, &bad):
			got = append(got, "bad "+bad.Place)
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, i.Place+" "+string(i.Heard[0].Text))
		}
	}
	want := "f:1 220 one|bad f:2|f:3 220 three|f:5 220 five"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestABrokenReaderIsNoBadRecord(t *testing.T) {
	input := io.MultiReader(strings.NewReader("220 one\n"), iotest.ErrReader(io.ErrClosedPipe))
	n := 0
	var last error
	for _, err := range Read("f", input, Options{Key: "smtp.greeting"}) {
		if err == nil {
			n++
		}
		last = err
	}
	if n != 1 || !errors.Is(last, io.ErrClosedPipe) || errors.As(last, new(*BadRecord)) {
		t.Errorf("%d records, then %v", n, last)
	}
}

// A greeting that more than one protocol may begin with is nobody's, unless the port, or a
// signature, says whose it is.
func TestGreetingsOfNobodyInParticular(t *testing.T) {
	for line, want := range map[string]string{
		"220 hello":                "", // FTP's, SMTP's or LMTP's
		"220 Operation successful": "ftp",
		"+OK":                      "pop3",
		"RFB 003.008":              "vnc", // its line end is one byte
		"nonsense":                 "",
	} {
		for item, err := range Read("here", strings.NewReader(line), Options{}) {
			if err != nil || item.Protocol != want || len(item.Heard) == 0 || (want == "") != (item.Heard[0].Key == "tcp.greeting") {
				t.Errorf("%q is told as %q, with %v, %v", line, item.Protocol, item.Heard, err)
			}
		}
	}
}

func TestReadStopsWhenAsked(t *testing.T) {
	n := 0
	for range Read("f", strings.NewReader("a\nb\nc\n"), Options{Key: "smtp.greeting"}) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
}

// The first answer of a chain of redirects is the server's own, and what a record can not
// know is not told.
func TestZgrabRedirects(t *testing.T) {
	line := `{"ip":"192.0.2.1","data":{"http":{"protocol":"http","result":{
"redirect_response_chain":[{"status_line":"301 Moved","headers":{"server":["first/1"],"location":["https://other.example/"]}}],
"response":{"status_line":"200 OK","headers":{"server":["second/2"]},"body":"x"}}}}}`
	for i, err := range Read("f", strings.NewReader(strings.ReplaceAll(line, "\n", "")), Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range i.Heard {
			all = append(all, e.Key+"="+string(e.Text))
		}
		got := strings.Join(all, " ")
		if !strings.Contains(got, "http.header.server=first/1") || strings.Contains(got, "second") || strings.Contains(got, "http.headers=") {
			t.Errorf("heard %s", got)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		host string
		port uint16
		want string
	}{{"192.0.2.1", 25, "192.0.2.1:25"}, {"2001:db8::1", 25, "[2001:db8::1]:25"}, {"a.example", 25, "a.example:25"}, {"2001:db8::1", 0, "2001:db8::1"}} {
		if got := target(c.host, c.port); got != c.want {
			t.Errorf("%s and %d is %s, want %s", c.host, c.port, got, c.want)
		}
	}
}

func TestServicePrint(t *testing.T) {
	for _, c := range []struct{ print, want string }{
		{`SF-Port1-TCP:V=7%r(NULL,5,"a\x20\"b\"\r\n")%r(Help,2,"\0\\\.")`, "NULL=a \"b\"\r\n|Help=\x00\\."},
		{"SF-Port1-TCP:V=7%r(NULL,5,\"ab\nSF:cd\")", "NULL=abcd"},
		{`SF-Port1-TCP:V=7%r(NULL,5,"cut`, "NULL=cut"},
		{`SF-Port1-TCP:V=7%r(NULL,5,"cut\`, `NULL=cut\`},
		{`SF-Port1-TCP:V=7%r(NULL,5,"\x4`, "NULL=x4"},
		{`%r(`, ""}, {`%r(a`, ""}, {`%r(a,`, ""}, {"", ""},
	} {
		var all []string
		for _, a := range servicePrint(c.print) {
			all = append(all, a.question+"="+string(a.text))
		}
		if got := strings.Join(all, "|"); got != c.want {
			t.Errorf("%s gives %q, want %q", c.print, got, c.want)
		}
	}
}

// FuzzRead reads input of any kind.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"220 mail ESMTP\r\n", `{"key":"a","text":"b"}`, `{"evidence":[{"key":"a","base64":"YQ=="}]}`, `{"format":1}`,
		`{"ip":"1.2.3.4","data":{"ssh":{"result":{"server_id":{"raw":"SSH-2.0-x"}}},"http":{"result":{"response":{"status_line":"200 OK","headers":{"server":["a"],"unknown":[{"key":"x","value":["y"]}]}}}}}}`,
		`<nmaprun><host><address addr="1.2.3.4"/><ports><port protocol="tcp" portid="25"><service servicefp="%r(NULL,1,&quot;220 a\r\n&quot;)%r(GetRequest,1,&quot;HTTP/1.0 200 OK&quot;)"/><script id="banner" output="a\x0D"/></port></ports></host></nmaprun>`,
		"\ufeff{}", "<", "{", "\\x", "\x16\x03\x01\x00\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Count(s, "\n") + 1
		given := 0
		for i, err := range Read("f", strings.NewReader(s), Options{}) {
			if err == nil {
				given++
				if i.Place == "" {
					t.Error("an item without a place")
				}
			} else if !errors.As(err, new(*BadRecord)) {
				t.Errorf("%v", err)
			}
			if given > lines+len(s) {
				t.Fatal("more items than input")
			}
		}
	})
}
