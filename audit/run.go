package audit

import (
	"context"
	"slices"
	"time"

	"herald/scan"
)

// Run gathers and judges; where the file says "eventually" it does so again for the
// services that do not hold, until all do or the time is over.
func Run(ctx context.Context, file *File, o scan.Options) (*Facts, []Finding, error) {
	end := time.Now().Add(file.Defaults.Eventually)
	facts, err := Gather(ctx, file, o)
	if err != nil {
		return nil, nil, err
	}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 4*time.Second) {
		findings := Judge(file, facts)
		again := file.unsettled(findings)
		left := time.Until(end)
		if len(again) == 0 || left <= 0 {
			return facts, findings, nil
		}
		select {
		case <-time.After(min(pause, left)):
		case <-ctx.Done():
			return facts, findings, context.Cause(ctx)
		}
		newer, err := gather(ctx, file, again, o)
		if err != nil {
			return facts, findings, err
		}
		facts.replace(newer)
	}
}

// unsettled are the services that do not hold.
func (f *File) unsettled(findings []Finding) []*Service {
	bad := map[string]bool{}
	for _, x := range findings {
		if x.State == Fail || x.State == Unknown {
			bad[x.Service] = true
		}
	}
	var again []*Service
	for _, s := range f.Services {
		if bad[s.ID] {
			again = append(again, s)
		}
	}
	return again
}

// replace takes newer facts for the places that they are about.
func (f *Facts) replace(newer *Facts) {
	about := map[string]bool{}
	for _, n := range newer.Services {
		about[n.At] = true
	}
	f.Services = slices.DeleteFunc(f.Services, func(old *Fact) bool { return about[old.At] })
	f.Services = append(f.Services, newer.Services...)
	f.Made, f.Sections = newer.Made, newer.Sections
}
