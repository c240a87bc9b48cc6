package audit

import "github.com/goccy/go-yaml/ast"

// What packages that read a section of the file need, see [Section]: the same strictness
// and the same words as in the rest of it.

// ReadMap reads a map of which these keys are known; others are errors that name them.
func ReadMap(n ast.Node, known map[string]func(ast.Node) error) error {
	all := properties{}
	for name, set := range known {
		all[name] = set
	}
	return newReader(n).mapping(n, all)
}

// ReadEntries reads a map whose keys are the user's own; one that stands there twice is an
// error. key is the node of the name.
func ReadEntries(n ast.Node, each func(key ast.Node, name string, value ast.Node) error) error {
	return newReader(n).entries(n, each)
}

// IsMap says whether the node is a map.
func IsMap(n ast.Node) bool {
	switch newReader(n).plain(n).(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// ReadList reads a list.
func ReadList(n ast.Node, each func(ast.Node) error) error { return newReader(n).each(each)(n) }

// ReadOneOrList reads a list, or the one value that stands in its place.
func ReadOneOrList(n ast.Node, each func(ast.Node) error) error {
	r := newReader(n)
	if _, list := r.plain(n).(*ast.SequenceNode); list {
		return r.each(each)(n)
	}
	return each(n)
}

// ReadText reads a text that is not empty.
func ReadText(into *string) func(ast.Node) error {
	return func(n ast.Node) error { return newReader(n).text(into)(n) }
}

// ReadWord reads one of the allowed words.
func ReadWord(into *string, allowed ...string) func(ast.Node) error {
	return func(n ast.Node) error { return newReader(n).word(into, allowed...)(n) }
}

// ReadYes reads true or false.
func ReadYes(into *bool) func(ast.Node) error {
	return func(n ast.Node) error {
		var b *bool
		err := newReader(n).boolean(&b)(n)
		if b != nil {
			*into = *b
		}
		return err
	}
}

// PositionOf is the line and column of a node.
func PositionOf(n ast.Node) (line, column int) { return position(n) }

// Places are the places that a text like "mail:25,587" names; hosts are the file's.
func (f *File) Places(text string) ([]Place, error) { return placesOf(text, f.Hosts) }
