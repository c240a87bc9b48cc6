// Command generate makes fingerprint/db/compiled from the YAML files. It is run by
// `go generate ./fingerprint`, in the directory of the package.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"herald/fingerprint"
)

func main() {
	if err := generate("db", "db/compiled"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(from, to string) error {
	files, err := fingerprint.CompileAll(os.DirFS(from))
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(to, "*"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if _, kept := files[filepath.Base(name)]; !kept {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(to, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
