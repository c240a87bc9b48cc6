package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"herald/wire/wiretest"
)

// No command leaves a file but those that its flags name: not where it stands, not in the
// home directory, not in the one for temporary files, not beside the files that it reads.
func TestNoFileButThoseNamed(t *testing.T) {
	recording, err := filepath.Abs("../../probes/testdata/pop3/popa3d-1.0.3.txt")
	if err != nil {
		t.Fatal(err)
	}
	closes := wiretest.Servers()[1].Serve
	for _, test := range []struct {
		args  string // PORT, NAMED, GIVEN and RECORDING are filled in
		named []string
	}{
		{args: "scan 127.0.0.1:PORT -q -o NAMED/found.jsonl", named: []string{"found.jsonl"}},
		{args: "scan 127.0.0.1:PORT -q -o NAMED/found.jsonl --checkpoint NAMED/at --transcripts NAMED/said", named: []string{"at", "found.jsonl", "said", "said/127.0.0.1_PORT.txt"}},
		{args: "scan --targets GIVEN/list.txt --exclude GIVEN/none.txt --max-time 1m"},
		{args: "scan 127.0.0.1:PORT --shard 1/2 --why"},
		{args: "audit GIVEN/herald.yaml --facts NAMED/facts.json -o NAMED/report.xml --format junit", named: []string{"facts.json", "report.xml"}},
		{args: "audit GIVEN/compose.yaml"},
		{args: "audit learn 127.0.0.1:PORT"},
		{args: "mail --services 127.0.0.1:PORT --patience 1s --facts NAMED/facts.json", named: []string{"facts.json"}},
		{args: "mail a.test --zone GIVEN/zone --patience 1s"},
		{args: "wait 127.0.0.1:PORT --timeout 300ms"},
		{args: "replay RECORDING"}, {args: "identify GIVEN/list.txt"}, {args: "probes"}, {args: "ports"}, {args: "signatures"}, {args: "version"}, {args: "help"},
	} {
		t.Run(test.args, func(t *testing.T) {
			e := wiretest.Start(t, closes)
			here, named, given := t.TempDir(), t.TempDir(), t.TempDir()
			port := fmt.Sprint(e.Addr.Port())
			fill := strings.NewReplacer("PORT", port, "NAMED", named, "GIVEN", given, "RECORDING", recording)
			for name, text := range map[string]string{
				"list.txt": "127.0.0.1:PORT\n", "none.txt": "192.0.2.0/24\n", "herald.yaml": "version: 1\nservices: [{id: a, at: \"127.0.0.1:PORT\", expect: smtp}]\n",
				"compose.yaml": "services:\n  mail:\n    image: postfix\n    ports: [\"127.0.0.1:PORT:25\"]\n", "zone": "$ORIGIN a.test.\n@ SOA ns root 1 2 3 4 5\n@ MX 0 .\n",
			} {
				if err := os.WriteFile(filepath.Join(given, name), []byte(fill.Replace(text)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := files(t, given)
			c := exec.Command(os.Args[0], strings.Fields(fill.Replace(test.args))...)
			c.Dir = here
			c.Env = []string{"HERALD_TEST_AS_PROGRAM=1", "HOME=" + here, "TMPDIR=" + here, "XDG_CACHE_HOME=" + here, "XDG_CONFIG_HOME=" + here, "PATH=" + os.Getenv("PATH")}
			trouble, err := c.CombinedOutput()
			if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() == exitUsage || !exit.Exited()) {
				t.Fatalf("%v: %s", err, trouble)
			}
			var want []string
			for _, name := range test.named {
				want = append(want, fill.Replace(name))
			}
			if got := files(t, named); !slices.Equal(got, want) {
				t.Errorf("named were %v, there are %v; %s", want, got, trouble)
			}
			if got := files(t, here); len(got) != 0 {
				t.Errorf("%v are left where it stood", got)
			}
			if got := files(t, given); !slices.Equal(got, before) {
				t.Errorf("%v stand beside the files that it read", got)
			}
		})
	}
}

// files are the names of all below a directory, in order.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
