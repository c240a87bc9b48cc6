package main

import "golang.org/x/sys/unix"

// mostFiles is how many files may be open; more than the hard limit where that is wanted and
// allowed.
func mostFiles(wanted uint64) (uint64, bool) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	if l.Cur >= wanted {
		return l.Cur, true
	}
	more := unix.Rlimit{Cur: wanted, Max: max(l.Max, wanted)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil {
		return more.Cur, true
	}
	l.Cur = l.Max
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0, false
	}
	return l.Cur, true
}
