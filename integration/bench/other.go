//go:build !linux

// Command bench needs Linux: network namespaces and epoll.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it needs Linux, for network namespaces and epoll")
	os.Exit(1)
}
