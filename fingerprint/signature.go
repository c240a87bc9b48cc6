package fingerprint

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"sync"
)

// Signature is one rule of a signature file; db/README.md explains each property.
type Signature struct {
	ID        string
	On        string // evidence key
	Match     string // RE2 pattern over the text read as Latin-1
	Claims    []Template
	Certainty int
	Adds      bool
	Behaviour bool
	Source    string
	Examples  []Example // empty in Builtin, which is made of the compiled files; Load(Files()) has them
	Rejects   []Reject
	File      string // where it stands, for messages
	Line      int

	form form // of the text; "" but for signatures of recog
}

// Template is one claim of a signature: a field and its text, in which ${group} stands for a
// named group of the pattern.
type Template struct {
	Field, Text string
	line, col   int
}

// Example is a text that a signature takes and what it gives: every field but the product and
// what follows from the product.
type Example struct {
	Text  []byte
	Gives map[string]string
	Line  int
}

// Reject is a text that a signature must not take.
type Reject struct {
	Text []byte
	Line int
}

// program is what runs: the compiled pattern and the claims with their groups resolved.
type program struct {
	re     *regexp.Regexp
	claims []output
}

type output struct {
	field string
	parts []part
}

// part is a literal, or the submatch of a group where group > 0.
type part struct {
	literal string
	group   int
}

// rule is a signature in a set: its prefilter and, from its first use on, its program.
type rule struct {
	Signature
	need [][]string // required literals; see literals
	once sync.Once
	prog *program
}

// program compiles at first use: most signatures never meet a text that could match.
// It is nil for a pattern that does not compile, which Parse has refused before.
func (r *rule) program() *program {
	r.once.Do(func() { r.prog, _ = r.compile() })
	return r.prog
}

func (s *Signature) compile() (*program, error) {
	re, err := regexp.Compile(s.Match)
	if err != nil {
		return nil, plainRegexpError(err)
	}
	p := &program{re: re}
	given := map[string]bool{}
	for _, t := range s.Claims {
		parts, err := parseTemplate(t.Text, re)
		if err != nil {
			return nil, &placedError{t.line, t.col, fmt.Errorf("%s: %w", t.Field, err)}
		}
		p.claims = append(p.claims, output{t.Field, parts})
		given[t.Field] = true
	}
	for i, name := range re.SubexpNames() {
		if isField(name) && !given[name] {
			p.claims = append(p.claims, output{name, []part{{group: i}}})
		}
	}
	return p, nil
}

// placedError is an error at a line and column of the file being read; 0 is unknown.
type placedError struct {
	line, col int
	err       error
}

func (e *placedError) Error() string { return e.err.Error() }
func (e *placedError) Unwrap() error { return e.err }

// plainRegexpError leaves out "error parsing regexp:", which the place of the error says already.
func plainRegexpError(err error) error {
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return fmt.Errorf("%s: `%s`", bad.Code, bad.Expr)
	}
	return err
}

func parseTemplate(text string, re *regexp.Regexp) ([]part, error) {
	var parts []part
	for text != "" {
		before, rest, found := strings.Cut(text, "${")
		if before != "" {
			parts = append(parts, part{literal: before})
		}
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New(`"${" without "}"`)
		}
		group := re.SubexpIndex(name)
		if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= re.NumSubexp() {
			group = n // recog's patterns have numbers
		}
		if group < 0 {
			return nil, fmt.Errorf("the pattern has no group %q", name)
		}
		parts = append(parts, part{group: group})
		text = after
	}
	return parts, nil
}
