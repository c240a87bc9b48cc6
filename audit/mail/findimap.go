package mail

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// look searches the folder for the probes. Every fourth time, and the last, it does not
// rely on UIDNEXT having been true.
func (b *imapBox) look(probes []*Probe, pushed time.Time, last bool) {
	b.box.Looked = true
	b.looks++
	for _, p := range probes {
		criteria := &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: p.ID}}}
		if b.folder == inbox && b.next > 0 && b.looks%4 != 0 && !last {
			criteria.UID = []imap.UIDSet{b.fresh()}
		}
		uids, h := b.search("HEADER Message-ID "+p.ID, criteria)
		if h != nil {
			return
		}
		if len(uids) == 0 && last {
			uids = b.among(p)
		}
		for _, uid := range uids {
			b.take(probes, uid, pushed)
		}
	}
}

// search finds messages in the folder that is selected, the newest of them; what is for the record.
func (b *imapBox) search(what string, criteria *imap.SearchCriteria) ([]imap.UID, *Halt) {
	data, h := imapAsked(b, "search", "UID SEARCH "+what, func() (*imap.SearchData, error) { return b.client.UIDSearch(criteria, nil).Wait() })
	if h != nil {
		return nil, h
	}
	return newest(data), nil
}

// newest are the highest UIDs of an answer, few: a range may stand for four thousand million.
func newest(data *imap.SearchData) (uids []imap.UID) {
	const most = 10
	set, _ := data.All.(imap.UIDSet)
	for _, r := range slices.Backward(set) {
		for uid := r.Stop; uid >= r.Start && uid > 0 && len(uids) < most; uid-- {
			uids = append(uids, uid)
		}
	}
	return uids
}

// fresh are the UIDs since before anything was sent.
func (b *imapBox) fresh() imap.UIDSet {
	var set imap.UIDSet
	set.AddRange(b.next, 0) // 0 is *
	return set
}

// among looks at the headers of new messages, for a server that changed the Message-ID.
func (b *imapBox) among(p *Probe) (uids []imap.UID) {
	if b.next == 0 || b.folder != inbox {
		return nil
	}
	messages := b.fetch(b.fresh(), p, true)
	for _, m := range messages {
		if header, _ := split(m.raw); p.is(header) && m.uid >= b.next {
			uids = append(uids, m.uid)
		}
	}
	return uids
}

// fetched is a message, or its header.
type fetched struct {
	uid imap.UID
	raw []byte
}

// fetch asks for messages, or for those header fields alone by which a probe is known; no
// flag is set.
func (b *imapBox) fetch(set imap.UIDSet, p *Probe, names bool) (list []fetched) {
	section, said := &imap.FetchItemBodySection{Peek: true}, "BODY.PEEK[]"
	if names {
		section.Specifier, section.HeaderFields = imap.PartSpecifierHeader, []string{"Message-ID", probeField}
		said = "BODY.PEEK[HEADER.FIELDS (Message-ID " + probeField + ")]"
	}
	messages, h := imapAsked(b, "fetch", "UID FETCH "+set.String()+" "+said, func() ([]*imapclient.FetchMessageBuffer, error) {
		return b.client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	})
	if h != nil {
		return nil
	}
	for _, m := range messages {
		for _, s := range m.BodySection {
			list = append(list, fetched{m.UID, s.Bytes})
		}
	}
	return list
}

// take fetches a message that should be one of the probes, and keeps it where it is.
func (b *imapBox) take(probes []*Probe, uid imap.UID, pushed time.Time) {
	seen, key := time.Now(), fmt.Sprint(b.folder, " ", uid)
	known := slices.ContainsFunc(b.box.Arrivals, func(a *Arrival) bool { return a.Folder == b.folder && a.UID == fmt.Sprint(uid) })
	const most = 1000 // that are kept in mind
	if known || b.others[key] || len(b.others) > most {
		return
	}
	for _, m := range b.fetch(imap.UIDSetNum(uid), probes[0], false) {
		header, _ := split(m.raw)
		i := slices.IndexFunc(probes, func(p *Probe) bool { return p.is(header) })
		if m.uid != uid || i < 0 {
			continue // the server answers something else than was asked
		}
		a := &Arrival{ID: probes[i].ID, Folder: b.folder, UID: fmt.Sprint(uid), Seen: seen, Raw: bytes.Clone(m.raw), Idled: b.stood(probes[i])}
		if !pushed.IsZero() {
			a.Seen, a.Pushed = pushed, true
		}
		b.box.Arrivals = append(b.box.Arrivals, a)
		return
	}
	if b.others == nil {
		b.others = map[string]bool{}
	}
	b.others[key] = true
}

// elsewhere looks for what did not come into INBOX: in the folder for junk, and for a
// bounce.
func (b *imapBox) elsewhere(probes []*Probe) {
	for _, p := range probes {
		b.bounces(p)
	}
	list, h := imapAsked(b, "list", `LIST "" *`, func() ([]*imap.ListData, error) { return b.client.List("", "*", nil).Collect() })
	if h != nil {
		return
	}
	for _, folder := range list {
		name := strings.ToLower(folder.Mailbox[strings.LastIndexAny(folder.Mailbox, "./")+1:])
		junk := slices.Contains(folder.Attrs, imap.MailboxAttrJunk) || name == "junk" || name == "spam"
		if junk && !slices.Contains(folder.Attrs, imap.MailboxAttrNoSelect) && b.open(folder.Mailbox) == nil {
			b.look(probes, time.Time{}, true)
			return
		}
	}
}

// bounces looks for new messages that quote the probe: the server's own words about why it
// was not delivered.
func (b *imapBox) bounces(p *Probe) {
	if b.next == 0 {
		return
	}
	uids, h := b.search("TEXT "+p.Token, &imap.SearchCriteria{Text: []string{p.Token}, UID: []imap.UIDSet{b.fresh()}})
	if h != nil {
		return
	}
	for _, uid := range uids {
		for _, m := range b.fetch(imap.UIDSetNum(uid), p, false) {
			header, body := split(m.raw)
			if m.uid != uid || p.is(header) || !bytes.Contains(m.raw, []byte(p.Token)) {
				continue
			}
			b.box.Bounces = append(b.box.Bounces, clip(value(header, "Subject")+diagnosis(body), 500))
		}
	}
}

// diagnosis is what a delivery report says (RFC 3464, 2.3.4 and 2.3.6), "" where it is none.
func diagnosis(body []byte) string {
	header, _ := split(bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")), []byte("\n\n"), []byte("\n")))
	var words []string
	for _, name := range []string{"Status", "Diagnostic-Code"} {
		if v := value(header, name); v != "" {
			words = append(words, v)
		}
	}
	if words == nil {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}
