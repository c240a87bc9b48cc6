package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"herald/wire/wiretest"
)

// A scan that is killed at fifty moments and started again each time gives every endpoint
// exactly once. The endpoints are ports of loopback, nearly all of them closed.
func TestKilledScanGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel() // it mostly waits
	const endpoints, kills = 4000, 50
	dir := t.TempDir()
	out, checkpoint := filepath.Join(dir, "found.jsonl"), filepath.Join(dir, "at")
	start := func() *exec.Cmd {
		c := exec.Command(os.Args[0], "scan", "127.0.0.1:1-4000", "--rate", "1600", "--per-host", "64", "--timeout", "3s", "-o", out, "--checkpoint", checkpoint, "-q")
		c.Env = append(os.Environ(), "HERALD_TEST_AS_PROGRAM=1")
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	killed := 0
	for ; killed < kills; killed++ {
		c := start()
		timer := time.AfterFunc(time.Duration(20+rand.IntN(130))*time.Millisecond, func() { c.Process.Kill() })
		err := c.Wait()
		timer.Stop()
		if err == nil {
			break // it came to its end before
		}
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("after %d kills: %v", killed, err)
		}
	}
	if killed < kills/2 {
		t.Errorf("only %d kills before the end: the test proves little", killed)
	}
	if err := start().Wait(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%v stand beside each other, %v: only the output and the checkpoint were named", files, err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint16]int{}
	for line := range bytes.Lines(text) {
		var r struct{ Port uint16 }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		seen[r.Port]++
	}
	for p := uint16(1); p <= endpoints; p++ {
		if seen[p] != 1 {
			t.Errorf("port %d stands %d times in the output", p, seen[p])
		}
	}
}

// A scan that is interrupted finishes what is under way, says where it stopped, and goes on
// there; one that had just come to its end says nothing of that.
func TestInterruptedScanSaysWhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, checkpoint := filepath.Join(dir, "found.jsonl"), filepath.Join(dir, "at")
	var trouble bytes.Buffer
	start := func() *exec.Cmd {
		c := exec.Command(os.Args[0], "scan", "127.0.0.1:1-600", "--rate", "600", "--per-host", "64", "-o", out, "--checkpoint", checkpoint, "-q")
		c.Env = append(os.Environ(), "HERALD_TEST_AS_PROGRAM=1")
		c.Stderr = &trouble
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := start()
	for { // until something is written
		if info, err := os.Stat(out); err == nil && info.Size() > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	c.Process.Signal(os.Interrupt)
	err := c.Wait()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || !exit.Exited() {
		t.Fatalf("it ends with %v", err)
	}
	if want := regexp.MustCompile(`^herald: stopped after \d+ endpoints; what was found is written; all positions before \d+ are done, start the same command again to go on\n$`); !want.Match(trouble.Bytes()) {
		t.Errorf("it says %q", &trouble)
	}
	if err := start().Wait(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if n := bytes.Count(text, []byte("\n")); err != nil || n != 600 {
		t.Errorf("%d lines, %v", n, err)
	}
}

// The first interrupt lets what is under way come to its end; the second does not wait for it.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	arrived := make(chan struct{})
	e := wiretest.Start(t, wiretest.Announce(arrived, wiretest.Servers()[0].Serve)) // accepts, then nothing
	c := exec.Command(os.Args[0], "scan", fmt.Sprintf("smtp://127.0.0.1:%d", e.Addr.Port()), "--timeout", "10m", "-q")
	c.Env = append(os.Environ(), "HERALD_TEST_AS_PROGRAM=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-arrived
	ended := make(chan error)
	go func() { ended <- c.Wait() }()
	began := time.Now()
	for {
		c.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.Exited() {
				t.Errorf("it ends with %v, not by the signal, after %s", err, time.Since(began))
			}
			return
		case <-time.After(20 * time.Millisecond): // the first may not have been taken yet
		}
	}
}
