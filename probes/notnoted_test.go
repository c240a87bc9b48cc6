package probes_test

import "testing"

// What must not be noted: a page as a proxy's, a mere gateway as a proxy, TLS as wanted
// where all is well, an answer that was never asked for.
func TestNotNoted(t *testing.T) {
	absent := map[string][]string{
		"http/chunked":          {"http.header.link", "http.header.x-trailer"}, // of an interim response, of a trailer
		"http/http-0.9":         {"http.status", "http.headers"},
		"http/nginx-1.22":       {"http.wants-tls", "proxy.status", "http.favicon.md5"},
		"http/nginx-1.22-tls":   {"http.wants-tls"},
		"http/routes-by-name":   {"proxy.status", "proxy.connect"},
		"http-proxy/nginx-1.22": {"proxy.status", "proxy.connect"},
		"http-proxy/squid-5.7":  {"http.status", "proxy.relay"},
		"http-proxy/password":   {"proxy.connect"},
		"socks5/password":       {"socks5.refusal"},
		"ssh/version-1":         {"ssh.kex"},
	}
	for _, r := range transcripts(t) {
		for _, key := range absent[r.name] {
			if text := converse(t, r.probe, r.transcript, torn{}).Text(key); text != nil {
				t.Errorf("%s: %s is noted: %q", r.name, key, text)
			}
		}
		delete(absent, r.name)
	}
	for name := range absent {
		t.Errorf("no transcript %s", name)
	}
}
