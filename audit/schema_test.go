package audit

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaOf is the published schema, compiled.
func schemaOf(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("herald.schema.json", document); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("herald.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid says whether an editor with the schema has nothing to say.
func valid(s *jsonschema.Schema, text []byte) error {
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// examples are the expectations files in docs: the files, and what stands in the texts.
func examples(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	names, err := filepath.Glob("../docs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = text
	}
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		all["audit.md, block "+string(rune('1'+i))] = []byte(block)
	}
	return all
}

// Every example in docs is read without an error, and the schema agrees.
func TestExamples(t *testing.T) {
	s := schemaOf(t)
	expectations, composed := 0, 0
	for name, text := range examples(t) {
		if IsCompose(text) {
			composed++
			file := filepath.Join(t.TempDir(), "compose.yaml")
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := Compose(t.Context(), file, text, ComposeOptions{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if len(f.Services) == 0 {
				t.Errorf("%s: names no service", name)
			}
			continue
		}
		expectations++
		// Sections of other packages are read by their own tests.
		read := Section(func(*File, ast.Node) (Check, error) { return nil, nil })
		if f, err := Parse(name, bytes.NewReader(text), map[string]Section{"domains": read, "logins": read, "roundtrip": read}); err != nil {
			t.Error(err)
		} else if len(f.Services)+len(f.Checks) == 0 {
			t.Errorf("%s: names no service", name)
		}
		if err := valid(s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if expectations < 4 || composed < 2 {
		t.Errorf("only %d expectations files and %d Compose files", expectations, composed)
	}
}

// notInSchema are mistakes that a schema can not tell.
var notInSchema = []string{
	"bad-protocol.yaml", "inside-tls.yaml", "port-name.yaml", // the list of protocols grows
	"bad-port.yaml",                                                      // places are a grammar of their own
	"no-port.yaml",                                                       // likewise
	"url.yaml",                                                           // likewise
	"bad-line.yaml",                                                      // the grammar of one line
	"bad-line-twice.yaml",                                                // likewise
	"bad-host.yaml",                                                      // addresses
	"bad-server.yaml",                                                    // likewise
	"bad-version.yaml",                                                   // constraints on versions
	"duplicate-id.yaml",                                                  // uniqueness of one key
	"closed-and-more.yaml", "plain-certificate.yaml", "wrong-block.yaml", // what can not be true together
	"waiver-finding.yaml", // the list of findings grows
	"domains.yaml",
	"two-documents.yaml", "no-ca.yaml", "merge.yaml", "remark.yaml", "empty.yaml", "no-services.yaml",
}

// The schema refuses the mistakes that the scripts plant, but for those that a schema can
// not tell.
func TestSchemaRefusesPlantedMistakes(t *testing.T) {
	s := schemaOf(t)
	archive, err := txtar.ParseFile("../cmd/herald/testdata/script/audit-format.txtar")
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".yaml") || f.Name == "good.yaml" {
			continue
		}
		told := valid(s, f.Data) != nil
		switch {
		case slices.Contains(notInSchema, f.Name):
		case !told:
			t.Errorf("%s: the schema has nothing against it", f.Name)
		default:
			refused++
		}
		if _, err := Parse(f.Name, bytes.NewReader(f.Data), nil); err == nil && f.Name != "no-ca.yaml" {
			t.Errorf("%s is read without an error", f.Name)
		}
	}
	if refused < 30 {
		t.Errorf("only %d mistakes refused", refused)
	}
}

// The schema and the reader know the same keys.
func TestSchemaKnowsAllKeys(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	keys := func(path ...string) []string {
		n := document
		for _, p := range path {
			n = n.(map[string]any)[p]
		}
		return slices.Sorted(maps.Keys(n.(map[string]any)["properties"].(map[string]any)))
	}
	for _, c := range []struct {
		keys []string
		text string
	}{
		{keys(), "nonsense: 1\n"},
		{keys("properties", "defaults"), "version: 1\ndefaults: {nonsense: 1}\n"},
		{keys("properties", "dns"), "version: 1\ndns: {nonsense: 1}\n"},
		{keys("properties", "trust"), "version: 1\ntrust: {nonsense: 1}\n"},
		{keys("properties", "services", "items"), "version: 1\nservices: [{nonsense: 1}]\n"},
		{keys("$defs", "expect"), "version: 1\nservices: [{id: a, at: \"127.0.0.1:25\", expect: {nonsense: 1}}]\n"},
		{keys("$defs", "expect", "properties", "certificate"), "version: 1\nservices: [{id: a, at: \"127.0.0.1:25\", expect: {certificate: {nonsense: 1}}}]\n"},
		{keys("$defs", "expect", "properties", "smtp"), "version: 1\nservices: [{id: a, at: \"127.0.0.1:25\", expect: {smtp: {nonsense: 1}}}]\n"},
		{keys("$defs", "list"), "version: 1\nservices: [{id: a, at: \"127.0.0.1:25\", expect: {capabilities: {nonsense: 1}}}]\n"},
	} {
		_, err := Parse("a.yaml", strings.NewReader(c.text), nil)
		if want := "allowed: " + strings.Join(c.keys, ", "); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v, the schema has %s", c.text, err, want)
		}
	}
}
