package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if os.Getenv("HERALD_TEST_AS_PROGRAM") != "" {
		os.Unsetenv("HERALD_TEST_AS_PROGRAM")
		main()
	}
	testscript.Main(m, map[string]func(){
		"herald": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// What the user sees, a script for each occasion. With UPDATE_SCRIPTS set, the files that
// are compared with an output are written anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: scriptCommands, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != ""})
}
