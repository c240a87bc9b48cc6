package probes

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http/httputil"
	"strconv"
	"strings"

	"herald/wire"
)

// Bounds of what is read of an answer, in bytes.
const (
	bodyKept    = 8 << 10  // of a body, as evidence
	bodyDrained = 64 << 10 // of a body, where another question follows on the same connection
	mostFields  = 128      // field lines in a header section
	mostInterim = 4        // 1xx responses before the final one
)

// response is an answer of HTTP (RFC 9112, 4). Its slices point into the record.
type response struct {
	Line   []byte // status line without line end: "HTTP/1.1 200 OK"
	Status int    // 100 to 999; 0: none was heard
	Fields []field
	Broken [][]byte // lines of the header section that are no fields
	Body   []byte   // its beginning, transfer coding removed
	Alive  bool     // the connection can be asked again
}

// field is a field line, name and value as received, white space around the value cut.
type field struct{ Name, Value []byte }

// field is the value of the first field of that name, nil without.
func (r *response) field(name string) []byte {
	if r == nil {
		return nil
	}
	for _, f := range r.Fields {
		if len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name)) {
			return f.Value
		}
	}
	return nil
}

// reason is what the status line says after the code (RFC 9112, 4).
func (r *response) reason() []byte {
	_, after, _ := bytes.Cut(r.Line, []byte(" "))
	return bytes.TrimSpace(after[min(3, len(after)):])
}

// errNotHTTP says that an answer does not begin with a status line. What was heard is
// still pending.
var errNotHTTP = errors.New("no status line")

// request says one request. target is what stands in the request line (RFC 9112, 3.2),
// host the Host field.
func request(c *wire.Conversation, method, target, host string) error {
	agent := c.Manners().UserAgent
	if agent == "" {
		agent = wire.DefaultUserAgent
	}
	message := make([]byte, 0, 256)
	for _, s := range [...]string{
		method, " ", target, " HTTP/1.1\r\nHost: ", host,
		"\r\nUser-Agent: ", oneLine(agent), "\r\nAccept: */*\r\n\r\n",
	} {
		message = append(message, s...)
	}
	return c.Say(message)
}

// oneLine leaves out the control characters that would make a second line of a word.
func oneLine(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return -1
		}
		return r
	}, s)
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// hostField is the Host field towards an endpoint (RFC 9110, 7.2): the port stands in it
// where it is not the scheme's own.
func hostField(c *wire.Conversation) string {
	e := c.Endpoint()
	host := oneLine(e.Name)
	if host == "" {
		addr := e.Addr.Addr().WithZone("") // RFC 9110, 4.2: a zone says nothing to others
		if host = addr.String(); addr.Is6() {
			host = "[" + host + "]"
		}
	}
	usual := uint16(80)
	if c.TLS() != nil {
		usual = 443
	}
	if port := e.Addr.Port(); port != usual {
		host += ":" + strconv.Itoa(int(port))
	}
	return host
}

// readResponse reads an answer and up to most bytes of its body. Where it does not begin
// with a status line the error is errNotHTTP and nothing is consumed. Any other error
// comes beside what was heard until then.
func readResponse(c *wire.Conversation, method string, most int) (response, error) {
	for range mostInterim {
		r, err := readStatusAndFields(c)
		if err != nil || r.Status/100 != 1 || r.Status == 101 {
			if err == nil {
				err = readBody(c, &r, method, most)
			}
			return r, err
		}
	}
	return response{}, c.TooMuch("interim responses", mostInterim)
}

// readStatusAndFields reads a status line and the header section.
func readStatusAndFields(c *wire.Conversation) (response, error) {
	if _, err := c.Peek(1); err != nil {
		return response{}, err
	}
	// What came may be no text at all: a line end is waited for only where it may be HTTP.
	heard, err := c.Listen(0)
	if err != nil && len(heard) == 0 {
		return response{}, err
	}
	if !mayBeStatus(heard) {
		return response{}, errNotHTTP
	}
	if line, _, ended := bytes.Cut(heard, []byte("\n")); ended && statusOf(line) == 0 {
		return response{}, errNotHTTP
	}
	line, err := c.ReadLine()
	if err != nil {
		return response{}, err
	}
	r := response{Line: bytes.TrimRight(line, "\r\n"), Status: statusOf(line)}
	if r.Status == 0 {
		return response{}, c.Malformed("a status line is like HTTP/1.1 200 OK", line)
	}
	return r, readFields(c, &r)
}

// icy stands for the version in the answers of SHOUTcast and those that follow it, which are
// HTTP's in everything else.
const icy = "ICY"

// mayBeStatus says whether these bytes, or what they are the beginning of, may be a status line.
func mayBeStatus(heard []byte) bool {
	for _, name := range [...]string{"HTTP/", icy + " "} {
		if n := min(len(heard), len(name)); string(heard[:n]) == name[:n] {
			return true
		}
	}
	return false
}

// statusOf is the code of a status line (RFC 9112, 4), 0 where it is none. The reason
// phrase may be missing, and so may the space before it.
func statusOf(line []byte) int {
	version, code, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
	if !isVersion(version) && string(version) != icy {
		return 0
	}
	code = bytes.TrimLeft(code, " ")
	if len(code) < 3 || len(code) > 3 && code[3] != ' ' {
		return 0
	}
	n := 0
	for _, d := range code[:3] {
		if !isDigit(d) {
			return 0
		}
		n = 10*n + int(d-'0')
	}
	if n < 100 {
		return 0
	}
	return n
}

// isVersion knows HTTP/1.1 and its like (RFC 9112, 2.3).
func isVersion(v []byte) bool {
	return len(v) == len("HTTP/1.1") && string(v[:5]) == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7])
}

func readFields(c *wire.Conversation, r *response) error {
	r.Fields = make([]field, 0, 16)
	for range mostFields {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return nil
		}
		name, value, ok := splitField(line)
		switch {
		case ok:
			r.Fields = append(r.Fields, field{name, value})
		case (line[0] == ' ' || line[0] == '\t') && len(r.Fields) > 0:
			// RFC 9112, 5.2: a folded value, obsolete and still sent
			last := &r.Fields[len(r.Fields)-1]
			last.Value = append(append(last.Value[:len(last.Value):len(last.Value)], ' '), bytes.Trim(line, " \t")...)
		default:
			r.Broken = append(r.Broken, line)
		}
	}
	return c.TooMuch("field lines", mostFields)
}

// splitField takes a field line apart (RFC 9112, 5). White space before the colon is
// forbidden and met: it is cut.
func splitField(line []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return nil, nil, false
	}
	name = bytes.TrimRight(line[:i], " \t")
	for _, b := range name {
		if b <= ' ' || b >= 0x7f {
			return nil, nil, false
		}
	}
	return name, bytes.Trim(line[i+1:], " \t"), len(name) > 0
}

// readBody reads the content as RFC 9112, 6.3 delimits it, most bytes of it.
func readBody(c *wire.Conversation, r *response, method string, most int) error {
	persists := r.persists()
	switch {
	case method == "CONNECT" && r.Status/100 == 2 || r.Status == 101:
		return nil // another protocol begins here
	case r.Status == 204 || r.Status == 304:
		r.Alive = persists
		return nil
	}
	if containsWord(r.field("Transfer-Encoding"), "chunked") {
		whole, err := r.readChunked(c, most)
		r.Alive = whole && persists
		return err
	}
	length, err := strconv.ParseUint(string(r.field("Content-Length")), 10, 63)
	if err != nil {
		// Delimited by the server's closing: to send nothing is no failure.
		r.Body, err = c.ReadRest(most)
		if wire.KindOf(err) == wire.Closed {
			err = nil
		}
		return err
	}
	n := int(min(length, uint64(most)))
	body, err := c.ReadFull(n)
	if err != nil {
		r.Body = c.Pending()
		return err
	}
	r.Body, r.Alive = body, persists && uint64(n) == length
	return nil
}

// persists says whether the server keeps the connection open (RFC 9112, 9.3).
func (r *response) persists() bool {
	for _, f := range r.Fields {
		if bytes.EqualFold(f.Name, []byte("Connection")) || bytes.EqualFold(f.Name, []byte("Proxy-Connection")) {
			switch {
			case containsWord(f.Value, "close"):
				return false
			case containsWord(f.Value, "keep-alive"):
				return true
			}
		}
	}
	return r.Line[5] > '1' || r.Line[5] == '1' && r.Line[7] >= '1'
}

// readChunked undoes the chunked transfer coding (RFC 9112, 7.1), most bytes of it.
func (r *response) readChunked(c *wire.Conversation, most int) (whole bool, err error) {
	in := bufio.NewReaderSize(stream{c}, 1<<10)
	r.Body, err = io.ReadAll(io.LimitReader(httputil.NewChunkedReader(in), int64(most)))
	if err != nil {
		if c.Failure() != nil {
			return false, c.Failure()
		}
		return false, c.Malformed("chunked coding: "+err.Error(), nil)
	}
	if len(r.Body) >= most {
		return false, nil
	}
	for range mostFields { // the trailer section (7.1.2) and the empty line
		line, err := in.ReadSlice('\n')
		if err != nil {
			return false, nil // the content was whole
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// stream reads a conversation as an [io.Reader], for libraries that read formats.
type stream struct{ c *wire.Conversation }

func (s stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := s.c.Peek(1); err != nil {
		return 0, err
	}
	got, err := s.c.ReadFull(min(len(p), len(s.c.Pending())))
	return copy(p, got), err
}
