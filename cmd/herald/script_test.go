package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"herald/wire"
	"herald/wire/wiretest"
)

// scriptCommands are what scripts can say beside testscript's own words.
var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"exits":   exits,
	"play":    play,
	"fill":    fill,
	"nothing": nothing,
}

// exits STATUS COMMAND… runs a command that must end with exactly that status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// play NAME=RECORDING… plays recordings below probes/testdata (or, with ./, of the script)
// on loopback until the script ends. $NAME is where: 127.0.0.1 and a port; $NAME_PORT is the
// port alone.
func play(ts *testscript.TestScript, neg bool, args []string) {
	var names []string
	var transcripts []*wire.Transcript
	for _, a := range args {
		name, recording, ok := strings.Cut(a, "=")
		if neg || !ok {
			ts.Fatalf("usage: play NAME=RECORDING…")
		}
		file := filepath.Join(recordings, filepath.FromSlash(recording)+".txt")
		if own, ok := strings.CutPrefix(recording, "./"); ok {
			file = ts.MkAbs(own)
		}
		t, err := wire.ReadRecording(os.DirFS(filepath.Dir(file)), filepath.Base(file))
		ts.Check(err)
		names, transcripts = append(names, name), append(transcripts, t)
	}
	player, ports, err := wire.Play(transcripts...)
	ts.Check(err)
	ts.Defer(func() { player.Close() })
	for i, name := range names {
		ts.Setenv(name, ports[i].String())
		ts.Setenv(name+"_PORT", strconv.Itoa(int(ports[i].Port())))
	}
}

var recordings = func() string {
	dir, err := filepath.Abs("../../probes/testdata")
	if err != nil {
		panic(err)
	}
	return dir
}()

// fill FILE… replaces $NAME in files by the script's variables.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! fill")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o666))
	}
}

// nothing NAME… sets variables to places on loopback where nobody listens.
func nothing(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! nothing")
	}
	for _, name := range args {
		at, release, err := wiretest.Unheard()
		ts.Check(err)
		ts.Defer(release)
		ts.Setenv(name, at.String())
	}
}
