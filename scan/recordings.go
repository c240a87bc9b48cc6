package scan

import "embed"

// Recordings are transcripts of whole walks, of more than one connection each, which the
// tests replay and herald's demonstration plays.
//
//go:embed testdata/then/*.txt
var Recordings embed.FS
