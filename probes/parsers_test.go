package probes

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// The parsers of binary messages: what they read, and what they must not take. That they
// survive anything is for the fuzz targets below.

func TestMySQLHandshakes(t *testing.T) {
	tests := []struct {
		name, payload, version, plugin string
		ok                             bool
	}{
		{"10", "\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\x2d\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00caching_sha2_password\x00", "8.0.36", "caching_sha2_password", true},
		{"10 of MySQL 3.23, which ends early", "\x0a3.23.58\x00\x01\x00\x00\x00abcdefgh\x00\x2c\x00", "3.23.58", "", true},
		{"9", "\x093.20.32\x00\x01\x00\x00\x00abcdefgh\x00", "3.20.32", "", true},
		{"without a version", "\x0a\x00\x01\x00\x00\x00abcdefgh\x00\x2c\x00", "", "", false},
		{"of no text", "\x0a\x01\x02\x00\x01\x00\x00\x00abcdefgh\x00\x2c\x00", "\x01\x02", "", false},
		{"cut", "\x0a8.0.36\x00\x01\x00", "8.0.36", "", false},
		{"of another version", "\x0b8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\x2c\x00", "8.0.36", "", false},
		{"empty", "", "", "", false},
	}
	for _, test := range tests {
		h, ok := parseMySQLHandshake([]byte(test.payload))
		if ok != test.ok || ok && (string(h.version) != test.version || string(h.plugin) != test.plugin) {
			t.Errorf("handshake %s: %v %q %q", test.name, ok, h.version, h.plugin)
		}
	}
}

func TestLDAPMessages(t *testing.T) {
	entry := "\x30\x1f\x02\x01\x01\x64\x1a\x04\x00\x30\x16\x30\x14\x04\x0bobjectClass\x31\x05\x04\x03top"
	m, ok := parseLDAP([]byte(entry))
	values, whole := m.entry()
	if !ok || !whole || m.number != 1 || m.tag != ldapSearchEntry || len(values) != 1 || values[0].name != "objectclass" || string(values[0].text) != "top" {
		t.Errorf("entry: %v %v %+v %v", ok, whole, m, values)
	}
	// Active Directory writes lengths in four bytes where one would do.
	long := "\x30\x84\x00\x00\x00\x10\x02\x01\x01\x65\x84\x00\x00\x00\x07\x0a\x01\x35\x04\x00\x04\x00"
	m, ok = parseLDAP([]byte(long))
	if code, _, whole := m.result(); !ok || !whole || code != 0x35 {
		t.Errorf("long lengths: %v %v %+v", ok, whole, m)
	}
	for name, message := range map[string]string{
		"empty":                  "",
		"no sequence":            "\x31\x05\x02\x01\x01\x65\x00",
		"indefinite length":      "\x30\x80\x02\x01\x01\x65\x00\x00\x00",
		"a length of five bytes": "\x30\x85\x00\x00\x00\x00\x05\x02\x01\x01\x65\x00",
		"a length that lies":     "\x30\x84\xff\xff\xff\xff\x02\x01\x01\x65\x00",
		"without an operation":   "\x30\x03\x02\x01\x01",
	} {
		if m, ok := parseLDAP([]byte(message)); ok {
			t.Errorf("%s: taken for %+v", name, m)
		}
	}
	// A name that is none would become a part of a key.
	odd := ldapReply{body: []byte("\x04\x00\x30\x0b\x30\x09\x04\x02a\n\x31\x03\x04\x01x")}
	if values, ok := odd.entry(); ok {
		t.Errorf("a name with a line break: %v", values)
	}
}

func TestPreloginAnswers(t *testing.T) {
	tests := []struct {
		name, body, version, encryption string
		ok                              bool
	}{
		// MS-TDS 4.2 has the form of this answer.
		{"of SQL Server 2019", "\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x0f\x00\x07\xd0\x00\x00\x03", "15.0.2000.0", "required", true},
		{"with the version not first", "\x01\x00\x0b\x00\x01\x00\x00\x0c\x00\x06\xff\x00\x0f\x00\x07\xd0\x00\x00", "", "", false},
		{"that points outside", "\x00\xff\xff\x00\x06\xff\x0f\x00\x07\xd0\x00\x00", "", "", false},
		{"without an end", "\x00\x00\x05\x00\x06", "", "", false},
		{"empty", "", "", "", false},
	}
	for _, test := range tests {
		p, ok := parsePrelogin([]byte(test.body))
		if ok != test.ok || ok && (p.version != test.version || p.encryption != test.encryption) {
			t.Errorf("answer %s: %v %+v", test.name, ok, p)
		}
	}
}

func TestSMBNegotiateResponses(t *testing.T) {
	response := make([]byte, 64+64)
	copy(response, "\xfeSMB\x40\x00")
	response[16] = 1 // flags: a response
	response[64] = 65
	binary.LittleEndian.PutUint16(response[68:], 0x0311)
	binary.LittleEndian.PutUint16(response[64+56:], 128)
	binary.LittleEndian.PutUint16(response[64+58:], 4)
	response = append(response, "blob"...)
	if a, ok := parseSMB2Negotiate(response); !ok || a.dialect != 0x0311 || string(a.security) != "blob" {
		t.Errorf("a response: %v %+v", ok, a)
	}
	lies := bytes.Clone(response)
	binary.LittleEndian.PutUint16(lies[64+58:], 5)
	if a, ok := parseSMB2Negotiate(lies); ok {
		t.Errorf("a blob beyond the end: %+v", a)
	}
	request := bytes.Clone(response)
	request[16] = 0
	if _, ok := parseSMB2Negotiate(request); ok {
		t.Error("a request is taken for a response")
	}
	if _, ok := parseSMB2Negotiate(response[:100]); ok {
		t.Error("a response that is cut is taken")
	}
}

func TestBSON(t *testing.T) {
	document := "\x3b\x00\x00\x00" + "\x02version\x00\x06\x00\x00\x006.0.5\x00" + "\x10n\x00\x11\x00\x00\x00" + "\x03s\x00\x05\x00\x00\x00\x00" + "\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f" + "\x00"
	document = string(binary.LittleEndian.AppendUint32(nil, uint32(len(document)))) + document[4:]
	fields, ok := bsonFields([]byte(document))
	if !ok || fields["version"] != "6.0.5" || fields["n"] != "17" || fields["ok"] != "1" {
		t.Errorf("%v %v", ok, fields)
	}
	for name, document := range map[string]string{
		"empty":                  "",
		"a size that lies":       "\xff\xff\xff\xff\x00",
		"a text of minus one":    "\x10\x00\x00\x00\x02a\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00",
		"a type that is none":    "\x08\x00\x00\x00\x77a\x00\x00",
		"an end before its end":  "\x07\x00\x00\x00\x00\x00\x00",
		"no end":                 "\x0b\x00\x00\x00\x10n\x00\x11\x00\x00\x00",
		"a document beyond it":   "\x0d\x00\x00\x00\x03s\x00\xff\x00\x00\x00\x00\x00",
		"a negative document":    "\x0d\x00\x00\x00\x03s\x00\x00\x00\x00\x80\x00\x00",
		"a size of less than it": "\x03\x00\x00\x00\x00",
	} {
		if fields, ok := bsonFields([]byte(document)); ok {
			t.Errorf("%s: %v", name, fields)
		}
	}
}

func TestAMQPHeaders(t *testing.T) {
	for header, want := range map[string]string{
		"AMQP\x00\x00\x09\x01":  "0 0.9.1",
		"AMQP\x03\x01\x00\x00":  "3 1.0.0",
		"AMQP\x01\x01\x00\x0a":  "1 1.0.10",
		"AMQP\x00\x00\x09":      "",
		"AMQP is what I speak!": "",
	} {
		if got, ok := amqpHeader([]byte(header)); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v", header, got, ok)
		}
	}
}

func TestTelnetIsTakenApart(t *testing.T) {
	commands, text := telnetSplit([]byte("\xff\xfd\x18a\xff\xffb\r\x00c\xff\xfa\x18\x01\xff\xf0d\xff\xf1e\xff\xfb"))
	if len(commands) != 2 || commands[0].String() != "DO 24" || commands[1].String() != "SB 24" || string(text) != "a\xffb\rcde" {
		t.Errorf("%v %q", commands, text)
	}
}

func TestOracleVersions(t *testing.T) {
	for number, want := range map[uint32]string{
		186647296: "11.2.0.3.0",
		202375680: "12.1.0.2.0",
		318767104: "19.0.0.0.0",
		318963712: "19.3.0.0.0",
	} {
		if got := oracleVersion(number); got != want {
			t.Errorf("%d: %s, not %s", number, got, want)
		}
	}
}

func TestDNSText(t *testing.T) {
	for text, want := range map[string]string{`9.18\.1`: "9.18.1", `a\\b\"c`: `a\b"c`, `\065\255x`: "A\xffx", `a\`: `a\`, `\06`: "06"} {
		if got := string(dnsText(text)); got != want {
			t.Errorf("%s: %q, not %q", text, got, want)
		}
	}
}

func FuzzMySQL(f *testing.F) {
	f.Add([]byte("\x0a8.0.36\x00\x01\x00\x00\x00abcdefgh\x00\xff\xff\x2d\x02\x00\xff\xdf\x15\x00"))
	f.Add([]byte("\xff\x69\x04#HY000Host is blocked"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, ok := parseMySQLHandshake(payload); ok && (len(h.version) == 0 || !printable(h.version) || !printable(h.plugin)) {
			t.Errorf("%q is no version", h.version)
		}
		if e, ok := parseMySQLError(payload); ok && !printable(e) {
			t.Errorf("%q is no text", e)
		}
	})
}

func FuzzLDAP(f *testing.F) {
	f.Add([]byte("\x30\x1f\x02\x01\x01\x64\x1a\x04\x00\x30\x16\x30\x14\x04\x0bobjectClass\x31\x05\x04\x03top"))
	f.Add([]byte("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x65\x84\x00\x00\x00\x07\x0a\x01\x35\x04\x00\x04\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		m, _ := parseLDAP(message)
		m.result()
		values, _ := m.entry()
		for _, v := range values {
			if !fitsKey([]byte(v.name)) {
				t.Errorf("%q is no name", v.name)
			}
		}
	})
}

func FuzzPrelogin(f *testing.F) {
	f.Add([]byte("\x00\x00\x0b\x00\x06\x01\x00\x11\x00\x01\xff\x0f\x00\x07\xd0\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, ok := parsePrelogin(body); ok && p.version == "" {
			t.Error("no version")
		}
	})
}

func FuzzSMB(f *testing.F) {
	f.Add(append([]byte("\xfeSMB\x40\x00"), make([]byte, 122)...))
	f.Fuzz(func(t *testing.T, message []byte) {
		if a, ok := parseSMB2Negotiate(message); ok && len(a.security) > len(message) {
			t.Error("a blob larger than its message")
		}
	})
}

func FuzzBSON(f *testing.F) {
	f.Add([]byte("\x11\x00\x00\x00\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f\x00"))
	f.Fuzz(func(t *testing.T, document []byte) {
		fields, _ := bsonFields(document)
		size := 0
		for name, text := range fields {
			size += len(name) + len(text)
		}
		if size > 30*len(document) {
			t.Errorf("%d bytes out of %d", size, len(document))
		}
	})
}

// FuzzSmallParsers holds the rest: none reads outside of what it is given.
func FuzzSmallParsers(f *testing.F) {
	for _, seed := range []string{
		"E\x00\x00\x00\x0aSx\x00Cy\x00", "\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00", "\x00\x01\x00\x0bCQL_VERSION\x00\x01\x00\x053.4.5",
		"\x00\x00\x00\x00\x00\x01\x00\x12\x00\x00\x00\x03", "\x08\x84\x86\x04\x12\x051.3.4", "\xff\xfa\x18\x01\xff\xf0", "\xc3\xe2\xe2\xf1", "0\x00\x00\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		parsePostgreSQLError(b)
		parseAMQPStart(b)
		cassandraOptions(b)
		cassandraError(b)
		kafkaVersions(b)
		mqttMessage(b)
		stompFrame(b)
		gopherItem(b)
		identReply(b)
		gitRef(b)
		if v, ok := parseMumbleVersion(b); ok && !printable(v.release) {
			t.Errorf("%q is no release", v.release)
		}
		if _, text := telnetSplit(b); len(text) > len(b) {
			t.Error("more text than was heard")
		}
		if len(fromEBCDIC(b)) != len(b) {
			t.Error("a text changes its length")
		}
	})
}
