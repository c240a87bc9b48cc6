// Package herald_test holds the rules of the house: who may look into whom, and who may
// open a socket. docs/architecture.md says why.
package herald_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists, for each package, which of ours it may import. Arrows run down only.
var mayImport = map[string][]string{
	"wire":                 {},
	"wire/wiretest":        {"wire"},
	"fingerprint":          {},
	"fingerprint/generate": {"fingerprint"},
	"probes":               {"wire", "fingerprint"},
	"resolve":              {"wire"},
	"scan":                 {"probes", "fingerprint", "wire", "resolve"},
	"report":               {"scan", "probes", "fingerprint", "wire"},
	"audit":                {"report", "scan", "resolve", "probes", "fingerprint", "wire"},
	"recorded":             {"scan", "probes", "fingerprint", "wire"},
	"audit/mail":           {"audit", "audit/login", "scan", "probes", "fingerprint", "wire", "resolve"},
	"audit/login":          {"audit", "scan", "probes", "fingerprint", "wire"},
	"cmd/herald":           {"*"},
	"integration":          {"*"},
	"integration/bench":    {},
	"integration/versus":   {"integration"},
}

// opensSockets may dial and listen.
var opensSockets = []string{"wire", "wire/wiretest", "resolve"}

// isPure does no I/O but through what it is given.
var isPure = []string{"fingerprint", "report", "recorded"}

// gathers are the files of audit that read files and gather facts; the others judge.
var gathers = []string{"audit/gather.go", "audit/roots.go", "audit/compose.go"}

func TestArrowsRunDown(t *testing.T) {
	for pkg, files := range sources(t) {
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("package %s is not in the list of who may import whom: add it, and its line in docs/architecture.md", pkg)
			continue
		}
		for name, file := range files {
			for _, spec := range file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				ours, isOurs := strings.CutPrefix(imported, "herald/")
				if isOurs && !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
					t.Errorf("%s imports %s, which %s may not", name, imported, pkg)
				}
				if slices.Contains(isPure, pkg) && (imported == "os" || imported == "net" || imported == "net/http") {
					t.Errorf("%s imports %s: %s does no I/O of its own", name, imported, pkg)
				}
				if pkg == "audit" && (imported == "os" || imported == "net") && !slices.Contains(gathers, name) {
					t.Errorf("%s imports %s: what judges does no I/O", name, imported)
				}
				if pkg == "probes" && (imported == "crypto/tls" || imported == "net" || imported == "os") {
					t.Errorf("%s imports %s: connections and TLS are wire's", name, imported)
				}
			}
		}
	}
}

func TestSocketsAreOpenedOnTheGroundFloor(t *testing.T) {
	forbidden := map[string][]string{
		"net":  {"Dial", "DialTimeout", "DialTCP", "DialUDP", "Listen", "ListenTCP", "ListenPacket", "Dialer"},
		"http": {"Get", "Post", "Client", "DefaultClient", "Transport", "ListenAndServe"},
		"tls":  {"Dial", "DialWithDialer", "Listen"},
	}
	for pkg, files := range sources(t) {
		if slices.Contains(opensSockets, pkg) || strings.HasPrefix(pkg, "integration") {
			continue
		}
		for name, file := range files {
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(forbidden[x.Name], sel.Sel.Name) {
					t.Errorf("%s uses %s.%s: only %v open sockets", name, x.Name, sel.Sel.Name, opensSockets)
				}
				if pkg == "probes" && strings.HasPrefix(sel.Sel.Name, "Set") && strings.HasSuffix(sel.Sel.Name, "Deadline") {
					t.Errorf("%s sets a deadline: time is wire's", name)
				}
				return true
			})
		}
	}
}

// sources are the parsed files of each of our packages, tests and test data aside.
func sources(t *testing.T) map[string]map[string]*ast.File {
	t.Helper()
	packages := map[string]map[string]*ast.File{}
	fset := token.NewFileSet()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() && (base == "testdata" || base != "." && strings.HasPrefix(base, ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		if packages[pkg] == nil {
			packages[pkg] = map[string]*ast.File{}
		}
		packages[pkg][name] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 6 {
		t.Fatalf("found only %d packages", len(packages))
	}
	return packages
}
