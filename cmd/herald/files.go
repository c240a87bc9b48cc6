package main

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// openInput opens a file that the user names; "-" is standard input.
func openInput(c *cobra.Command, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(c.InOrStdin()), nil
	}
	return os.Open(name)
}

// readAll reads a file that the user names; "-" is standard input, of which 64 MB are read.
func readAll(c *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(c.InOrStdin(), 64<<20))
	}
	return os.ReadFile(name)
}

// writeFile makes a file of what write gives.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

// writeOutput writes to the file that --output names, or to standard output, which "-" is, too.
func writeOutput(stdout io.Writer, name string, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		return write(stdout)
	}
	return writeFile(name, write)
}
