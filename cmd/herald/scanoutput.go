package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"herald/fingerprint"
	"herald/report"
	"herald/scan"
)

// output is where a scan's results go.
type output struct {
	sink       scan.Sink
	checkpoint *scan.Checkpoint
	file       *os.File
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

func (f scanFlags) openOutput(stdout io.Writer, args []string, set *fingerprint.Set) (*output, error) {
	if f.checkpoint != "" {
		return f.openCheckpointed(args)
	}
	o := &output{}
	w := stdout
	if f.output != "" && f.output != "-" {
		file, err := os.Create(f.output)
		if err != nil {
			return nil, usagef("--output: %w", err)
		}
		o.file, w = file, file
	}
	var err error
	if o.sink, err = f.sink(w, set); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// openCheckpointed opens an output that may hold results of a scan that was killed.
func (f scanFlags) openCheckpointed(args []string) (*output, error) {
	if f.output == "" || f.output == "-" || f.formatName() != "jsonl" {
		return nil, usagef("--checkpoint needs an output that can be continued: -o FILE.jsonl")
	}
	lists, err := listed(f.targets)
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

// listed are the names of target lists, each with what tells it from what it was: a scan that
// goes on counts positions, and in a list that has changed they are others'. It is told by its
// length, its beginning and its end, since it may have 10⁸ lines.
func listed(names []string) (all []string, err error) {
	const looked = 64 << 10 // bytes at either end
	for _, name := range names {
		if name == "-" {
			all = append(all, name)
			continue
		}
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil || !info.Mode().IsRegular() {
			all = append(all, name) // a pipe can be read once
			continue
		}
		sum := sha256.New()
		fmt.Fprintln(sum, info.Size())
		for _, from := range []int64{0, max(0, info.Size()-looked)} {
			if _, err := io.Copy(sum, io.NewSectionReader(file, from, looked)); err != nil {
				return nil, err
			}
		}
		all = append(all, fmt.Sprintf("%s (%x)", name, sum.Sum(nil)[:4]))
	}
	return all, nil
}

func (f scanFlags) sink(out io.Writer, set *fingerprint.Set) (scan.Sink, error) {
	switch format := f.formatName(); format {
	case "table":
		width, _ := terminal(out)
		o := report.TableOptions{Colour: colourful(out), Width: width}
		if f.why {
			o.Why = set
		}
		return report.NewTable(out, o), nil
	case "jsonl":
		return report.NewJSONLines(out, 0), nil
	default:
		return nil, usagef("--format %q: table or jsonl", format)
	}
}

func (f scanFlags) formatName() string {
	if f.format != "" {
		return f.format
	}
	if ext := filepath.Ext(f.output); ext == ".jsonl" || ext == ".json" {
		return "jsonl"
	}
	return "table"
}

// spentSink counts what the services that it hands on cost.
type spentSink struct {
	scan.Sink
	report.Spent
}

func (p *spentSink) Write(ctx context.Context, s *scan.Service) error {
	p.Add(s)
	return p.Sink.Write(ctx, s)
}

func (p *spentSink) Flush() error { return flush(p.Sink) }

// flush has a sink hand on what it holds back, where it does.
func flush(s scan.Sink) error {
	if f, ok := s.(scan.Flusher); ok {
		return f.Flush()
	}
	return nil
}

var _, _ scan.Flusher = (*spentSink)(nil), (*transcriptSink)(nil) // a sink between hides what it does not pass on
