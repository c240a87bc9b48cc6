// Package recorded reads what servers were heard to say by somebody else: lines of text,
// JSON lines of ours and of zgrab2, nmap's XML. It gives each server's words as evidence,
// under the keys that the probes use, so that signatures can judge them without a network.
// Begin with [Read].
package recorded

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strings"

	"herald/fingerprint"
	"herald/probes"
	"herald/scan"
)

// Format is a way to write records down.
type Format string

const (
	Auto Format = ""      // told by the first character: "{" is JSON, "<" is XML, else text
	Text Format = "text"  // a line is what one server said, with escapes as in Go
	JSON Format = "jsonl" // evidence, results of scan or identify, of zgrab2: told line by line
	Nmap Format = "nmap"  // the output of nmap -oX
)

// Formats are the formats by name.
var Formats = []Format{Text, JSON, Nmap}

// Item is what one server was heard to say.
type Item struct {
	Place    string // file and line
	Target   string // as the record names it; "" where it does not
	Protocol string // a probe's name, where the record or the words tell it
	Heard    []fingerprint.Evidence
}

// Options say how to read.
type Options struct {
	Format     Format
	Key        string           // of lines of text, and of JSON objects that name none; "" is a greeting whose protocol is to be found out
	Signatures *fingerprint.Set // help to tell the protocol of a greeting; nil is the built-in set
}

// BadRecord is something in the input that can not be used. What follows it still can.
type BadRecord struct {
	Place string
	Err   error
}

func (b *BadRecord) Error() string { return b.Place + ": " + b.Err.Error() }
func (b *BadRecord) Unwrap() error { return b.Err }

// Longest lines, in bytes: those of zgrab2 hold whole pages and TLS handshakes.
const (
	longestText = 1 << 20
	longestJSON = 16 << 20
)

// Read gives the items of an input, in its order, as they come. The name is for places. A
// [*BadRecord] does not end it; any other error does.
func Read(name string, r io.Reader, o Options) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		d := &reader{name: name, options: o, in: in, yield: yield, hear: &hearer{options: scan.Options{Signatures: o.Signatures}}}
		format := o.Format
		if format == Auto {
			var err error
			if format, err = d.detect(); err != nil {
				yield(Item{}, err)
				return
			}
		}
		switch format {
		case Nmap:
			d.nmap()
		case JSON:
			d.lines(longestJSON, d.object)
		default:
			d.lines(longestText, d.text)
		}
	}
}

// reader is one input being read.
type reader struct {
	name    string
	options Options
	in      *bufio.Reader
	yield   func(Item, error) bool
	hear    *hearer
	line    int
	stopped bool // the one who reads has enough
}

// detect looks at the first character that is not white space. With a key given, lines
// are text: a banner may begin with anything.
func (d *reader) detect() (Format, error) {
	if d.options.Key != "" {
		return Text, nil
	}
	for i := 1; ; i++ {
		b, err := d.in.Peek(i)
		if len(b) < i {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
				return Text, fmt.Errorf("%s: %w", d.name, err)
			}
			return Text, nil
		}
		switch b[i-1] {
		case ' ', '\t', '\r', '\n', 0xef, 0xbb, 0xbf: // the last three are UTF-8's byte order mark
		case '{':
			return JSON, nil
		case '<':
			return Nmap, nil
		default:
			return Text, nil
		}
	}
}

func (d *reader) place() string { return fmt.Sprintf("%s:%d", d.name, d.line) }

func (d *reader) give(i Item) {
	if !d.stopped {
		i.Place = d.place()
		if i.Protocol == "" {
			i.Protocol = protocolOf(i.Heard)
		}
		d.stopped = !d.yield(i, nil)
	}
}

// protocolOf is the protocol that the keys of evidence are of: who wrote them down knew it.
func protocolOf(heard []fingerprint.Evidence) string {
	for _, e := range heard {
		name, _, _ := strings.Cut(e.Key, ".")
		if name == "proxy" {
			name = probes.HTTPProxy.Info().Name
		}
		if probes.Named(name) != nil {
			return name
		}
	}
	return ""
}

// target is a name or an address with its port, where that is known.
func target(host string, port uint16) string {
	if port == 0 {
		return host
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return fmt.Sprintf("%s:%d", host, port)
}

func (d *reader) bad(err error) {
	if !d.stopped {
		d.stopped = !d.yield(Item{}, &BadRecord{d.place(), err})
	}
}

// lines hands on each line that is not empty, without its end. One that is too long is
// named and passed over.
func (d *reader) lines(longest int, do func(line []byte)) {
	var line []byte
	tooLong := false
	for !d.stopped {
		piece, err := d.in.ReadSlice('\n')
		if !tooLong {
			line = append(line, piece...)
			tooLong = len(line) > longest+2
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > 0 {
			d.line++
			text := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
			if d.line == 1 {
				text = strings.TrimPrefix(text, "\ufeff")
			}
			switch {
			case tooLong:
				d.bad(fmt.Errorf("a line of more than %d bytes", longest))
			case text != "":
				do([]byte(text))
			}
		}
		line, tooLong = line[:0], false
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			if !d.stopped {
				d.yield(Item{}, fmt.Errorf("%s: %w", d.name, err))
			}
			return
		}
	}
}
