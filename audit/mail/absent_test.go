package mail

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"herald/resolve"
	"herald/wire"
)

// What is not known is no fault: whatever is missing from the facts, no check fails or
// warns that did not before.

// fails are the checks that fail or warn, each with one of its texts.
func fails(findings []Finding) map[string]string {
	all := map[string]string{}
	for _, f := range findings {
		if f.State == Fail || f.State == Warn {
			all[f.Check] = f.Where + ": " + f.Text
		}
	}
	return all
}

// news are the checks that fail in the second alone.
func news(before, after map[string]string) []string {
	var list []string
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if _, known := before[id]; !known {
			list = append(list, id+" "+after[id])
		}
	}
	return list
}

// withFew are the facts with one service for each way of speaking, and the exchanger's at
// two addresses: time is short.
func withFew(t *testing.T, saved []byte) []byte {
	f := readFacts(t, saved)
	f.Services = slices.DeleteFunc(f.Services, func(s *Service) bool {
		return s.Port != 25 && !(s.Addr.Is4() && slices.Contains([]uint16{587, 993, 110}, s.Port))
	})
	return savedFacts(t, f)
}

// parts calls use for every part of a document that can be left out or emptied: with each
// key of each object and each element of each list gone, and each text emptied. Three kinds
// of part say something else when they are gone, and are left: a truth that is left out is
// false, a record fewer is another DNS, and a certificate fewer another chain. A document
// without a type came without one.
func parts(path string, part any, put func(any), use func(what string)) {
	switch p := part.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(p)) {
			v := p[k]
			if _, truth := v.(bool); truth || k == "ms" || k == "type" && strings.HasPrefix(path, ".documents") || strings.HasSuffix(k, "_ms") { // times are for people
				continue
			}
			delete(p, k)
			use(path + "." + k + " gone")
			p[k] = v
			if _, text := v.(string); !text { // an empty one is as none
				parts(path+"."+k, v, func(x any) { p[k] = x }, use)
				p[k] = v
			}
		}
	case []any:
		for i, v := range p {
			if !strings.HasSuffix(path, ".records") && !strings.HasSuffix(path, ".chain") {
				put(slices.Delete(slices.Clone(p), i, i+1))
				use(fmt.Sprintf("%s[%d] gone", path, i))
				put(p)
			}
			parts(fmt.Sprintf("%s[%d]", path, i), v, func(x any) { p[i] = x }, use)
			p[i] = v
		}
	case string:
		put("")
		use(path + " empty")
		put(p)
	}
}

func TestNothingFailsForWhatIsMissing(t *testing.T) {
	t.Parallel()
	atNoon(t, func(t *testing.T) {
		w := newWorld(t) // of two addresses, which are compared
		w.gatherer.Injection = true
		saved := withFew(t, savedFacts(t, w.gather(t)))
		before := fails(Judge(readFacts(t, saved), w.options))
		var document any
		if err := json.Unmarshal(saved, &document); err != nil {
			t.Fatal(err)
		}
		count := 0
		parts("", document, func(any) {}, func(what string) {
			text, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			facts, err := ReadFacts("facts.json", strings.NewReader(string(text)))
			if err != nil {
				return // not a file of facts any more
			}
			count++
			if list := news(before, fails(Judge(facts, w.options))); len(list) > 0 {
				t.Errorf("%s: %s", what, strings.Join(list, "; "))
			}
		})
		if count < 400 {
			t.Errorf("%d parts: the facts are not those of a whole domain", count)
		}
	})
}

// However a conversation ends early, an answer fails to come, or a document: nothing fails
// but what says just that.
func TestNothingFailsForWhatEndsEarly(t *testing.T) {
	t.Parallel()
	atNoon(t, func(t *testing.T) {
		w := newWorld(t)
		saved := withFew(t, savedFacts(t, w.gather(t)))
		before := fails(Judge(readFacts(t, saved), w.options))
		check := func(what string, spoil func(f *Facts), may ...string) {
			t.Helper()
			facts := readFacts(t, saved)
			spoil(facts)
			for _, x := range news(before, fails(Judge(facts, w.options))) {
				if id, _, _ := strings.Cut(x, " "); !slices.Contains(may, id) {
					t.Errorf("%s: %s", what, x)
				}
			}
		}
		whole := readFacts(t, saved)
		for i, s := range whole.Services {
			for _, kind := range []wire.Kind{wire.Timeout, wire.Reset, wire.Closed, wire.Limit, wire.Canceled} {
				for n := range s.Steps { // the conversation ends where the answer n is due
					check(fmt.Sprintf("%s: %s at %s", s.Where(), kind, s.Steps[n].Name), func(f *Facts) { cut(f.Services[i], n, &Failure{Op: wire.OpRead, Kind: kind}) })
				}
			}
			for _, kind := range []wire.Kind{wire.Timeout, wire.Unreachable, wire.Exhausted, wire.Canceled} {
				var may []string
				if kind == wire.Timeout || kind == wire.Unreachable {
					may = []string{"R1", "R2", "R3", "R4", "R5", "R6", "D21", "D22"} // other ports of the address answer
				}
				check(fmt.Sprintf("%s: no connection, %s", s.Where(), kind), func(f *Facts) {
					cut(f.Services[i], 0, &Failure{Step: "connect", Op: wire.OpDial, Kind: kind})
				}, may...)
			}
			if s.Protocol == "smtp" {
				for n := range s.Steps {
					check(fmt.Sprintf("%s: 421 at %s", s.Where(), s.Steps[n].Name), func(f *Facts) {
						said, inside := s.Steps[n].Said, s.Steps[n].TLS
						cut(f.Services[i], n, nil)
						f.Services[i].Steps = append(f.Services[i].Steps, Step{Name: s.Steps[n].Name, Said: said, TLS: inside, Reply: "421 4.7.0 mx1.good.test try again later\r\n"})
					})
				}
			}
			check(s.Where()+": a handshake that is not answered", func(f *Facts) {
				o := f.Services[i]
				n := slices.IndexFunc(o.Steps, func(s Step) bool { return s.TLS })
				cut(o, max(n, 0), &Failure{Step: "handshake", Op: wire.OpHandshake, Kind: wire.Timeout})
				o.TLS = &TLS{Failure: o.Failure}
			})
			check(s.Where()+": the special connections do not stand", func(f *Facts) {
				f.Services[i].NoName = &TLS{Failure: &Failure{Op: wire.OpDial, Kind: wire.Timeout}}
				f.Services[i].OtherKey = &TLS{Failure: &Failure{Op: wire.OpRead, Kind: wire.Reset}}
			})
		}
		check("no connection to the address at all", func(f *Facts) {
			for i := range f.Services {
				cut(f.Services[i], 0, &Failure{Step: "connect", Op: wire.OpDial, Kind: wire.Timeout})
			}
		})
		for i, a := range whole.Answers {
			for _, status := range []resolve.Status{resolve.ServFail, resolve.NoAnswer, resolve.Refused, resolve.Failed, resolve.Unasked, resolve.Bogus} {
				var may []string
				if status == resolve.Bogus {
					may = []string{"D7", "D14"}
				}
				check(fmt.Sprintf("%s %s: %s", a.Name, a.Type, status), func(f *Facts) { f.Answers[i].Status, f.Answers[i].Records = status, nil }, may...)
			}
		}
		for i, d := range whole.Documents {
			for _, kind := range []wire.Kind{wire.Timeout, wire.Reset, wire.Closed, wire.NotFound} {
				check(fmt.Sprintf("%s: %s", d.URL, kind), func(f *Facts) {
					f.Documents[i] = Document{Role: d.Role, URL: d.URL, Failure: &Failure{Step: "fetch", Op: wire.OpRead, Kind: kind}}
				})
			}
		}
	})
}

// cut ends a conversation before the answer n.
func cut(s *Service, n int, f *Failure) {
	if f != nil && f.Step == "" && n < len(s.Steps) {
		f.Step = s.Steps[n].Name
	}
	s.Failure = f
	inside := slices.ContainsFunc(s.Steps[:n], func(s Step) bool { return s.TLS }) || n < len(s.Steps) && s.Steps[n].TLS
	s.Steps = s.Steps[:n]
	if !inside {
		s.TLS, s.NoName, s.OtherKey = nil, nil, nil
	}
}
