package fingerprint

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// finish resolves what the parameters say of each other, and turns them into claims.
func (p *recogPrint) finish() error {
	s := &p.signature
	resolved := map[string]string{}
	for name := range p.params {
		resolved[name] = p.resolve(name, 0)
	}
	p.params = resolved
	s.Certainty = recogCertainty(resolved)
	for _, field := range Fields {
		if text := recogClaim(field, resolved); text != "" {
			s.Claims = append(s.Claims, Template{Field: field, Text: text})
		}
	}
	for _, param := range []string{"os.cpe23", "hw.cpe23"} { // beside that of the service
		if text := cpe23(resolved[param]); text != "" {
			s.Claims = append(s.Claims, Template{Field: "cpe", Text: text})
		}
	}
	_, err := s.compile()
	return err
}

// resolve replaces "{service.version}" by the template of that parameter. In a CPE name, one that
// does not exist becomes "-", as recog does it.
func (p *recogPrint) resolve(name string, depth int) string {
	const deepest = 5 // recog's own go two deep; more is a circle
	text := p.params[name]
	return replaceOutside(text, func(ref string) string {
		inner := strings.Trim(ref, "{}")
		if _, known := p.params[inner]; known && depth < deepest {
			return p.resolve(inner, depth+1)
		}
		if strings.HasSuffix(name, ".cpe23") {
			return "-"
		}
		return ""
	})
}

var interpolation = regexp.MustCompile(`\{[a-z0-9_.]+\}`)

// replaceOutside replaces interpolations, but not the ${1} of our own templates.
func replaceOutside(text string, by func(string) string) string {
	var out strings.Builder
	last := 0
	for _, m := range interpolation.FindAllStringIndex(text, -1) {
		if m[0] > 0 && text[m[0]-1] == '$' {
			continue
		}
		out.WriteString(text[last:m[0]])
		out.WriteString(by(text[m[0]:m[1]]))
		last = m[1]
	}
	return out.String() + text[last:]
}

// recogCertainty is that of the product, else of the system or device that is told: recog's
// scale is 0 to 1 and 0.85 where nothing is said.
func recogCertainty(params map[string]string) int {
	for _, what := range []string{"service", "os", "hw"} {
		_, named := params[what+".product"]
		if v, err := strconv.ParseFloat(params[what+".certainty"], 64); err == nil && v > 0 && v <= 1 {
			return max(1, int(math.Round(100*v)))
		}
		if named {
			break
		}
	}
	return 85
}

// recogClaim is the template of one of our fields; "" where recog says nothing of it.
func recogClaim(field string, params map[string]string) string {
	join := func(sep string, names ...string) string {
		var parts []string
		for _, n := range names {
			if params[n] != "" {
				parts = append(parts, params[n])
			}
		}
		return strings.Join(parts, sep)
	}
	linux := params["os.product"] == "Linux" && params["os.vendor"] != "" && params["os.vendor"] != "Linux"
	switch field {
	case "product":
		return params["service.product"]
	case "vendor":
		return params["service.vendor"]
	case "version":
		return params["service.version"]
	case "cpe":
		return cpe23(params["service.cpe23"])
	case "os":
		return params["os.product"]
	case "os_version":
		if !linux { // there it is the version of the distribution
			return params["os.version"]
		}
	case "distribution":
		if linux {
			return params["os.vendor"]
		}
	case "distribution_version":
		if linux {
			return params["os.version"]
		}
	case "device":
		if params["hw.product"] != "" {
			return join(" ", "hw.vendor", "hw.product")
		}
	case "host":
		return params["host.name"]
	case "component":
		return join("/", "service.component.product", "service.component.version")
	}
	return ""
}

// cpe23 makes a formatted string of 2.3 of the URI form of 2.2, which recog's names mostly have:
// "cpe:/a:vendor:product:${1}". NISTIR 7695, 6.1 and 6.2.
func cpe23(template string) string {
	uri, isURI := strings.CutPrefix(template, "cpe:/")
	if !isURI {
		return template
	}
	fields := splitCPE(uri)
	for i, f := range fields {
		switch {
		case f == "":
			fields[i] = "*"
		case strings.Contains(f, "${"), f == "-":
		default:
			fields[i] = cpeValue(percentDecoded(f))
		}
	}
	for len(fields) < 11 {
		fields = append(fields, "*")
	}
	return "cpe:2.3:" + strings.Join(fields[:11], ":")
}

var percent = regexp.MustCompile(`%[0-9a-fA-F]{2}`)

func percentDecoded(s string) string {
	s = strings.ReplaceAll(s, `\`, "")
	return percent.ReplaceAllStringFunc(s, func(code string) string {
		n, err := strconv.ParseUint(code[1:], 16, 8)
		if err != nil {
			return code
		}
		return string([]byte{byte(n)})
	})
}
