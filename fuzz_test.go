package herald_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
)

// readsStrangers are the packages that take bytes of strangers apart, and the fuzz targets
// that hold them. The standard library's parsers (TLS, X.509, DNS answers) are fuzzed
// where they are kept.
var readsStrangers = map[string][]string{
	"probes":      {"FuzzConverse", "FuzzRecognize", "FuzzWeb"}, // whatever a server says
	"scan":        {"FuzzLook", "FuzzSpec"},                     // the whole walk; target lists
	"wire":        {"FuzzTranscript", "FuzzEscape"},             // transcripts out of bug reports
	"fingerprint": {"FuzzAppend", "FuzzParse", "FuzzDecode", "FuzzRecog", "FuzzVersions"},
	"recorded":    {"FuzzRead"}, // what other programs recorded
	"audit/login": {"FuzzTry"},  // whatever a server says to one who logs in
	"report":      {"FuzzSafe"}, // what is shown of a stranger's words
}

// needsNone says of each other package why it has no parser of strangers' bytes.
var needsNone = map[string]string{
	"wire/wiretest":        "sends, and reads what our own tests say",
	"fingerprint/generate": "runs on our own files",
	"resolve":              "the standard library reads the answers",
	"cmd/herald":           "flags of the user",
	"integration":          "our own containers",
	"integration/bench":    "our own farm",
	"audit":                "judges what scan has heard; its files are the user's",
	"audit/mail":           "judges what scan has heard; the standard library and miekg/dns read the answers",
}

// Whatever reads strangers' bytes has a fuzz target, and docs/safety.md tells of each.
func TestStrangersBytesAreFuzzed(t *testing.T) {
	told, err := os.ReadFile("docs/safety.md")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]map[string]bool{}
	fset := token.NewFileSet()
	err = fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") {
			return err
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(function.Name.Name, "Fuzz") {
				continue
			}
			pkg := path.Dir(name)
			if targets[pkg] == nil {
				targets[pkg] = map[string]bool{}
			}
			targets[pkg][function.Name.Name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, wanted := range readsStrangers {
		for _, target := range wanted {
			if !targets[pkg][target] {
				t.Errorf("%s has no fuzz target %s", pkg, target)
			}
			if !bytes.Contains(told, []byte("`"+target+"`")) {
				t.Errorf("docs/safety.md does not tell of %s in %s", target, pkg)
			}
		}
	}
	for pkg := range sources(t) {
		if readsStrangers[pkg] == nil && needsNone[pkg] == "" && targets[pkg] == nil {
			t.Errorf("%s has no fuzz target: give it one, or say in needsNone why it reads no stranger's bytes", pkg)
		}
	}
}
