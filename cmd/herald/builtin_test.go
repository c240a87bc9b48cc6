package main

import (
	"testing"

	"herald/fingerprint"
)

// No built-in signature waits for evidence that no probe notes.
func TestBuiltinSignaturesReadWhatProbesNote(t *testing.T) {
	set, err := fingerprint.Load(fingerprint.Files())
	if err != nil {
		t.Fatal(err)
	}
	keys := keyNames()
	if len(keys) < 150 {
		t.Fatalf("only %d keys", len(keys))
	}
	for _, p := range set.Check(set.Signatures(), keys) {
		t.Errorf("db/%v", p)
	}
	stranger := []fingerprint.Signature{{ID: "x", On: "smtp.greting", Match: "^220 abc$"}}
	found := false
	for _, p := range set.With(stranger).Check(stranger, keys) {
		found = found || p.Text == `no probe notes the key "smtp.greting"; did you mean "smtp.greeting"?`
	}
	if !found {
		t.Error("a signature on a key that no probe notes is not told")
	}
}
