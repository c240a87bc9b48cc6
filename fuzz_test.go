package herald_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// readsStrangers are the packages that take bytes of strangers apart, and the fuzz targets
// that hold them. The standard library's parsers (TLS, X.509, XML, JSON) are fuzzed where
// they are kept.
var readsStrangers = map[string][]string{
	"probes":      {"FuzzConverse", "FuzzRecognize", "FuzzWeb"},                     // whatever a server says
	"scan":        {"FuzzLook", "FuzzSpec", "FuzzCheckpoint"},                       // the whole walk; target lists
	"wire":        {"FuzzTranscript", "FuzzEscape", "FuzzSayHello", "FuzzAskChain"}, // transcripts out of bug reports; answers to our own hellos
	"resolve":     {"FuzzAnswer", "FuzzZone"},                                       // what miekg/dns has read
	"fingerprint": {"FuzzAppend", "FuzzParse", "FuzzDecode", "FuzzRecog", "FuzzVersions"},
	"recorded":    {"FuzzRead"},                                                                          // what other programs recorded
	"audit":       {"FuzzParse", "FuzzCompose", "FuzzReadScan", "FuzzJudge"},                             // files of the user; other programs' scans; facts
	"audit/login": {"FuzzTry", "FuzzSection"},                                                            // whatever a server says to one who logs in
	"audit/mail":  {"FuzzVisit", "FuzzRecords", "FuzzDocuments", "FuzzJudge", "FuzzSection", "FuzzTrip"}, // servers, the DNS, the web of a domain; facts
	"report":      {"FuzzSafe"},                                                                          // what is shown of a stranger's words
}

// needsNone says of each other package why it has no parser of strangers' bytes.
var needsNone = map[string]string{
	"wire/wiretest":        "sends, and reads what our own tests say",
	"fingerprint/generate": "runs on our own files",
	"cmd/herald":           "flags of the user",
	"integration":          "our own containers",
	"integration/bench":    "our own farm",
	"integration/versus":   "what other scanners say of our own containers",
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
		}
	}
	for pkg, found := range targets {
		for target := range found {
			if !regexp.MustCompile("(?m)^\\| " + pkg + " \\| .*`" + target + "`").Match(told) {
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
