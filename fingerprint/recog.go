package fingerprint

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	Matches string         `xml:"matches,attr"`
	Prints  []recogElement `xml:"fingerprint"`
}

type recogElement struct {
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
}

// readRecog reads one database. What cannot be used is left out and told in the error, beside
// which the rest is returned.
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
		p := x.print(source)
		s := &p.signature
		s.File, s.Line = name, lines[min(i, len(lines)-1)]
		s.ID = fmt.Sprintf("recog-%s-%d", strings.ReplaceAll(stem, "_", "-"), s.Line)
		problem := func(err error) {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, s.Line, err))
		}
		for _, e := range x.Examples {
			example, err := recogExample(fsys, stem, e.Attributes, e.Text)
			if err != nil {
				problem(err)
				continue
			}
			example.Line = s.Line
			s.Examples = append(s.Examples, example)
		}
		if err := p.finish(); err != nil {
			problem(err)
			continue
		}
		prints = append(prints, p)
	}
	return prints, errors.Join(problems...)
}

// print is what the element itself says, its examples aside.
func (x *recogElement) print(source recogKey) recogPrint {
	p := recogPrint{params: map[string]string{}}
	for _, param := range x.Params {
		if param.Pos > 0 {
			param.Value = "${" + strconv.Itoa(param.Pos) + "}"
		}
		p.params[param.Name] = param.Value
	}
	p.signature = Signature{
		On: source.key, form: source.form,
		Match:  rubyPattern(x.Pattern, x.Flags),
		Source: "recog: " + strings.Join(strings.Fields(x.Description), " "),
	}
	return p
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
