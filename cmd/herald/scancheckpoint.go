package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"herald/report"
	"herald/scan"
)

// openCheckpointed opens an output that may hold results of a scan that was killed, and cuts off
// what its checkpoint does not cover.
func (f scanFlags) openCheckpointed(args []string) (*output, error) {
	if f.output == "" || f.output == "-" || f.formatName() != "jsonl" {
		return nil, usagef("--checkpoint needs an output that can be continued: -o FILE.jsonl")
	}
	lists, err := describeLists(f.targets)
	if err != nil {
		return nil, usagef("--targets: %w", err)
	}
	description := fmt.Sprintf("%s %s ports=%s seed=%d shard=%s into %s", strings.Join(args, " "), strings.Join(lists, " "), f.ports, f.seed, f.shard, f.output)
	cp, err := scan.OpenCheckpoint(f.checkpoint, strings.TrimSpace(description))
	if err != nil {
		return nil, usagef("--checkpoint: %w", err)
	}
	file, err := os.OpenFile(f.output, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, usagef("--output: %w", err)
	}
	length := cp.Length()
	if info, err := file.Stat(); err != nil || info.Size() < length {
		return nil, errors.Join(usagef("--checkpoint %s: %s is shorter than the checkpoint says; remove the checkpoint to begin anew", f.checkpoint, f.output), err, file.Close())
	}
	if err := file.Truncate(length); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := file.Seek(length, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	lines := report.NewJSONLines(file, length)
	return &output{sink: cp.Sink(lines), checkpoint: cp, file: file}, nil
}

// describeLists names the lists of targets, each with a digest: a scan that goes on counts
// positions, and in a list that has changed they are others'.
func describeLists(names []string) (all []string, err error) {
	for _, name := range names {
		digest := ""
		if name != "-" {
			if digest, err = digestOf(name); err != nil {
				return nil, err
			}
		}
		if digest != "" {
			name += " (" + digest + ")"
		}
		all = append(all, name)
	}
	return all, nil
}

// digestOf is made of a file's length, beginning and end, since it may have 10⁸ lines; "" where
// it is no regular file: a pipe can be read once.
func digestOf(name string) (string, error) {
	const looked = 64 << 10 // bytes at either end
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", nil
	}
	sum := sha256.New()
	fmt.Fprintln(sum, info.Size())
	for _, from := range []int64{0, max(0, info.Size()-looked)} {
		if _, err := io.Copy(sum, io.NewSectionReader(file, from, looked)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:4]), nil
}
