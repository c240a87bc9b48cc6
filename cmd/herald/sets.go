package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"herald/fingerprint"
)

// setFlags are the flags that say which signatures are used.
type setFlags struct {
	own   []string // --signatures
	recog string   // --recog
}

func (f *setFlags) register(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.own, "signatures", nil, "also use the signatures in `DIR`, its *.yaml files, or in a file; they come before the built-in ones")
	fl.StringVar(&f.recog, "recog", "", "also use the databases of recog in `DIR`, your own copy of its *.xml files; they come behind the built-in ones")
}

// set is the built-in set with the user's signatures before it and recog's behind. What of
// recog can not be used is told on standard error.
func (f *setFlags) set(builtin *fingerprint.Set, stderr io.Writer) (*fingerprint.Set, error) {
	set := builtin
	if f.recog != "" {
		list, err := fingerprint.LoadRecog(os.DirFS(f.recog))
		if err != nil && len(list) == 0 {
			return nil, usagef("--recog %s: %w", f.recog, err)
		}
		if err != nil {
			fmt.Fprintf(stderr, "herald: --recog %s: left out: %v\n", f.recog, err)
		}
		set = set.Then(list)
	}
	for i := len(f.own) - 1; i >= 0; i-- { // the first that is named is searched first
		own, err := loadOwn(f.own[i])
		if err != nil {
			return nil, usagef("--signatures %s: %w", f.own[i], err)
		}
		set = own.Before(set)
	}
	return set, nil
}

// loadOwn reads a user's directory of signatures, or one file.
func loadOwn(name string) (*fingerprint.Set, error) {
	info, err := os.Stat(name)
	if path := new(fs.PathError); errors.As(err, &path) {
		return nil, path.Err // the name is told with it
	}
	if !info.IsDir() {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		list, err := fingerprint.Parse(filepath.Base(name), file)
		if err != nil {
			return nil, err
		}
		return fingerprint.Builtin().Only(list), nil
	}
	own, err := fingerprint.Load(os.DirFS(name))
	if err == nil && own.Len() == 0 {
		err = fmt.Errorf("no signature in it: they are written in *.yaml files")
	}
	return own, err
}
