package audit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// mostFile bounds a file that is read, in bytes.
const mostFile = 4 << 20

// placedError is an error with the place in the file that it is about.
type placedError struct {
	line, col int
	err       error
}

func (e *placedError) Error() string {
	if e.line == 0 {
		return e.err.Error()
	}
	return fmt.Sprintf("%d:%d: %v", e.line, e.col, e.err)
}
func (e *placedError) Unwrap() error { return e.err }

// fileError is what is wrong with a file that the user wrote.
type fileError struct {
	name string
	err  error
}

func (e *fileError) Error() string {
	var where *placedError
	if errors.As(e.err, &where) && where.line > 0 {
		return fmt.Sprintf("%s:%d:%d: %v", e.name, where.line, where.col, where.err)
	}
	return e.name + ": " + e.err.Error()
}
func (e *fileError) Unwrap() error { return e.err }

// parseDocument is the one document of a file, nil for an empty one.
func parseDocument(name string, data []byte) (root ast.Node, err error) {
	if len(data) > mostFile {
		return nil, &fileError{name, fmt.Errorf("longer than %d bytes", mostFile)}
	}
	// The library is given whatever the user has; it must not take the program down.
	defer func() {
		if recover() != nil {
			root, err = nil, &fileError{name, errors.New("not YAML that can be read")}
		}
	}()
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var bad yaml.Error
		if errors.As(err, &bad) && bad.GetToken() != nil {
			p := bad.GetToken().Position
			return nil, &fileError{name, &placedError{p.Line, p.Column, errors.New(bad.GetMessage())}}
		}
		return nil, &fileError{name, err}
	}
	for _, doc := range file.Docs {
		switch doc.Body.(type) {
		case nil, *ast.CommentGroupNode:
			continue
		}
		if root != nil {
			return nil, &fileError{name, at(doc.Body, "a second document; one file holds one")}
		}
		root = doc.Body
	}
	return root, nil
}

// reader takes a tree of YAML apart, strictly.
type reader struct {
	anchors map[string]ast.Node
}

func newReader(root ast.Node) *reader {
	r := &reader{anchors: map[string]ast.Node{}}
	if root != nil {
		ast.Walk(r, root)
	}
	return r
}

// Visit collects the anchors (ast.Visitor).
func (r *reader) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil {
		r.anchors[a.Name.GetToken().Value] = a.Value
	}
	return r
}

// plain is the node that an anchor or an alias stands for.
func (r *reader) plain(n ast.Node) ast.Node {
	for range 8 {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.AliasNode:
			to, ok := r.anchors[v.Value.GetToken().Value]
			if !ok {
				return n
			}
			n = to
		default:
			return n
		}
	}
	return n
}

type property = func(ast.Node) error

type properties = map[string]property

// mapping calls the property's function for each entry of a map, in the file's order, and
// refuses what is unknown, given twice, or empty. Keys that begin with "x-" are the
// user's own.
func (r *reader) mapping(n ast.Node, known properties) error {
	return r.entries(n, func(key ast.Node, name string, v ast.Node) error {
		set, ok := known[name]
		if !ok {
			if strings.HasPrefix(name, "x-") {
				return nil
			}
			return at(key, "unknown key %q; allowed: %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if _, null := r.plain(v).(*ast.NullNode); null {
			return at(key, "%s: without a value; leave the key out, or say what is expected", name)
		}
		return within(key, name, set(v))
	})
}

// within names the key in an error that does not know its place.
func within(key ast.Node, name string, err error) error {
	var where *placedError
	if err == nil || errors.As(err, &where) {
		return err
	}
	return at(key, "%s: %v", name, err)
}

// entries calls do for each entry of a map whose keys are the user's.
func (r *reader) entries(n ast.Node, do func(key ast.Node, name string, v ast.Node) error) error {
	var values []*ast.MappingValueNode
	switch m := r.plain(n).(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return at(n, "want a map, \"key: value\"")
	}
	if len(values) == 0 {
		return at(n, "an empty map asserts nothing; leave it out")
	}
	first := map[string]int{}
	for _, v := range values {
		name := v.Key.GetToken().Value
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			return at(v.Key, "merge keys (<<) are not read; write the keys out")
		}
		line, _ := position(v.Key)
		if before, twice := first[name]; twice {
			return at(v.Key, "%s stands in line %d already", name, before)
		}
		first[name] = line
		if err := do(v.Key, name, v.Value); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for each item of a list that is not empty.
func (r *reader) each(do property) property {
	return func(n ast.Node) error {
		list, ok := r.plain(n).(*ast.SequenceNode)
		if !ok {
			return at(n, "want a list")
		}
		if len(list.Values) == 0 {
			return at(n, "an empty list asserts nothing; leave it out")
		}
		for _, v := range list.Values {
			if err := do(v); err != nil {
				return err
			}
		}
		return nil
	}
}

// scalar is a value as it is written: 3.10 stays 3.10.
func (r *reader) scalar(n ast.Node) (string, error) {
	switch v := r.plain(n).(type) {
	case *ast.StringNode:
		return notEmpty(n, v.Value)
	case *ast.LiteralNode:
		return notEmpty(n, v.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return v.GetToken().Value, nil
	case *ast.NullNode:
		return "", at(n, "null asserts nothing; leave it out")
	}
	return "", at(n, "want a plain value")
}

func notEmpty(n ast.Node, s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", at(n, "an empty value asserts nothing; leave it out")
	}
	return s, nil
}

func (r *reader) text(into *string) property {
	return func(n ast.Node) (err error) {
		*into, err = r.scalar(n)
		return err
	}
}

// texts reads a list of words, or a single one.
func (r *reader) texts(into *[]string) property {
	add := func(n ast.Node) error {
		s, err := r.scalar(n)
		if err != nil {
			return err
		}
		if slices.Contains(*into, s) {
			return at(n, "%q stands in the list already", s)
		}
		*into = append(*into, s)
		return nil
	}
	return func(n ast.Node) error {
		if _, list := r.plain(n).(*ast.SequenceNode); list {
			return r.each(add)(n)
		}
		return add(n)
	}
}

// word reads one of the words that are allowed.
func (r *reader) word(into *string, allowed ...string) property {
	return func(n ast.Node) error {
		s, err := r.scalar(n)
		if err != nil {
			return err
		}
		if !slices.Contains(allowed, s) {
			return at(n, "%q is none of the words that are allowed: %s", s, strings.Join(allowed, ", "))
		}
		*into = s
		return nil
	}
}

func (r *reader) boolean(into **bool) property {
	return func(n ast.Node) error {
		b, ok := r.plain(n).(*ast.BoolNode)
		if !ok {
			return at(n, "want true or false")
		}
		*into = &b.Value
		return nil
	}
}

// parsed reads a value by a function whose errors get the value's place.
func parsed[T any](r *reader, into *T, parse func(string) (T, error)) property {
	return func(n ast.Node) error {
		s, err := r.scalar(n)
		if err != nil {
			return err
		}
		v, err := parse(s)
		if err != nil {
			return at(n, "%w", err)
		}
		*into = v
		return nil
	}
}

// position of a node: for a map, of its first key (the token of the map itself is the
// colon).
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
	line, col := position(n)
	return &placedError{line, col, fmt.Errorf(format, args...)}
}

// quoted is a string as YAML takes it in any place.
func quoted(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
	if _, err := strconv.ParseFloat(s, 64); err == nil || !plain || strings.ContainsAny(s[:1], ".-_") || slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return strconv.QuoteToASCII(s)
	}
	return s
}
