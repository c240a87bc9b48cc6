package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal says whether w is a terminal, and how wide.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return width, true
}

// colourful says whether to use colours: a terminal, and nobody said NO_COLOR
// (https://no-color.org) or TERM=dumb.
func colourful(w io.Writer) bool {
	_, isTerminal := terminal(w)
	return isTerminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
