package wire

import (
	"context"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialTCP connects with a socket of our own, which Go's poller waits for as for any file.
// net.Dialer makes thirteen system calls for a conversation where eight do (it asks for both
// addresses, sets three options, looks at the error), and takes twice the memory.
func dialTCP(ctx context.Context, to netip.AddrPort, source netip.Addr) (net.Conn, error) {
	failed := func(call string, err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: os.NewSyscallError(call, err)}
	}
	family, address, err := sockaddr(to)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, failed("connect", err)
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, failed("socket", err)
	}
	if source.IsValid() {
		// The kernel chooses the port when it knows the destination.
		_, from, err := sockaddr(netip.AddrPortFrom(source, 0))
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		}
		if err == nil {
			err = unix.Bind(fd, from)
		}
		if err != nil {
			unix.Close(fd)
			return nil, failed("bind", err)
		}
	}
	err = unix.Connect(fd, address)
	if err != nil && !underWay(err) {
		unix.Close(fd)
		return nil, failed("connect", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "tcp"), fd: fd, remote: to}
	if err != nil {
		if err := s.stand(ctx, address); err != nil {
			s.Close()
			return nil, failed("connect", err)
		}
	}
	return s, nil
}

// underWay says that a connection is being made.
func underWay(err error) bool {
	return err == unix.EINPROGRESS || err == unix.EALREADY || err == unix.EINTR
}

func sockaddr(a netip.AddrPort) (family int, sa unix.Sockaddr, err error) {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}, nil
	}
	if !ip.IsValid() {
		return 0, nil, unix.EINVAL
	}
	six := &unix.SockaddrInet6{Port: int(a.Port()), Addr: ip.As16()}
	if zone := ip.Zone(); zone != "" {
		if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			six.ZoneId = uint32(n)
		} else if i, err := net.InterfaceByName(zone); err == nil {
			six.ZoneId = uint32(i.Index)
		} else {
			return 0, nil, unix.ENETUNREACH
		}
	}
	return unix.AF_INET6, six, nil
}

// socket is a TCP connection on a descriptor of our own.
type socket struct {
	file   *os.File
	fd     int
	remote netip.AddrPort
}

// stand waits until the connection stands, or has failed, or ctx ends. To connect again says
// which (POSIX connect: EALREADY, EISCONN, or the pending error).
func (s *socket) stand(ctx context.Context, to unix.Sockaddr) error {
	again := func() (over bool, err error) {
		err = unix.Connect(s.fd, to)
		if underWay(err) {
			return false, nil
		}
		if err == unix.EISCONN {
			err = nil
		}
		return true, err
	}
	if over, err := again(); over {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.file.SetDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { s.file.SetDeadline(longAgo) })
	defer stop()
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	waited := raw.Write(func(uintptr) (over bool) {
		over, result = again()
		return over
	})
	switch {
	case waited == nil:
		return result
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return plain(waited)
}

// plain takes the file's words off an error: what is below is what package net gives, and
// what crypto/tls knows for temporary.
func plain(err error) error {
	if p, ok := err.(*fs.PathError); ok {
		return p.Err
	}
	return err
}

func (s *socket) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	return n, plain(err)
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.file.Write(p)
	return n, plain(err)
}

func (s *socket) Close() error                       { return s.file.Close() }
func (s *socket) SetDeadline(t time.Time) error      { return s.file.SetDeadline(t) }
func (s *socket) SetReadDeadline(t time.Time) error  { return s.file.SetReadDeadline(t) }
func (s *socket) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }
func (s *socket) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(s.remote) }

// LocalAddr asks the kernel for our side's address. It is asked for by few.
func (s *socket) LocalAddr() net.Addr {
	sa, err := syscall.Getsockname(s.fd) // package unix asks for the protocol besides
	if err != nil {
		return nil
	}
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *syscall.SockaddrInet6:
		a := &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		if sa.ZoneId != 0 {
			a.Zone = strconv.Itoa(int(sa.ZoneId))
		}
		return a
	}
	return nil
}

// SetLinger is [net.TCPConn.SetLinger]: with 0, Close sends RST, and the port is free at once.
// It must not be called after Close.
func (s *socket) SetLinger(seconds int) error {
	l := unix.Linger{Linger: int32(seconds)}
	if seconds >= 0 {
		l.Onoff = 1
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}
