package audit

import (
	"context"
	"net/netip"
	"slices"

	"herald/resolve"
)

// resolver knows the file's hosts, and asks the others of whom the file says.
func (f *File) resolver(otherwise resolve.Resolver) resolve.Resolver {
	if f.DNS.Server.IsValid() {
		otherwise = resolve.At(f.DNS.Server)
	}
	if otherwise == nil {
		otherwise = resolve.Network{}
	}
	names := map[string][]netip.Addr{}
	for short, h := range f.Hosts {
		if len(h.Addresses) > 0 {
			names[h.ask(short)] = h.Addresses
		}
	}
	return &resolve.Cached{Of: families{resolve.Map{Names: names, Else: otherwise}, f.Defaults.Families}}
}

// families leaves out addresses of families that are not asked for.
type families struct {
	of   resolve.Resolver
	want []string
}

func (f families) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	all, err := f.of.Addresses(ctx, host)
	if len(f.want) == 0 {
		return all, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
		return a.Is4() && !slices.Contains(f.want, "ip4") || a.Is6() && !slices.Contains(f.want, "ip6")
	}), err
}
