package login

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"

	"herald/audit"
	"herald/wire"
)

// ftp logs in (RFC 959, 4.1.1) and tries the data channel: a list over EPSV, over PASV, and
// on request in active mode; with TLS, encrypted (RFC 4217). On request a file of our own
// is written, read back and deleted.
func (s *session) ftp() error {
	if err := s.welcomed(); err != nil {
		return err
	}
	if s.login.Security == wire.StartTLS {
		s.doing("login", "AUTH TLS")
		r, err := s.ask("AUTH TLS")
		if err != nil {
			return err
		}
		if r.code == 234 {
			if err := s.c.StartTLS(); err != nil {
				return err
			}
		}
	}
	if err := s.mayBeTold(); err != nil {
		return err
	}
	t := &transfer{session: s, secured: s.c.TLS() != nil}
	if err := t.login(); err != nil {
		return err
	}
	for _, try := range []func() error{t.directory, t.extended, t.upload, t.passive, t.active} {
		if err := try(); err != nil {
			return err
		}
	}
	s.ask("QUIT") // the answer changes nothing
	return nil
}

// transfer is an FTP session after the login.
type transfer struct {
	*session
	lib       *ftp.ServerConn
	secured   bool        // data connections must be encrypted
	plainOnly bool        // PROT P was refused
	data      []*dataConn // under keeping
}

// login has the library log in. It asks FEAT, TYPE, PBSZ and PROT right after, which may
// fail by themselves.
func (t *transfer) login() error {
	t.doing("login", "logging in")
	before := len(t.c.Heard())
	first := true
	dial := func(_, address string) (net.Conn, error) {
		if first {
			first = false
			return t.c.Conn([]byte("220 \r\n")), nil
		}
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		d, err := t.connect(addr.Port())
		if err != nil {
			return nil, err // a nil *dataConn must not become a net.Conn
		}
		return d, nil
	}
	options := []ftp.DialOption{ftp.DialWithDialFunc(dial)}
	if t.secured {
		// With a dial function of ours this only has PBSZ and PROT asked.
		options = append(options, ftp.DialWithTLS(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	address := t.c.Endpoint().Addr.String()
	var err error
	t.lib, err = guarded(t.session, func() (*ftp.ServerConn, error) {
		lib, err := ftp.Dial(address, options...)
		if err != nil {
			return nil, err
		}
		return lib, lib.Login(t.who.User, t.who.Password)
	})
	in := heardCode(t.heard(before), "230")
	var said *textproto.Error
	switch {
	case in != "":
		if answer := t.answered(true, in); answer != nil {
			return answer
		}
		if errors.As(err, &said) && t.c.Failure() == nil {
			// After the login FEAT, TYPE, OPTS, PBSZ and PROT follow.
			t.plainOnly = t.secured
			t.add("data-encryption", t.orNA(audit.Fail), "PROT P is accepted (RFC 4217, 9)", fmt.Sprintf("%d %s", said.Code, said.Msg))
			return nil
		}
	case errors.Is(err, ErrPanicked), errors.Is(err, ErrStuck):
	case t.c.Failure() == nil && refusal(lastLine(t.heard(0))):
		return t.answered(false, lastLine(t.heard(0)))
	}
	if err != nil {
		return t.broken(err)
	}
	return nil
}

// orNA is the state where TLS stands, n/a in the clear.
func (t *transfer) orNA(state audit.State) audit.State {
	if t.secured {
		return state
	}
	return audit.NA
}

// refusal is a permanent or transient negative reply (RFC 959, 4.2.1).
func refusal(line string) bool {
	code, more := codeOf(line)
	return code >= 400 && !more
}

// heardCode is the first line that has the code.
func heardCode(heard []byte, code string) string {
	for line := range strings.Lines(string(heard)) {
		if strings.HasPrefix(line, code) {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}

// directory asks PWD by ourselves: what the library makes of a bad answer is a panic.
func (t *transfer) directory() error {
	t.doing("directory", "PWD")
	const want = `PWD is answered 257 "directory" (RFC 959, appendix II)`
	r, err := t.ask("PWD")
	if err != nil {
		return err
	}
	name, ok := pathname(r.String())
	if r.code != 257 || !ok {
		t.add("directory", audit.Fail, want, r.String())
		return nil
	}
	t.add("directory", audit.Pass, want, name)
	return nil
}

// pathname takes the quoted name out of a reply, in which quotes are doubled.
func pathname(line string) (string, bool) {
	_, rest, ok := strings.Cut(line, `"`)
	if !ok {
		return "", false
	}
	var name strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '"' {
			name.WriteByte(rest[i])
			continue
		}
		if i+1 < len(rest) && rest[i+1] == '"' {
			name.WriteByte('"')
			i++
			continue
		}
		return name.String(), name.Len() > 0
	}
	return "", false
}

// extended lists over EPSV (RFC 2428), with MLSD where it is offered (RFC 3659). The
// library turns to PASV where EPSV is refused.
func (t *transfer) extended() error {
	t.doing("data-channel", "a list over EPSV")
	before := len(t.c.Heard())
	t.dialled() // those of the login are no concern here
	entries, err := guarded(t.session, func() ([]*ftp.Entry, error) { return t.lib.List("") })
	way := "EPSV"
	if heardCode(t.heard(before), "227") != "" {
		way = "PASV, since EPSV was refused"
	}
	return t.listed(way, len(entries), err, t.dialled())
}

// listed judges a list that was, or was not, carried over a data connection.
func (t *transfer) listed(way string, entries int, err error, conns []*dataConn) error {
	want := "a list of files comes over a data connection (" + way + ")"
	if err != nil {
		if errors.Is(err, ErrPanicked) || errors.Is(err, ErrStuck) || t.c.Failure() != nil {
			return t.because(err)
		}
		t.add("data-channel", audit.Fail, want, err.Error()+"; the last word was "+lastLine(t.heard(0)))
	} else {
		t.add("data-channel", audit.Pass, want, fmt.Sprintf("%d entries", entries))
	}
	t.encrypted(way, conns)
	return nil
}

// encrypted judges how data connections were protected.
func (t *transfer) encrypted(way string, conns []*dataConn) {
	if !t.secured || t.plainOnly || len(conns) == 0 {
		return
	}
	want := "the data connection is inside TLS (" + way + ")"
	d := conns[len(conns)-1]
	if d.c.TLS() == nil {
		seen := "no handshake took place"
		if f := d.c.Failure(); f != nil {
			seen = f.Error()
		}
		t.add("data-encryption", audit.Fail, want, seen)
		return
	}
	seen := d.c.TLS().VersionName() + ", the control connection's session was not resumed: the server does not tell whose data connection it is"
	if d.c.TLS().Resumed {
		seen = d.c.TLS().VersionName() + ", the control connection's session was resumed"
	}
	t.add("data-encryption", audit.Pass, want, seen)
}

// upload writes a file with a name and content that nobody else has, reads it back and
// deletes it.
func (t *transfer) upload() error {
	if !t.session.login.Upload {
		return nil
	}
	t.doing("upload", "writing a file of our own")
	const want = "a file is written, read back unchanged and deleted"
	random := make([]byte, 16)
	rand.Read(random) // never fails
	token := hex.EncodeToString(random)
	name, content := "herald-"+token+".txt", "herald wrote this and deletes it: "+token+"\r\n"
	failed := func(what string, err error) error {
		if errors.Is(err, ErrPanicked) || errors.Is(err, ErrStuck) || t.c.Failure() != nil {
			return t.because(err)
		}
		t.add("upload", audit.Fail, want, what+": "+err.Error())
		return nil
	}
	written := time.Now()
	if err := t.guard(func() error { return t.lib.Stor(name, strings.NewReader(content)) }); err != nil {
		t.guard(func() error { return t.lib.Delete(name) }) // a part of it may be there
		return failed("STOR", err)
	}
	back, readErr := guarded(t.session, func() ([]byte, error) {
		r, err := t.lib.Retr(name)
		if err != nil {
			return nil, err
		}
		back, err := io.ReadAll(io.LimitReader(r, int64(2*len(content))))
		return back, errors.Join(err, r.Close())
	})
	var modified time.Time
	var timeErr error
	if readErr == nil {
		modified, timeErr = guarded(t.session, func() (time.Time, error) {
			if !t.lib.IsGetTimeSupported() {
				return time.Time{}, nil
			}
			return t.lib.GetTime(name)
		})
	}
	if err := t.guard(func() error { return t.lib.Delete(name) }); err != nil {
		t.add("upload", audit.Fail, want, "DELE: "+err.Error()).Fix = "delete " + name
		return nil
	}
	switch {
	case readErr != nil:
		return failed("RETR", readErr)
	case string(back) != content:
		t.add("upload", audit.Fail, want, fmt.Sprintf("%d bytes were written, %d others came back", len(content), len(back)))
	default:
		t.add("upload", audit.Pass, want, fmt.Sprintf("%d bytes", len(content)))
	}
	t.skew(written, modified, timeErr)
	return nil
}

// mostSkew is how far a server's clock may be from ours. MDTM counts whole seconds, and a
// file may be written late.
const mostSkew = 30 * time.Second

func (t *transfer) skew(written, modified time.Time, err error) {
	want := "MDTM of a new file is within " + mostSkew.String() + " of our clock, in UTC (RFC 3659, 3)"
	switch {
	case err != nil:
		t.add("clock", audit.Unknown, want, err.Error())
	case modified.IsZero():
		t.add("clock", audit.NA, want, "MDTM is not offered")
	default:
		off := modified.Sub(written).Round(time.Second)
		state := audit.Pass
		if off.Abs() > mostSkew {
			state = audit.Fail
		}
		t.add("clock", state, want, "off by "+off.String())
	}
}

// passive asks PASV by ourselves: the library does not tell which address it was given.
func (t *transfer) passive() error {
	own := t.c.Endpoint().Addr.Addr()
	if !own.Unmap().Is4() {
		return nil // RFC 2428, 1: PASV has no way to say such an address
	}
	t.doing("data-address", "PASV")
	r, err := t.ask("PASV")
	if err != nil {
		return err
	}
	const want = "PASV gives an address that can be reached from here (RFC 959, 4.1.2)"
	addr, ok := passiveAddress(r.String())
	switch {
	case r.code != 227:
		t.add("data-address", audit.NA, want, "PASV is refused: "+r.String())
		return nil
	case !ok:
		t.add("data-address", audit.Fail, want, r.String())
		return nil
	case addr.Addr() == own.Unmap():
		t.add("data-address", audit.Pass, want, addr.String())
	case unreachable(addr.Addr(), own.Unmap()):
		t.add("data-address", audit.Fail, want, addr.Addr().String()+" where the server is "+own.String()).Fix =
			"have the server tell its public address (vsftpd: pasv_address; ProFTPD: MasqueradeAddress; Pure-FTPd: -P)"
	default:
		t.add("data-address", audit.Warn, want, addr.Addr().String()+" where the server is "+own.String())
	}
	// As most clients do we stay with the server's own address: a stranger's word must not
	// send us elsewhere.
	d, err := t.connect(addr.Port())
	if err != nil {
		return t.listed("PASV", 0, err, nil)
	}
	return t.rawList("PASV", func() (*dataConn, error) { return d, nil })
}

// unreachable is an address that nobody at the server's own address can mean: private
// behind a public one (a router that nobody told), loopback, none.
func unreachable(told, own netip.Addr) bool {
	return told.IsPrivate() && !own.IsPrivate() && !own.IsLoopback() || told.IsLoopback() && !own.IsLoopback() ||
		told.IsUnspecified() || told.IsMulticast() || told.IsLinkLocalUnicast() && !own.IsLinkLocalUnicast()
}

// passiveAddress reads "227 ... (h1,h2,h3,h4,p1,p2)"; some servers leave the brackets out.
func passiveAddress(line string) (netip.AddrPort, bool) {
	if len(line) < 4 {
		return netip.AddrPort{}, false
	}
	isWord := func(r rune) bool { return r != ',' && (r < '0' || r > '9') }
	for _, word := range strings.FieldsFunc(line[4:], isWord) {
		var b [6]uint16
		n, _ := fmt.Sscanf(word, "%d,%d,%d,%d,%d,%d", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5])
		if n < len(b) {
			continue
		}
		for _, v := range b {
			if v > 255 {
				return netip.AddrPort{}, false
			}
		}
		a := netip.AddrFrom4([4]byte{byte(b[0]), byte(b[1]), byte(b[2]), byte(b[3])})
		return netip.AddrPortFrom(a, b[4]<<8|b[5]), b[4]|b[5] != 0
	}
	return netip.AddrPort{}, false
}

// active has the server connect to us.
func (t *transfer) active() error {
	if !t.session.login.Active {
		return nil
	}
	t.doing("data-active", "a list in active mode")
	local := t.c.Local()
	if !local.IsValid() {
		return nil
	}
	door, err := t.caller.OpenDoor(local.Addr())
	if err != nil {
		return err
	}
	defer door.Close()
	at := door.Addr()
	command := fmt.Sprintf("PORT %s,%d,%d", strings.ReplaceAll(at.Addr().String(), ".", ","), at.Port()>>8, at.Port()&0xff)
	if !at.Addr().Is4() {
		command = fmt.Sprintf("EPRT |2|%s|%d|", at.Addr().WithZone(""), at.Port())
	}
	r, err := t.ask(command)
	if err != nil {
		return err
	}
	const want = "the server connects from the port before its own (RFC 959, 3.2)"
	if r.code != 200 {
		t.add("data-active", audit.Warn, want, "active mode is refused: "+r.String())
		return nil
	}
	return t.rawList("active", func() (*dataConn, error) {
		c, err := door.Take(t.ctx, t.c.Endpoint().Addr.Addr(), t.c.Endpoint().Name)
		if err != nil {
			return nil, err
		}
		t.keep(c)
		from, due := c.Endpoint().Addr.Port(), t.endpoint.Addr.Port()-1
		state := audit.Pass
		if from != due {
			state = audit.Warn
		}
		t.add("data-active", state, want, fmt.Sprintf("from port %d; %d is due", from, due))
		return t.carry(c), nil
	})
}

// rawList asks for a list by ourselves.
func (t *transfer) rawList(way string, open func() (*dataConn, error)) error {
	t.doing("data-channel", "a list over "+way)
	if err := t.c.Send("LIST"); err != nil {
		return err
	}
	r, err := readReply(t.c)
	if err != nil {
		return err
	}
	if r.code/100 != 1 {
		return t.listed(way, 0, errors.New("LIST is refused"), nil)
	}
	d, err := open()
	if err != nil {
		return t.listed(way, 0, err, nil)
	}
	text, err := io.ReadAll(d)
	d.Close()
	if done, e := readReply(t.c); e != nil {
		return e
	} else if done.code/100 != 2 && err == nil {
		err = fmt.Errorf("the transfer ends with %d", done.code)
	}
	return t.listed(way, strings.Count(string(text), "\n"), err, []*dataConn{d})
}

// connect opens a data connection to the server's own address.
func (t *transfer) connect(port uint16) (*dataConn, error) {
	e := t.c.Endpoint()
	e.Addr, e.Security = netip.AddrPortFrom(e.Addr.Addr(), port), wire.Plain
	c, err := t.dial(e)
	if err != nil {
		return nil, err
	}
	return t.carry(c), nil
}

func (t *transfer) carry(c *wire.Conversation) *dataConn {
	d := &dataConn{Conn: c.Conn(nil), c: c, secured: t.secured && !t.plainOnly}
	t.keeping.Lock()
	defer t.keeping.Unlock()
	t.data = append(t.data, d)
	return d
}

// dialled are the data connections since it was asked last.
func (t *transfer) dialled() (data []*dataConn) {
	t.keeping.Lock()
	defer t.keeping.Unlock()
	data, t.data = t.data, nil
	return data
}

// dataConn is a data connection. The handshake comes with the first byte that is wanted,
// since servers begin it only when they have accepted the command (RFC 4217, 7).
type dataConn struct {
	net.Conn
	c       *wire.Conversation
	secured bool
	wrote   bool
}

func (d *dataConn) shake() error {
	if !d.secured || d.c.TLS() != nil {
		return nil
	}
	return d.c.StartTLS()
}

func (d *dataConn) Read(p []byte) (int, error) {
	if err := d.shake(); err != nil {
		return 0, err
	}
	return d.Conn.Read(p)
}

func (d *dataConn) Write(p []byte) (int, error) {
	if err := d.shake(); err != nil {
		return 0, err
	}
	d.wrote = true
	return d.Conn.Write(p)
}

// Close says goodbye where we wrote: without it a file that was cut looks whole.
func (d *dataConn) Close() error {
	if d.wrote {
		d.c.EndSaying()
		d.wrote = false
	}
	return d.Conn.Close()
}
