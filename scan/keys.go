package scan

import "herald/probes"

// Keys are the kinds of evidence that the walk itself notes, beside those of the probes.
var Keys = []probes.Key{
	{Name: "tcp.greeting", About: "unasked first words that no probe could make use of, 2 KiB at most"},
	{Name: "tcp.answer", About: "answer to a probe's question that is not of its protocol, nor of another known one, 2 KiB at most"},
}
