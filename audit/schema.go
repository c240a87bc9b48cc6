package audit

import _ "embed"

// Schema is the JSON Schema (2020-12) of expectations files, for editors.
//
//go:embed herald.schema.json
var Schema []byte
