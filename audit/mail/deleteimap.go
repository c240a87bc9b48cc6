package mail

import (
	"fmt"

	"github.com/emersion/go-imap/v2"
)

// clean deletes the probes that were found: each where a last look shows that this UID is
// still the probe's, by UID EXPUNGE, which touches no other message (RFC 4315, 2.1).
func (b *imapBox) clean() {
	for _, a := range b.box.Arrivals {
		if !b.alive() {
			a.Kept = "the connection had ended"
			continue
		}
		if a.Folder != b.folder {
			if h := b.open(a.Folder); h != nil {
				a.Kept = h.text()
				continue
			}
		}
		b.delete(a)
	}
}

func (b *imapBox) delete(a *Arrival) {
	p := b.probeOf(a.ID)
	var uid imap.UID
	fmt.Sscan(a.UID, &uid)
	set := imap.UIDSetNum(uid)
	if !b.still(p, set, uid) {
		a.Kept = "its UID does not show it any more, and nothing else is ever deleted"
		return
	}
	if !b.caps.Has(imap.CapUIDPlus) && !b.caps.Has(imap.CapIMAP4rev2) {
		a.Kept = "the server has no UIDPLUS: EXPUNGE would also remove what others have marked"
		return
	}
	mark := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	if h := b.ask("store", "UID STORE "+a.UID+` +FLAGS.SILENT (\Deleted)`, func() error {
		_, err := b.client.Store(set, mark, nil).Collect()
		return err
	}); h != nil {
		a.Kept = h.text()
		return
	}
	if h := b.ask("expunge", "UID EXPUNGE "+a.UID, func() error { _, err := b.client.UIDExpunge(set).Collect(); return err }); h != nil {
		a.Kept = h.text()
		return
	}
	if b.alive() && b.still(p, set, uid) {
		a.Kept = "UID EXPUNGE was answered with OK, and it is still there"
		return
	}
	if !b.alive() {
		a.Kept = "the connection had ended"
		return
	}
	a.Deleted = "UID EXPUNGE"
}

// recheck looks whether POP3 has deleted what IMAP could not.
func (b *imapBox) recheck() {
	for _, a := range b.box.Arrivals {
		by := b.deletedBy(a)
		if a.Deleted != "" || by == "" || !b.alive() || a.Folder != inbox {
			continue
		}
		if a.Folder != b.folder && b.open(a.Folder) != nil {
			continue
		}
		// NOOP has the server tell of what others have removed (RFC 9051, 6.1.2).
		if b.ask("noop", "NOOP", func() error { return b.client.Noop().Wait() }) != nil {
			continue
		}
		var uid imap.UID
		fmt.Sscan(a.UID, &uid)
		if !b.still(b.probeOf(a.ID), imap.UIDSetNum(uid), uid) && b.alive() {
			a.Deleted, a.Kept = by, ""
		}
	}
}

// still says that the UID shows the probe, and it alone.
func (b *imapBox) still(p *Probe, set imap.UIDSet, uid imap.UID) bool {
	list := b.fetch(set, p, true)
	if len(list) != 1 || list[0].uid != uid {
		return false
	}
	header, _ := split(list[0].raw)
	return p.is(header)
}

// probeOf is the probe with that id.
func (t *trip) probeOf(id string) *Probe {
	for _, p := range t.out.Probes {
		if p.ID == id {
			return p
		}
	}
	return &Probe{} // is of no message
}
