package mail

import (
	"strings"

	"herald/wire"
)

// mostKept is how much of a server's words is kept, in bytes.
const mostKept = 4 << 10

// mask takes the password out of everything that servers said: they might repeat it.
func (t *trip) mask() {
	secrets := t.want.Who.Secrets()
	text := func(s *string) { *s = masked(clip(*s, mostKept), secrets) }
	service := func(s *Service) {
		for i := range s.Steps {
			text(&s.Steps[i].Said)
			text(&s.Steps[i].Reply)
		}
		text(&s.Unasked)
		if s.Failure != nil {
			text(&s.Failure.Text)
		}
	}
	halt := func(h *Halt) {
		if h != nil {
			text(&h.Words)
		}
	}
	for _, p := range t.out.Probes {
		service(p.Service)
		halt(p.Halt)
	}
	for _, b := range t.out.Boxes {
		service(b.Service)
		halt(b.Halt)
		for i := range b.Bounces {
			text(&b.Bounces[i])
		}
		for _, a := range b.Arrivals {
			a.Raw = []byte(masked(clip(string(a.Raw), 64<<10), secrets))
			text(&a.UID)
			text(&a.Folder)
			text(&a.Kept)
			for i := range a.Signatures {
				text(&a.Signatures[i].Domain)
				text(&a.Signatures[i].Selector)
				text(&a.Signatures[i].Reason)
			}
		}
	}
}

func masked(text string, secrets [][]byte) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, string(s), wire.Masked)
	}
	return text
}
