package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing/fstest"

	"github.com/spf13/cobra"

	"herald/fingerprint"
	"herald/report"
)

func testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE…",
		Short: "hold signature files to the rules, and against the built-in ones",
		Long: `Test reads signature files, or directories of them, and says what is wrong: examples
that do not give what they say, rejects that are taken, examples that another signature
takes first, texts of built-in signatures that yours take away, products that are spelt
otherwise in products.yaml, evidence that no probe notes, missing sources and examples,
patterns that match random text or have no literal to be found by.

Your files come before the built-in ones, as with --signatures. A file with the name of
a built-in one (ftp.yaml) takes its place; a products.yaml adds products.

Exit status: 0 no problem (warnings aside), 1 problems, 2 a file that can not be read.`,
		Example: `  herald signatures test mine.yaml
  herald signatures test fingerprint/db/ftp.yaml`,
		Args: arguments(1, -1, "a file of signatures"),
		RunE: func(c *cobra.Command, args []string) error { return testSignatures(c.OutOrStdout(), args) },
	}
}

func testSignatures(w io.Writer, args []string) error {
	b, err := readBench(args)
	if err != nil {
		return usage(err)
	}
	base, err := fingerprint.Load(b.builtin)
	if err != nil {
		return usage(b.place(err))
	}
	own, err := fingerprint.Load(b.own)
	if err != nil {
		return usage(b.place(err))
	}
	set, tested := own.Before(base), own.Signatures()
	for s := range base.All() {
		if b.edited[s.File] {
			tested = append(tested, *s)
		}
	}
	problems := set.Check(tested, keyNames())
	slices.SortStableFunc(problems, func(a, b fingerprint.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	faults := 0
	for _, p := range problems {
		if path := b.paths[p.File]; path != "" {
			p.File = path
		}
		if !p.Warning {
			faults++
		}
		fmt.Fprintln(w, report.Printable(p.String(), 1000))
	}
	examples := 0
	for _, s := range tested {
		examples += len(s.Examples)
	}
	fmt.Fprintf(w, "%d signatures with %d examples: %d problems, %d warnings\n", len(tested), examples, faults, len(problems)-faults)
	if faults > 0 {
		return exitStatus(exitTrouble)
	}
	return nil
}

// bench is what is tested: the built-in files, some of them maybe replaced, and others.
type bench struct {
	builtin, own fstest.MapFS
	edited       map[string]bool   // built-in files that are replaced
	paths        map[string]string // the path that the user gave, by the file's name
}

func readBench(args []string) (*bench, error) {
	b := &bench{builtin: fstest.MapFS{}, own: fstest.MapFS{}, edited: map[string]bool{}, paths: map[string]string{}}
	files := fingerprint.Files()
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		b.builtin[name] = &fstest.MapFile{Data: data}
	}
	var broken []error
	for _, arg := range args {
		paths, err := yamlFiles(arg)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if err := b.add(path); err != nil {
				broken = append(broken, err)
			}
		}
	}
	return b, errors.Join(broken...)
}

// yamlFiles are the files of a directory, or the file itself.
func yamlFiles(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{arg}, nil
	}
	names, err := fs.Glob(os.DirFS(arg), "*.yaml")
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s: no *.yaml file in it", arg)
	}
	for i := range names {
		names[i] = filepath.Join(arg, names[i])
	}
	return names, err
}

const productsFile = "products.yaml"

func (b *bench) add(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	if name != productsFile {
		// Read once by itself, so that one broken file does not hide the others' faults.
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := fingerprint.Parse(path, f); err != nil {
			return err
		}
	}
	if filepath.Ext(name) != ".yaml" {
		name += ".yaml"
	}
	if other := b.paths[name]; other != "" && other != path {
		return fmt.Errorf("%s: another file of this name is given, %s", path, other)
	}
	b.paths[name] = path
	to := b.own
	if b.builtin[name] != nil && name != productsFile {
		to = b.builtin
		b.edited[name] = true
	}
	to[name] = &fstest.MapFile{Data: data}
	return nil
}

// place says where the user's files lie, whose errors know only their names.
func (b *bench) place(err error) error {
	if len(b.paths) == 1 {
		for _, path := range b.paths {
			return fmt.Errorf("%s: %w", filepath.Dir(path), err)
		}
	}
	return err
}
