package login

import (
	"net/http"
	"net/url"
)

// proxy asks a forward proxy to connect to a place of the user's, without and with a login
// (RFC 9110, 9.3.6 and 11.7): the first must be 407 with a realm, the second not. Nothing
// is said through the tunnel.
func (s *session) proxy() error {
	return s.asked(http.StatusProxyAuthRequired, "Proxy-Authenticate", "Proxy-Authorization", func() (*http.Request, error) {
		q := &http.Request{Method: http.MethodConnect, Host: s.login.Connect, URL: &url.URL{Host: s.login.Connect}, Header: http.Header{}}
		return q.WithContext(s.ctx), nil
	})
}
