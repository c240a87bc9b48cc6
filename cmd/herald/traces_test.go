package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"herald/wire/wiretest"
)

// A scan leaves no file but those that flags name: not where it stands, not in the home
// directory, not in the one for temporary files.
func TestNoFileButThoseNamed(t *testing.T) {
	servers := wiretest.Servers()
	e := wiretest.Start(t, servers[1].Serve)
	here, named := t.TempDir(), t.TempDir()
	out := filepath.Join(named, "found.jsonl")
	c := exec.Command(os.Args[0], "scan", fmt.Sprintf("127.0.0.1:%d", e.Addr.Port()), "-o", out, "-q")
	c.Dir = here
	c.Env = []string{"HERALD_TEST_AS_PROGRAM=1", "HOME=" + here, "TMPDIR=" + here, "XDG_CACHE_HOME=" + here, "XDG_CONFIG_HOME=" + here}
	if trouble, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, trouble)
	}
	for dir, want := range map[string]int{here: 0, named: 1} {
		if files, err := os.ReadDir(dir); err != nil || len(files) != want {
			t.Errorf("%d files, not %d: %v, %v", len(files), want, files, err)
		}
	}
	if text, err := os.ReadFile(out); err != nil || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("the output is %q, %v", text, err)
	}
}
