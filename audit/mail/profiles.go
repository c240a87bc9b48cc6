package mail

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// profile is a published set of rules for TLS. profiles.json holds them, and says where
// each is from.
type profile struct {
	Name     string   `json:"name"`
	About    string   `json:"about"`
	Source   string   `json:"source"`
	Versions []string `json:"versions"`            // that may be taken
	Suites   []string `json:"suites"`              // that may be taken, by their IANA names
	PhaseOut []string `json:"phase_out,omitempty"` // that may be taken for some time yet
}

//go:embed profiles.json
var profilesJSON []byte

var profiles = sync.OnceValue(func() (list []profile) {
	if err := json.Unmarshal(profilesJSON, &list); err != nil {
		panic("profiles.json: " + err.Error()) // a test reads it
	}
	return list
})

// ProfileNames are the names of the TLS profiles: those of profiles.json, which need not
// be read for a page of help.
func ProfileNames() []string { return []string{"mozilla-modern", "mozilla-intermediate", "ncsc-2025"} }

// beyond says what of a version and a suite the profile does not allow, "" for nothing, and
// whether it allows it for now.
func (p *profile) beyond(version, suite uint16) (what string, forNow bool) {
	name := suiteName(suite)
	switch {
	case !slices.Contains(p.Versions, versionName(version)):
		return versionName(version), false
	case slices.Contains(p.Suites, name):
		return "", false
	case slices.Contains(p.PhaseOut, name):
		return fmt.Sprintf("%s (to be phased out)", name), true
	}
	return name, false
}
