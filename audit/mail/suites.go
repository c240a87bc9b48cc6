package mail

import (
	"fmt"
	"strings"
)

// suite is a cipher suite of the IANA registry "TLS Cipher Suites".
type suite struct {
	id   uint16
	name string // without TLS_
}

// suites are those with certificates, from SSL 3.0 to TLS 1.3: also the ones that no
// library speaks any more. PSK, SRP and Kerberos need a secret and are not asked for.
var suites = []suite{
	{0x1301, "AES_128_GCM_SHA256"}, {0x1302, "AES_256_GCM_SHA384"}, {0x1303, "CHACHA20_POLY1305_SHA256"},
	{0x1304, "AES_128_CCM_SHA256"}, {0x1305, "AES_128_CCM_8_SHA256"},

	{0xC02C, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}, {0xC02B, "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"},
	{0xC030, "ECDHE_RSA_WITH_AES_256_GCM_SHA384"}, {0xC02F, "ECDHE_RSA_WITH_AES_128_GCM_SHA256"},
	{0xCCA9, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"}, {0xCCA8, "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
	{0xCCAA, "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
	{0x009F, "DHE_RSA_WITH_AES_256_GCM_SHA384"}, {0x009E, "DHE_RSA_WITH_AES_128_GCM_SHA256"},
	{0x00A3, "DHE_DSS_WITH_AES_256_GCM_SHA384"}, {0x00A2, "DHE_DSS_WITH_AES_128_GCM_SHA256"},
	{0xC0AC, "ECDHE_ECDSA_WITH_AES_128_CCM"}, {0xC0AD, "ECDHE_ECDSA_WITH_AES_256_CCM"},
	{0xC0AE, "ECDHE_ECDSA_WITH_AES_128_CCM_8"}, {0xC0AF, "ECDHE_ECDSA_WITH_AES_256_CCM_8"},
	{0xC09E, "DHE_RSA_WITH_AES_128_CCM"}, {0xC09F, "DHE_RSA_WITH_AES_256_CCM"},
	{0xC0A2, "DHE_RSA_WITH_AES_128_CCM_8"}, {0xC0A3, "DHE_RSA_WITH_AES_256_CCM_8"},
	{0xC05C, "ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256"}, {0xC05D, "ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384"},
	{0xC060, "ECDHE_RSA_WITH_ARIA_128_GCM_SHA256"}, {0xC061, "ECDHE_RSA_WITH_ARIA_256_GCM_SHA384"},
	{0xC052, "DHE_RSA_WITH_ARIA_128_GCM_SHA256"}, {0xC053, "DHE_RSA_WITH_ARIA_256_GCM_SHA384"},
	{0xC086, "ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256"}, {0xC087, "ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xC08A, "ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256"}, {0xC08B, "ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0xC07C, "DHE_RSA_WITH_CAMELLIA_128_GCM_SHA256"}, {0xC07D, "DHE_RSA_WITH_CAMELLIA_256_GCM_SHA384"},

	{0xC024, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"}, {0xC023, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"},
	{0xC028, "ECDHE_RSA_WITH_AES_256_CBC_SHA384"}, {0xC027, "ECDHE_RSA_WITH_AES_128_CBC_SHA256"},
	{0xC00A, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA"}, {0xC009, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
	{0xC014, "ECDHE_RSA_WITH_AES_256_CBC_SHA"}, {0xC013, "ECDHE_RSA_WITH_AES_128_CBC_SHA"},
	{0x006B, "DHE_RSA_WITH_AES_256_CBC_SHA256"}, {0x0067, "DHE_RSA_WITH_AES_128_CBC_SHA256"},
	{0x0039, "DHE_RSA_WITH_AES_256_CBC_SHA"}, {0x0033, "DHE_RSA_WITH_AES_128_CBC_SHA"},
	{0x0038, "DHE_DSS_WITH_AES_256_CBC_SHA"}, {0x0032, "DHE_DSS_WITH_AES_128_CBC_SHA"},
	{0x006A, "DHE_DSS_WITH_AES_256_CBC_SHA256"}, {0x0040, "DHE_DSS_WITH_AES_128_CBC_SHA256"},
	{0xC072, "ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256"}, {0xC073, "ECDHE_ECDSA_WITH_CAMELLIA_256_CBC_SHA384"},
	{0xC076, "ECDHE_RSA_WITH_CAMELLIA_128_CBC_SHA256"}, {0xC077, "ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384"},
	{0x00C4, "DHE_RSA_WITH_CAMELLIA_256_CBC_SHA256"}, {0x00BE, "DHE_RSA_WITH_CAMELLIA_128_CBC_SHA256"},
	{0x0088, "DHE_RSA_WITH_CAMELLIA_256_CBC_SHA"}, {0x0045, "DHE_RSA_WITH_CAMELLIA_128_CBC_SHA"},
	{0x009A, "DHE_RSA_WITH_SEED_CBC_SHA"}, {0x0099, "DHE_DSS_WITH_SEED_CBC_SHA"},

	{0x009D, "RSA_WITH_AES_256_GCM_SHA384"}, {0x009C, "RSA_WITH_AES_128_GCM_SHA256"},
	{0xC09C, "RSA_WITH_AES_128_CCM"}, {0xC09D, "RSA_WITH_AES_256_CCM"},
	{0xC0A0, "RSA_WITH_AES_128_CCM_8"}, {0xC0A1, "RSA_WITH_AES_256_CCM_8"},
	{0xC050, "RSA_WITH_ARIA_128_GCM_SHA256"}, {0xC051, "RSA_WITH_ARIA_256_GCM_SHA384"},
	{0xC07A, "RSA_WITH_CAMELLIA_128_GCM_SHA256"}, {0xC07B, "RSA_WITH_CAMELLIA_256_GCM_SHA384"},
	{0x003D, "RSA_WITH_AES_256_CBC_SHA256"}, {0x003C, "RSA_WITH_AES_128_CBC_SHA256"},
	{0x0035, "RSA_WITH_AES_256_CBC_SHA"}, {0x002F, "RSA_WITH_AES_128_CBC_SHA"},
	{0x00C0, "RSA_WITH_CAMELLIA_256_CBC_SHA256"}, {0x00BA, "RSA_WITH_CAMELLIA_128_CBC_SHA256"},
	{0x0084, "RSA_WITH_CAMELLIA_256_CBC_SHA"}, {0x0041, "RSA_WITH_CAMELLIA_128_CBC_SHA"},
	{0x0096, "RSA_WITH_SEED_CBC_SHA"}, {0x0007, "RSA_WITH_IDEA_CBC_SHA"},
	{0xC031, "ECDH_RSA_WITH_AES_128_GCM_SHA256"}, {0xC032, "ECDH_RSA_WITH_AES_256_GCM_SHA384"},
	{0xC02D, "ECDH_ECDSA_WITH_AES_128_GCM_SHA256"}, {0xC02E, "ECDH_ECDSA_WITH_AES_256_GCM_SHA384"},
	{0xC00E, "ECDH_RSA_WITH_AES_128_CBC_SHA"}, {0xC00F, "ECDH_RSA_WITH_AES_256_CBC_SHA"},
	{0xC004, "ECDH_ECDSA_WITH_AES_128_CBC_SHA"}, {0xC005, "ECDH_ECDSA_WITH_AES_256_CBC_SHA"},

	{0xC008, "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"}, {0xC012, "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"},
	{0x0016, "DHE_RSA_WITH_3DES_EDE_CBC_SHA"}, {0x0013, "DHE_DSS_WITH_3DES_EDE_CBC_SHA"},
	{0x000A, "RSA_WITH_3DES_EDE_CBC_SHA"}, {0xC003, "ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA"}, {0xC00D, "ECDH_RSA_WITH_3DES_EDE_CBC_SHA"},

	{0xC007, "ECDHE_ECDSA_WITH_RC4_128_SHA"}, {0xC011, "ECDHE_RSA_WITH_RC4_128_SHA"},
	{0x0005, "RSA_WITH_RC4_128_SHA"}, {0x0004, "RSA_WITH_RC4_128_MD5"},
	{0xC002, "ECDH_ECDSA_WITH_RC4_128_SHA"}, {0xC00C, "ECDH_RSA_WITH_RC4_128_SHA"},
	{0x0015, "DHE_RSA_WITH_DES_CBC_SHA"}, {0x0012, "DHE_DSS_WITH_DES_CBC_SHA"}, {0x0009, "RSA_WITH_DES_CBC_SHA"},
	{0x0062, "RSA_EXPORT1024_WITH_DES_CBC_SHA"}, {0x0064, "RSA_EXPORT1024_WITH_RC4_56_SHA"},
	{0x0003, "RSA_EXPORT_WITH_RC4_40_MD5"}, {0x0006, "RSA_EXPORT_WITH_RC2_CBC_40_MD5"}, {0x0008, "RSA_EXPORT_WITH_DES40_CBC_SHA"},
	{0x0011, "DHE_DSS_EXPORT_WITH_DES40_CBC_SHA"}, {0x0014, "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA"},
	{0x0017, "DH_anon_EXPORT_WITH_RC4_40_MD5"}, {0x0019, "DH_anon_EXPORT_WITH_DES40_CBC_SHA"},
	{0x0018, "DH_anon_WITH_RC4_128_MD5"}, {0x001A, "DH_anon_WITH_DES_CBC_SHA"}, {0x001B, "DH_anon_WITH_3DES_EDE_CBC_SHA"},
	{0x0034, "DH_anon_WITH_AES_128_CBC_SHA"}, {0x003A, "DH_anon_WITH_AES_256_CBC_SHA"},
	{0x006C, "DH_anon_WITH_AES_128_CBC_SHA256"}, {0x006D, "DH_anon_WITH_AES_256_CBC_SHA256"},
	{0x00A6, "DH_anon_WITH_AES_128_GCM_SHA256"}, {0x00A7, "DH_anon_WITH_AES_256_GCM_SHA384"},
	{0x0046, "DH_anon_WITH_CAMELLIA_128_CBC_SHA"}, {0x0089, "DH_anon_WITH_CAMELLIA_256_CBC_SHA"},
	{0xC016, "ECDH_anon_WITH_RC4_128_SHA"}, {0xC017, "ECDH_anon_WITH_3DES_EDE_CBC_SHA"},
	{0xC018, "ECDH_anon_WITH_AES_128_CBC_SHA"}, {0xC019, "ECDH_anon_WITH_AES_256_CBC_SHA"},
	{0xC015, "ECDH_anon_WITH_NULL_SHA"}, {0xC010, "ECDHE_RSA_WITH_NULL_SHA"}, {0xC006, "ECDHE_ECDSA_WITH_NULL_SHA"},
	{0xC001, "ECDH_ECDSA_WITH_NULL_SHA"}, {0xC00B, "ECDH_RSA_WITH_NULL_SHA"},
	{0x003B, "RSA_WITH_NULL_SHA256"}, {0x0002, "RSA_WITH_NULL_SHA"}, {0x0001, "RSA_WITH_NULL_MD5"},
}

// suitesOf are the suites that a version may choose.
func suitesOf(version uint16) []uint16 {
	var ids []uint16
	for _, s := range suites {
		new13 := s.id>>8 == 0x13
		aead := strings.Contains(s.name, "GCM") || strings.Contains(s.name, "CCM") || strings.Contains(s.name, "CHACHA20") ||
			strings.HasSuffix(s.name, "SHA256") || strings.HasSuffix(s.name, "SHA384")
		switch {
		case version >= 0x0304:
			if new13 {
				ids = append(ids, s.id)
			}
		case new13, version < 0x0303 && aead: // RFC 5288, 4: those need TLS 1.2
		case version == 0x0300 && strings.HasPrefix(s.name, "EC"): // RFC 8422: extensions, which SSL 3.0 lacks
		default:
			ids = append(ids, s.id)
		}
	}
	return ids
}

func suiteName(id uint16) string {
	for _, s := range suites {
		if s.id == id {
			return "TLS_" + s.name
		}
	}
	return fmt.Sprintf("0x%04X", id)
}

func versionName(v uint16) string {
	if v == 0x0300 {
		return "SSL 3.0"
	}
	return fmt.Sprintf("TLS 1.%d", v-0x0301)
}

// grade is how a suite is judged (RFC 9325, 4.1 and 4.2).
type grade int

const (
	good   grade = iota // forward secrecy and AEAD
	legacy              // CBC, or DHE: low
	weak                // 3DES, or no forward secrecy: medium
	broken              // no or nearly no protection: critical
)

func gradeOf(id uint16) grade {
	name := strings.TrimPrefix(suiteName(id), "TLS_")
	in := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(name, w) {
				return true
			}
		}
		return false
	}
	switch {
	case in("NULL", "anon", "EXPORT", "RC4", "RC2", "_DES_"):
		return broken
	case in("3DES", "IDEA", "SEED") || strings.HasPrefix(name, "RSA_") || strings.HasPrefix(name, "ECDH_"):
		return weak
	case in("_CBC_") || strings.HasPrefix(name, "DHE_"):
		return legacy
	}
	return good
}

// profile is a published set of rules, as data.
type profile struct {
	name     string
	about    string
	versions []uint16
	suites   []uint16 // allowed; below TLS 1.3
	phaseOut []uint16 // allowed for now
}

// profiles are those that --tls-profile names.
//
// mozilla-*: "Server Side TLS" 5.7, https://wiki.mozilla.org/Security/Server_Side_TLS.
// ncsc-2025: "ICT Security Guidelines for Transport Layer Security" of NCSC-NL, May 2025:
// "good" and "sufficient" here are suites, what it calls phase-out is phaseOut.
var profiles = []profile{
	{"mozilla-modern", "TLS 1.3 alone", []uint16{0x0304}, nil, nil},
	{"mozilla-intermediate", "TLS 1.2 with forward secrecy and AEAD, and TLS 1.3", []uint16{0x0304, 0x0303},
		[]uint16{0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0x009E, 0x009F, 0xCCAA}, nil},
	{"ncsc-2025", "TLS 1.3, TLS 1.2 with forward secrecy and AEAD; CBC with forward secrecy is to be phased out", []uint16{0x0304, 0x0303},
		[]uint16{0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0x009E, 0x009F, 0xCCAA},
		[]uint16{0xC023, 0xC024, 0xC027, 0xC028, 0xC009, 0xC00A, 0xC013, 0xC014, 0x0067, 0x006B, 0x0033, 0x0039}},
}

// ProfileNames are the names of the TLS profiles.
func ProfileNames() []string {
	var names []string
	for _, p := range profiles {
		names = append(names, p.name)
	}
	return names
}
