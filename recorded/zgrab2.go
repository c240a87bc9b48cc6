package recorded

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"herald/fingerprint"
	"herald/probes"
	"herald/wire"
)

// zgrab2 reads a line of zgrab2's output (https://github.com/zmap/zgrab2, zgrab2_schemas):
// one host, with a result for each scan. Each is an item.
func (d *reader) zgrab2(r *record) {
	host := r.IP
	if host == "" {
		host = r.Domain
	}
	for _, name := range slices.Sorted(maps.Keys(r.Data)) {
		var g grab
		if err := json.Unmarshal(r.Data[name], &g); err != nil {
			d.bad(fmt.Errorf("data.%s: %w", name, plain(err)))
			continue
		}
		if g.Protocol == "" {
			g.Protocol = name
		}
		i, err := d.grabbed(&g)
		if err != nil {
			d.bad(fmt.Errorf("data.%s.result: %w", name, plain(err)))
		}
		i.Target = target(host, g.Port)
		d.give(i)
	}
}

// grab is the outcome of one scan.
type grab struct {
	Protocol string          `json:"protocol"`
	Port     uint16          `json:"port"` // told by newer versions
	Result   json.RawMessage `json:"result"`
}

// grabKeys are the fields that are what a server said, by protocol, and our keys for them.
var grabKeys = map[string][][2]string{
	"ftp":         {{"banner", "ftp.greeting"}, {"auth_tls", "ftp.auth"}},
	"smtp":        {{"banner", "smtp.greeting"}, {"ehlo", "smtp.ehlo"}, {"helo", "smtp.helo"}, {"starttls", "smtp.starttls"}, {"help", "smtp.help"}, {"quit", "smtp.quit"}},
	"pop3":        {{"banner", "pop3.greeting"}, {"starttls", "pop3.stls"}, {"quit", "pop3.quit"}},
	"imap":        {{"banner", "imap.greeting"}, {"starttls", "imap.starttls"}},
	"managesieve": {{"banner", "sieve.greeting"}, {"implementation", "sieve.implementation"}, {"starttls_response", "sieve.starttls"}},
	"telnet":      {{"banner", "telnet.greeting"}},
	"mysql":       {{"server_version", "mysql.version"}, {"auth_plugin_name", "mysql.plugin"}},
	"redis":       {{"info_response", "redis.info"}},
	"memcached":   {{"version", "memcached.version"}},
	"mongodb":     {{"Version", "mongodb.version"}, {"version", "mongodb.version"}},
	"mssql":       {{"version", "mssql.version"}},
}

// grabProtocols are the names of protocols that are named otherwise here.
var grabProtocols = map[string]string{"managesieve": "sieve", "postgres": "postgresql"}

// grabbed is what a result says.
func (d *reader) grabbed(g *grab) (Item, error) {
	if len(g.Result) == 0 || string(g.Result) == "null" {
		return Item{}, nil
	}
	var result map[string]json.RawMessage
	if err := json.Unmarshal(g.Result, &result); err != nil {
		return Item{}, err
	}
	i := Item{Protocol: g.Protocol}
	if ours := grabProtocols[g.Protocol]; ours != "" {
		i.Protocol = ours
	}
	var err error
	switch g.Protocol {
	case "http":
		i, err = d.grabbedHTTP(g.Result)
	case "ssh":
		err = grabbedSSH(&i, g.Result)
	case "banner":
		i = d.hear.greeting([]byte(text(result["banner"])), g.Port)
	case "mysql":
		grabbedFields(&i, g.Protocol, result)
		if number := string(result["error_code"]); number != "" && number != "0" {
			i.Heard = note(i.Heard, "mysql.error", []byte(number+" "+text(result["error_message"])))
		}
	default:
		grabbedFields(&i, g.Protocol, result)
	}
	i.Heard = append(i.Heard, certificates(g.Protocol, result)...)
	if probes.Named(i.Protocol) == nil || len(i.Heard) == 0 {
		i.Protocol = ""
	}
	return i, err
}

func grabbedFields(i *Item, protocol string, result map[string]json.RawMessage) {
	for _, f := range grabKeys[protocol] {
		said := text(result[f[0]])
		key := f[1]
		if problem, ok := strings.CutPrefix(said, "(Error: "); ok && protocol == "redis" {
			key, said = "redis.error", "-"+strings.TrimSuffix(problem, ")") // written so by zgrab2
		}
		i.Heard = note(i.Heard, key, []byte(strings.TrimSuffix(said, "\r")))
	}
}

// text is a JSON string, "" for anything else.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// grabbedSSH reads the identification and the lists of the key exchange, as the probe
// notes them.
func grabbedSSH(i *Item, raw json.RawMessage) error {
	var r struct {
		ID struct {
			Raw string `json:"raw"`
		} `json:"server_id"`
		Kex struct {
			Kex         []string `json:"kex_algorithms"`
			HostKey     []string `json:"host_key_algorithms"`
			Cipher      []string `json:"server_to_client_ciphers"`
			MAC         []string `json:"server_to_client_macs"`
			Compression []string `json:"server_to_client_compression"`
		} `json:"server_key_exchange"`
	}
	err := json.Unmarshal(raw, &r)
	i.Heard = note(i.Heard, "ssh.identification", []byte(r.ID.Raw))
	for _, l := range []struct {
		key  string
		list []string
	}{{"ssh.kex", r.Kex.Kex}, {"ssh.hostkey", r.Kex.HostKey}, {"ssh.cipher", r.Kex.Cipher}, {"ssh.mac", r.Kex.MAC}, {"ssh.compression", r.Kex.Compression}} {
		i.Heard = note(i.Heard, l.key, []byte(strings.Join(l.list, ",")))
	}
	return err
}

// response is an HTTP response of zgrab2: field names in lower case with underscores, the
// less common ones in a list of their own, all in no order.
type response struct {
	StatusLine string `json:"status_line"`
	Protocol   struct {
		Name string `json:"name"`
	} `json:"protocol"`
	Headers map[string]json.RawMessage `json:"headers"`
	Body    string                     `json:"body"`
}

// grabbedHTTP puts a response together again and has the probe read it. Of a chain of
// redirects the first answer is this server's; the last may be another's.
func (d *reader) grabbedHTTP(raw json.RawMessage) (Item, error) {
	var r struct {
		Response *response   `json:"response"`
		Chain    []*response `json:"redirect_response_chain"`
	}
	err := json.Unmarshal(raw, &r)
	first := r.Response
	if len(r.Chain) > 0 {
		first = r.Chain[0]
	}
	if first == nil || first.StatusLine == "" {
		return Item{}, err
	}
	i := d.hear.answer("http", first.bytes())
	i.Heard = without("http.headers", i.Heard) // spelling and order are not in the record
	return i, err
}

func (r *response) bytes() []byte {
	var b bytes.Buffer
	version := r.Protocol.Name
	if !strings.HasPrefix(version, "HTTP/1.") {
		version = "HTTP/1.1" // the record of an HTTP/2 answer is read as one of HTTP/1.1
	}
	fmt.Fprintf(&b, "%s %s\r\n", version, oneLine(r.StatusLine))
	field := func(name string, values []string) {
		name = strings.ReplaceAll(name, "_", "-")
		switch name {
		case "content-length", "transfer-encoding", "content-encoding", "connection":
			return // the body stands here without them
		}
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", oneLine(name), oneLine(v))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		var values []string
		if json.Unmarshal(r.Headers[name], &values) == nil {
			field(name, values)
		}
	}
	var others []struct {
		Key   string   `json:"key"`
		Value []string `json:"value"`
	}
	if json.Unmarshal(r.Headers["unknown"], &others) == nil {
		for _, o := range others {
			field(o.Key, o.Value)
		}
	}
	fmt.Fprintf(&b, "content-length: %d\r\n\r\n%s", len(r.Body), r.Body)
	return b.Bytes()
}

func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

// handshake is what zgrab2 logs of a TLS handshake, as far as it is read.
type handshake struct {
	Log struct {
		Hello struct {
			Version struct {
				Value uint16 `json:"value"`
			} `json:"version"`
			Suite struct {
				Value uint16 `json:"value"`
			} `json:"cipher_suite"`
			ALPN string `json:"alpn_protocol"`
		} `json:"server_hello"`
		Certificates struct {
			Leaf struct {
				Raw []byte `json:"raw"`
			} `json:"certificate"`
		} `json:"server_certificates"`
	} `json:"handshake_log"`
}

// certificates notes the certificate of a handshake's log.
func certificates(protocol string, result map[string]json.RawMessage) []fingerprint.Evidence {
	h := handshakeIn(protocol, result)
	if h == nil || h.Log.Hello.Version.Value == 0 {
		return nil
	}
	state := &wire.TLSState{Version: h.Log.Hello.Version.Value, Cipher: h.Log.Hello.Suite.Value, ALPN: h.Log.Hello.ALPN}
	if c, err := x509.ParseCertificate(h.Log.Certificates.Leaf.Raw); err == nil {
		state.Chain = append(state.Chain, c)
	}
	var o probes.Observation
	probes.NoteTLS(&o, state)
	return o.Evidence
}

// handshakeIn finds the log wherever a module keeps it; nil for none.
func handshakeIn(protocol string, result map[string]json.RawMessage) *handshake {
	var h handshake
	var err error
	switch protocol {
	case "http":
		if result["redirect_response_chain"] != nil {
			return nil // of a chain, the last server's
		}
		var response struct {
			Request struct {
				TLS handshake `json:"tls_log"`
			} `json:"request"`
		}
		err = json.Unmarshal(result["response"], &response)
		h = response.Request.TLS
	case "tls":
		err = json.Unmarshal(result["handshake_log"], &h.Log)
	default:
		err = json.Unmarshal(result["tls"], &h)
	}
	if err != nil {
		return nil
	}
	return &h
}
