//go:build ignore

// Static fails unless the ELF file that it is given needs no interpreter and no library.
package main

import (
	"debug/elf"
	"fmt"
	"os"
)

func main() {
	f, err := elf.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	interpreted := false
	for _, p := range f.Progs {
		interpreted = interpreted || p.Type == elf.PT_INTERP
	}
	if interpreted || len(libraries) > 0 || err != nil {
		fmt.Fprintf(os.Stderr, "%s is not static: interpreter %v, libraries %q, %v\n", os.Args[1], interpreted, libraries, err)
		os.Exit(1)
	}
}
