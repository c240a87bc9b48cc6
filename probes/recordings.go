package probes

import "embed"

// Recordings are the transcripts that the tests replay, a folder for each probe: recorded
// conversations of real servers, which herald's demonstration plays, and hard cases
// written by hand. See wire.Transcript for their format.
//
//go:embed testdata
var Recordings embed.FS
