package fingerprint

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds a signature file, in bytes; the largest of ours is far below a tenth of it.
const maxFile = 16 << 20

// Parse reads a signature file. Its errors begin with name, line and column.
func Parse(name string, r io.Reader) ([]Signature, error) {
	items, err := parseList(name, r)
	if err != nil {
		return nil, err
	}
	var list []Signature
	lines := map[string]int{}
	for _, item := range items {
		s, err := parseSignature(item)
		if err != nil {
			return nil, placed(name, err)
		}
		s.File = name
		if first, twice := lines[s.ID]; twice {
			return nil, fmt.Errorf("%s:%d: id %q is used in line %d already", name, s.Line, s.ID, first)
		}
		lines[s.ID] = s.Line
		list = append(list, s)
	}
	return list, nil
}

// parseList returns the items of the one list that a file holds.
func parseList(name string, r io.Reader) (items []ast.Node, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxFile)
	}
	// The files are people's own, but the reader must not take the program down with it.
	defer func() {
		if recover() != nil {
			items, err = nil, fmt.Errorf("%s: not YAML that can be read", name)
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var bad yaml.Error
		if errors.As(err, &bad) && bad.GetToken() != nil {
			p := bad.GetToken().Position
			return nil, fmt.Errorf("%s:%d:%d: %s", name, p.Line, p.Column, bad.GetMessage())
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, doc := range file.Docs {
		switch body := doc.Body.(type) {
		case nil, *ast.NullNode, *ast.CommentGroupNode:
		case *ast.SequenceNode:
			items = append(items, body.Values...)
		default:
			return nil, placed(name, at(body, "want a list: each entry begins with \"- \""))
		}
	}
	return items, nil
}

func parseSignature(n ast.Node) (s Signature, err error) {
	s.Line = line(n)
	var matchAt ast.Node
	properties := map[string]func(ast.Node) error{
		"id":        text(&s.ID),
		"on":        text(&s.On),
		"match":     func(v ast.Node) error { matchAt = v; return text(&s.Match)(v) },
		"certainty": number(&s.Certainty),
		"adds":      boolean(&s.Adds),
		"behaviour": boolean(&s.Behaviour),
		"source":    text(&s.Source),
		"examples":  each(func(v ast.Node) error { return parseExample(v, &s) }),
		"rejects":   each(func(v ast.Node) error { return parseReject(v, &s) }),
	}
	for _, field := range Fields {
		if field == "vendor" { // follows from the product
			continue
		}
		properties[field] = func(v ast.Node) error {
			t := Template{Field: field, line: line(v), col: column(v)}
			if err := text(&t.Text)(v); err != nil {
				return err
			}
			s.Claims = append(s.Claims, t)
			return nil
		}
	}
	if err := mapping(n, properties); err != nil {
		return s, err
	}
	if err := complete(n, &s); err != nil {
		return s, err
	}
	sortTemplates(s.Claims)
	prog, err := s.compile()
	var where *placedError
	switch {
	case errors.As(err, &where) && where.line > 0:
		return s, err
	case err != nil:
		return s, at(matchAt, "%s: match: %v", s.ID, err)
	case len(prog.claims) == 0:
		return s, at(n, "%s: claims nothing", s.ID)
	}
	return s, nil
}

// complete says what a signature lacks of the properties that each must have.
func complete(n ast.Node, s *Signature) error {
	switch {
	case s.ID == "":
		return at(n, "a signature without id")
	case !idForm.MatchString(s.ID):
		return at(n, "id %q: want lower-case words joined by \"-\", at least two", s.ID)
	case s.On == "":
		return at(n, "%s: without \"on\", the evidence key that it reads", s.ID)
	case !keyForm.MatchString(s.On):
		return at(n, "%s: on: %q is not an evidence key such as smtp.greeting", s.ID, s.On)
	case s.Match == "":
		return at(n, "%s: without \"match\"", s.ID)
	case s.Certainty < 1 || s.Certainty > 100:
		return at(n, "%s: certainty %d: want 1 to 100", s.ID, s.Certainty)
	}
	return nil
}

var (
	idForm  = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	keyForm = regexp.MustCompile(`^[a-z0-9]+(\.[a-z0-9_/-]+)+$`)
)

// sortTemplates puts claims into the order of Fields: a file may write them in any.
func sortTemplates(list []Template) {
	slices.SortStableFunc(list, func(a, b Template) int {
		return slices.Index(Fields, a.Field) - slices.Index(Fields, b.Field)
	})
}

func parseExample(n ast.Node, s *Signature) error {
	e := Example{Line: line(n)}
	given := false
	err := mapping(n, map[string]func(ast.Node) error{
		"text": func(v ast.Node) (err error) {
			given = true
			e.Text, err = octets(v)
			return err
		},
		"gives": func(v ast.Node) error {
			e.Gives = map[string]string{}
			fields := map[string]func(ast.Node) error{}
			for _, field := range Fields {
				fields[field] = func(v ast.Node) error {
					var value string
					if err := text(&value)(v); err != nil {
						return err
					}
					e.Gives[field] = value
					return nil
				}
			}
			return mapping(v, fields)
		},
	})
	if err == nil && !given {
		err = at(n, "an example without text")
	}
	s.Examples = append(s.Examples, e)
	return err
}

func parseReject(n ast.Node, s *Signature) error {
	b, err := octets(n)
	s.Rejects = append(s.Rejects, Reject{b, line(n)})
	return err
}

// mapping calls the property's function for each entry of a map, and refuses others.
func mapping(n ast.Node, properties map[string]func(ast.Node) error) error {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return at(n, "want properties, \"name: value\"")
	}
	for _, v := range values {
		name := v.Key.GetToken().Value
		set, known := properties[name]
		if !known {
			allowed := make([]string, 0, len(properties))
			for p := range properties {
				allowed = append(allowed, p)
			}
			slices.Sort(allowed)
			return at(v.Key, "unknown property %q; allowed: %s", name, strings.Join(allowed, ", "))
		}
		if err := set(v.Value); err != nil {
			var where *placedError
			if errors.As(err, &where) {
				return err
			}
			return at(v.Key, "%s: %v", name, err)
		}
	}
	return nil
}

func each(do func(ast.Node) error) func(ast.Node) error {
	return func(n ast.Node) error {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			return at(n, "want a list")
		}
		for _, v := range list.Values {
			if err := do(v); err != nil {
				return err
			}
		}
		return nil
	}
}

// scalar returns a value as it is written: 3.10 stays 3.10, on stays on.
func scalar(n ast.Node) (string, error) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", at(n, "an empty value; leave the property out, or write ''")
	}
	return "", at(n, "want a plain value")
}

func text(into *string) func(ast.Node) error {
	return func(n ast.Node) (err error) {
		*into, err = scalar(n)
		return err
	}
}

func number(into *int) func(ast.Node) error {
	return func(n ast.Node) error {
		s, err := scalar(n)
		if err != nil {
			return err
		}
		if *into, err = strconv.Atoi(s); err != nil {
			return at(n, "%q is not a whole number", s)
		}
		return nil
	}
}

func boolean(into *bool) func(ast.Node) error {
	return func(n ast.Node) error {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return at(n, "want true or false")
		}
		*into = b.Value
		return nil
	}
}

// octets reads the text of an example: each character is the byte of its number.
func octets(n ast.Node) ([]byte, error) {
	s, err := scalar(n)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return nil, at(n, "%q is not a byte: write the bytes that were sent, in double quotes (%s)", r, escaped(r))
		}
		b = append(b, byte(r))
	}
	return b, nil
}

func escaped(r rune) string {
	var out strings.Builder
	for _, b := range []byte(string(r)) {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	return out.String()
}

func line(n ast.Node) int   { l, _ := position(n); return l }
func column(n ast.Node) int { _, c := position(n); return c }

// position of a node: for a map, of its first key (the token of the map itself is the colon).
func position(n ast.Node) (line, column int) {
	switch m := n.(type) {
	case *ast.MappingNode:
		if len(m.Values) > 0 {
			return position(m.Values[0])
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0, 0
	}
	p := n.GetToken().Position
	return p.Line, p.Column
}

func at(n ast.Node, format string, args ...any) error {
	l, c := position(n)
	return &placedError{l, c, fmt.Errorf(format, args...)}
}

func placed(name string, err error) error {
	var where *placedError
	if errors.As(err, &where) && where.line > 0 {
		return fmt.Errorf("%s:%d:%d: %w", name, where.line, where.col, where.err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
