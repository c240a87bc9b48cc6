package main

import (
	"context"
	"errors"
	"io"
	"os"

	"herald/fingerprint"
	"herald/report"
	"herald/scan"
)

// output is where a scan's results go.
type output struct {
	sink       scan.Sink
	spent      *spentSink       // counts what the scan costs; nil where nobody is told
	checkpoint *scan.Checkpoint // nil without --checkpoint
	file       *os.File         // nil for standard output
}

// openOutput opens what the flags name. args are the targets of the command line, which a
// checkpoint must be of.
func (f scanFlags) openOutput(stdout io.Writer, args []string, set *fingerprint.Set) (*output, error) {
	if f.transcripts != "" {
		if err := os.MkdirAll(f.transcripts, 0o755); err != nil {
			return nil, usagef("--transcripts: %w", err)
		}
	}
	o, err := f.openResults(stdout, args, set)
	if err != nil {
		return nil, err
	}
	if f.transcripts != "" {
		o.sink = &transcriptSink{Sink: o.sink, dir: f.transcripts}
	}
	if f.tellsSpent() {
		o.spent = &spentSink{Sink: o.sink}
		o.sink = o.spent
	}
	return o, nil
}

func (f scanFlags) openResults(stdout io.Writer, args []string, set *fingerprint.Set) (*output, error) {
	if f.checkpoint != "" {
		return f.openCheckpointed(args)
	}
	if f.output == "" || f.output == "-" {
		sink, err := f.sink(stdout, set)
		return &output{sink: sink}, err
	}
	file, err := os.Create(f.output)
	if err != nil {
		return nil, usagef("--output: %w", err)
	}
	sink, err := f.sink(file, set)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &output{sink: sink, file: file}, nil
}

// source gives the plan's targets: with a checkpoint, those that it has not yet.
func (o *output) source(plan scan.Plan, specs scan.Specs) scan.Source {
	if o.checkpoint == nil {
		return plan.Targets(specs)
	}
	plan.Skip = o.checkpoint.Skip
	return o.checkpoint.Targets(plan.Targets(specs))
}

func (o *output) close() error {
	err := o.sink.Close()
	if o.file != nil {
		err = errors.Join(err, o.file.Close())
	}
	return err
}

// tellsSpent says whether what the scan cost is told on standard error: a table tells it itself,
// and whoever takes JSON lines from standard output wants nothing else.
func (f scanFlags) tellsSpent() bool {
	return !f.quiet && f.formatName() == "jsonl" && f.output != ""
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
