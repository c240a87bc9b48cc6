package fingerprint

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// LoadRecog reads a directory of recog's XML databases (https://github.com/rapid7/recog), the
// user's own copy: none of it is part of this program. The signatures are in the order of the
// files' names; they are meant for [Set.Then]. What cannot be used is left out and told in the
// error, beside which the rest is returned.
//
// Recog's patterns are Ruby's: "^" and "$" match at lines, and its (?m) is our (?s).
func LoadRecog(fsys fs.FS) ([]Signature, error) {
	names, err := fs.Glob(fsys, "*.xml")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	if len(names) == 0 {
		return nil, errors.New("recog: no *.xml file in the directory")
	}
	var list []Signature
	var problems []error
	for _, name := range names {
		prints, err := readRecog(fsys, name)
		if err != nil {
			problems = append(problems, err)
		}
		for _, p := range prints {
			if len(p.signature.Claims) > 0 {
				list = append(list, p.signature)
			}
		}
	}
	return list, errors.Join(problems...)
}

// recogPrint is one <fingerprint>: the signature made of it, and all that it asserts in recog's own
// words, of which its examples say what they give.
type recogPrint struct {
	signature Signature
	params    map[string]string // parameter to template
}

// recogFile is the XML of a database.
type recogFile struct {
	Matches string `xml:"matches,attr"`
	Prints  []struct {
		Pattern     string `xml:"pattern,attr"`
		Flags       string `xml:"flags,attr"`
		Description string `xml:"description"`
		Examples    []struct {
			Attributes []xml.Attr `xml:",any,attr"`
			Text       string     `xml:",chardata"`
		} `xml:"example"`
		Params []struct {
			Pos   int    `xml:"pos,attr"`
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"param"`
	} `xml:"fingerprint"`
}

func readRecog(fsys fs.FS, name string) ([]recogPrint, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var file recogFile
	if err := xml.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	stem := strings.TrimSuffix(path.Base(name), ".xml")
	source := recogSource(file.Matches, stem)
	lines := printLines(data)
	var prints []recogPrint
	var problems []error
	for i, x := range file.Prints {
		p := recogPrint{params: map[string]string{}}
		s := &p.signature
		s.File, s.Line = name, lines[min(i, len(lines)-1)]
		s.ID = fmt.Sprintf("recog-%s-%d", strings.ReplaceAll(stem, "_", "-"), s.Line)
		s.On, s.form = source.key, source.form
		s.Source = "recog: " + strings.Join(strings.Fields(x.Description), " ")
		s.Match = rubyPattern(x.Pattern, x.Flags)
		for _, param := range x.Params {
			if param.Pos > 0 {
				param.Value = "${" + strconv.Itoa(param.Pos) + "}"
			}
			p.params[param.Name] = param.Value
		}
		for _, e := range x.Examples {
			example, err := recogExample(fsys, stem, e.Attributes, e.Text)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s:%d: %w", name, s.Line, err))
				continue
			}
			example.Line = s.Line
			s.Examples = append(s.Examples, example)
		}
		if err := p.finish(); err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, s.Line, err))
			continue
		}
		prints = append(prints, p)
	}
	return prints, errors.Join(problems...)
}

// finish resolves what the parameters say of each other, and turns them into claims.
func (p *recogPrint) finish() error {
	s := &p.signature
	resolved := map[string]string{}
	for name := range p.params {
		resolved[name] = p.resolve(name, 0)
	}
	p.params = resolved
	s.Certainty = recogCertainty(resolved)
	for _, field := range Fields {
		if text := recogClaim(field, resolved); text != "" {
			s.Claims = append(s.Claims, Template{Field: field, Text: text})
		}
	}
	for _, param := range []string{"os.cpe23", "hw.cpe23"} { // beside that of the service
		if text := cpe23(resolved[param]); text != "" {
			s.Claims = append(s.Claims, Template{Field: "cpe", Text: text})
		}
	}
	_, err := s.compile()
	return err
}

var interpolation = regexp.MustCompile(`\{[a-z0-9_.]+\}`)

// resolve replaces "{service.version}" by the template of that parameter. In a CPE name, one that
// does not exist becomes "-", as recog does it.
func (p *recogPrint) resolve(name string, depth int) string {
	const deepest = 5 // recog's own go two deep; more is a circle
	text := p.params[name]
	return replaceOutside(text, func(ref string) string {
		inner := strings.Trim(ref, "{}")
		if _, known := p.params[inner]; known && depth < deepest {
			return p.resolve(inner, depth+1)
		}
		if strings.HasSuffix(name, ".cpe23") {
			return "-"
		}
		return ""
	})
}

// replaceOutside replaces interpolations, but not the ${1} of our own templates.
func replaceOutside(text string, by func(string) string) string {
	var out strings.Builder
	last := 0
	for _, m := range interpolation.FindAllStringIndex(text, -1) {
		if m[0] > 0 && text[m[0]-1] == '$' {
			continue
		}
		out.WriteString(text[last:m[0]])
		out.WriteString(by(text[m[0]:m[1]]))
		last = m[1]
	}
	return out.String() + text[last:]
}

// recogCertainty is that of the product, else of the system or device that is told: recog's
// scale is 0 to 1 and 0.85 where nothing is said.
func recogCertainty(params map[string]string) int {
	for _, what := range []string{"service", "os", "hw"} {
		_, named := params[what+".product"]
		if v, err := strconv.ParseFloat(params[what+".certainty"], 64); err == nil && v > 0 && v <= 1 {
			return max(1, int(math.Round(100*v)))
		}
		if named {
			break
		}
	}
	return 85
}

// recogClaim is the template of one of our fields; "" where recog says nothing of it.
func recogClaim(field string, params map[string]string) string {
	join := func(sep string, names ...string) string {
		var parts []string
		for _, n := range names {
			if params[n] != "" {
				parts = append(parts, params[n])
			}
		}
		return strings.Join(parts, sep)
	}
	linux := params["os.product"] == "Linux" && params["os.vendor"] != "" && params["os.vendor"] != "Linux"
	switch field {
	case "product":
		return params["service.product"]
	case "vendor":
		return params["service.vendor"]
	case "version":
		return params["service.version"]
	case "cpe":
		return cpe23(params["service.cpe23"])
	case "os":
		return params["os.product"]
	case "os_version":
		if !linux { // there it is the version of the distribution
			return params["os.version"]
		}
	case "distribution":
		if linux {
			return params["os.vendor"]
		}
	case "distribution_version":
		if linux {
			return params["os.version"]
		}
	case "device":
		if params["hw.product"] != "" {
			return join(" ", "hw.vendor", "hw.product")
		}
	case "host":
		return params["host.name"]
	case "component":
		return join("/", "service.component.product", "service.component.version")
	}
	return ""
}

// cpe23 makes a formatted string of 2.3 of the URI form of 2.2, which recog's names mostly have:
// "cpe:/a:vendor:product:${1}". NISTIR 7695, 6.1 and 6.2.
func cpe23(template string) string {
	uri, isURI := strings.CutPrefix(template, "cpe:/")
	if !isURI {
		return template
	}
	fields := splitCPE(uri)
	for i, f := range fields {
		switch {
		case f == "":
			fields[i] = "*"
		case strings.Contains(f, "${"), f == "-":
		default:
			fields[i] = cpeValue(percentDecoded(f))
		}
	}
	for len(fields) < 11 {
		fields = append(fields, "*")
	}
	return "cpe:2.3:" + strings.Join(fields[:11], ":")
}

var percent = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

func percentDecoded(s string) string {
	s = strings.ReplaceAll(s, `\`, "")
	return percent.ReplaceAllStringFunc(s, func(code string) string {
		n, err := strconv.ParseUint(code[1:], 16, 8)
		if err != nil {
			return code
		}
		return string([]byte{byte(n)})
	})
}

// recogExample reads an example: its text stands in the element, maybe in base64, or in a file of
// the directory that is named like the database.
func recogExample(fsys fs.FS, stem string, attributes []xml.Attr, text string) (Example, error) {
	e := Example{Text: []byte(text), Gives: map[string]string{}}
	for _, a := range attributes {
		switch a.Name.Local {
		case "_encoding":
			if a.Value != "base64" {
				return e, fmt.Errorf("example: encoding %q is not known", a.Value)
			}
			decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
			if err != nil {
				return e, fmt.Errorf("example: %w", err)
			}
			e.Text = decoded
		case "_filename":
			data, err := fs.ReadFile(fsys, path.Join(stem, a.Value))
			if err != nil {
				return e, fmt.Errorf("example: %w", err)
			}
			e.Text = data
		default:
			e.Gives[a.Name.Local] = a.Value
		}
	}
	return e, nil
}

// printLines are the lines on which the fingerprints begin.
func printLines(data []byte) []int {
	lines := []int{}
	d := xml.NewDecoder(bytes.NewReader(data))
	for {
		line, _ := d.InputPos()
		token, err := d.RawToken()
		if err != nil {
			return append(lines, 0)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "fingerprint" {
			lines = append(lines, line)
		}
	}
}

// rubyPattern writes a pattern of Ruby's for Go: line anchors always, and "." over line ends where
// a flag says so.
func rubyPattern(pattern, flags string) string {
	prefix := "m"
	for _, flag := range strings.Split(flags, ",") {
		switch strings.TrimSpace(flag) {
		case "REG_ICASE", "IGNORECASE":
			prefix += "i"
		case "REG_DOT_NEWLINE", "REG_MULTILINE", "MULTILINE":
			prefix += "s"
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "(?%s)", prefix)
	for i := 0; i < len(pattern); i++ {
		rest := pattern[i:]
		switch {
		case rest[0] == '\\' && len(rest) > 1:
			out.WriteString(rest[:2])
			i++
		case inlineFlags.MatchString(rest):
			group := inlineFlags.FindString(rest)
			out.WriteString(strings.ReplaceAll(group, "m", "s"))
			i += len(group) - 1
		default:
			out.WriteByte(rest[0])
		}
	}
	return out.String()
}

var inlineFlags = regexp.MustCompile(`^\(\?[a-z]*(?:-[a-z]+)?[:)]`)

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
