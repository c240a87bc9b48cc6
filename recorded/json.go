package recorded

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"herald/fingerprint"
)

// words is one text of a JSON line: Base64 has the exact bytes where Text has not.
type words struct {
	Key    string    `json:"key"`
	Text   *string   `json:"text"`
	Base64 []byte    `json:"base64"`
	TLS    insideTLS `json:"tls"`
}

// insideTLS says whether words were said inside TLS. The line of a scan has the handshake
// there.
type insideTLS bool

func (t *insideTLS) UnmarshalJSON(value []byte) error {
	switch value[0] {
	case '{':
		*t = true
		return nil
	case 'n': // null
		return nil
	}
	return json.Unmarshal(value, (*bool)(t))
}

func (w *words) bytes() []byte {
	if len(w.Base64) > 0 || w.Text == nil {
		return w.Base64
	}
	return []byte(*w.Text)
}

// record is a JSON line of any kind that is understood.
type record struct {
	words
	Target   string                     `json:"target"`
	Protocol string                     `json:"protocol"`
	Evidence []words                    `json:"evidence"`
	Format   int                        `json:"format"` // ours
	IP       string                     `json:"ip"`     // zgrab2's
	Domain   string                     `json:"domain"` // zgrab2's
	Data     map[string]json.RawMessage `json:"data"`   // zgrab2's, by the name of the scan
}

// object reads a JSON line. What it is shows in its fields.
func (d *reader) object(line []byte) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		d.bad(plain(err))
		return
	}
	switch {
	case r.Evidence != nil || r.Format > 0:
		i := Item{Target: r.Target, Protocol: r.Protocol}
		for _, w := range r.Evidence {
			if w.Key == "" {
				d.bad(errors.New(`evidence without "key"`))
				continue
			}
			if r.Format > 0 { // as it was noted, to the byte
				i.Heard = append(i.Heard, fingerprint.Evidence{Key: w.Key, Text: w.bytes(), TLS: bool(w.TLS)})
				continue
			}
			for _, e := range note(nil, w.Key, w.bytes()) {
				i.Heard = append(i.Heard, fingerprint.Evidence{Key: e.Key, Text: e.Text, TLS: bool(w.TLS)})
			}
		}
		d.give(i)
	case r.Data != nil:
		d.zgrab2(&r)
	case r.Text != nil || r.Base64 != nil:
		if r.Key == "" {
			r.Key = d.options.Key
		}
		i := d.said(r.Key, r.bytes())
		i.Target = r.Target
		for n := range i.Heard {
			i.Heard[n].TLS = i.Heard[n].TLS || bool(r.TLS)
		}
		d.give(i)
	default:
		d.bad(errors.New(`neither "key" and "text", nor "evidence" of herald, nor "data" of zgrab2`))
	}
}

// plain says what is wrong with a JSON line, without Go's names.
func plain(err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		return fmt.Errorf("%q must not be a JSON %s", strings.TrimPrefix(wrongType.Field, "words."), wrongType.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("not a JSON object, at byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("not a record: %w", err)
}
