package fingerprint

// recogKey says which evidence a database of recog reads, and in what form.
type recogKey struct {
	key  string
	form form
}

// recogSource finds the key of a database by its "matches", or by the file where it has none. A
// database whose texts no probe hears reads a key of its own name, on which nothing arrives.
func recogSource(matches, stem string) recogKey {
	for _, name := range []string{matches, stem} {
		if k, known := recogKeys[name]; known {
			return k
		}
	}
	if matches == "" {
		matches = stem
	}
	return recogKey{"recog." + matches, utf8Text}
}

var recogKeys = map[string]recogKey{
	"dns.versionbind":       {"dns.version-bind", utf8Text},
	"favicon.md5":           {"http.favicon.md5", utf8Text},
	"ftp.banner":            {"ftp.greeting", reply},
	"hp_pjl_id":             {"jetdirect.id", trimmed},
	"html_title":            {"http.title", trimmed},
	"http_header.cookie":    {"http.header.set-cookie", utf8Text},
	"http_header.server":    {"http.header.server", utf8Text},
	"http_header.wwwauth":   {"http.header.www-authenticate", utf8Text},
	"imap4.banner":          {"imap.greeting", status},
	"ldap.search_result":    {"ldap.rootdse", utf8Text},
	"mysql.banners":         {"mysql.version", utf8Text},
	"mysql.error":           {"mysql.error", utf8Text},
	"nntp.banner":           {"nntp.greeting", reply},
	"pop3.banner":           {"pop3.greeting", status},
	"rtsp_header.server":    {"rtsp.header.server", utf8Text},
	"sip_header.server":     {"sip.header.server", utf8Text},
	"sip_header.user_agent": {"sip.header.user-agent", utf8Text},
	"smb.native_lm":         {"smb.native-lm", utf8Text},
	"smb.native_os":         {"smb.native-os", utf8Text},
	"smtp.banner":           {"smtp.greeting", reply},
	"smtp.help":             {"smtp.help", reply},
	"ssh.banner":            {"ssh.identification", identification},
	"telnet.banner":         {"telnet.greeting", trimmed},
	"telnet_banners":        {"telnet.greeting", trimmed},
	"tls.jarm":              {"tls.jarm", utf8Text},
	"x11.vendor":            {"x11.vendor", utf8Text},
	"x11_banners":           {"x11.vendor", utf8Text},
	"x509.issuer":           {"tls.issuer", utf8Text},
	"x509.subject":          {"tls.subject", utf8Text},
}
