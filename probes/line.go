package probes

import (
	"fmt"

	"herald/wire"
)

// Line is no protocol: it says HELP and hears what comes, for the others to overhear. The
// text protocols that close without a word on an HTTP request answer it. It is not in the
// registry, since nothing is ever found to speak it.
var Line Probe = line{}

type line struct{}

var lineInfo = Info{Name: "line", Title: "a bare line of text", Asks: true}

func (line) Info() *Info { return &lineInfo }

func (line) Recognize([]byte) Likeness { return Unlike }

func (line) Converse(c *wire.Conversation, _ *Observation) error {
	if err := c.Send("HELP"); err != nil {
		return err
	}
	const most = 4 << 10
	if _, err := c.ReadRest(most); err != nil {
		return err
	}
	return fmt.Errorf("the answer is for others to judge: %w", ErrOtherProtocol)
}
