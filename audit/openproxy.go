package audit

import "fmt"

// openProxy judges by what the proxy was seen to do: whether it fetched the user's own
// URL, and failing that, whether it tried to do what a stranger asked.
func (j *judge) openProxy() {
	want := j.service.Expect.OpenProxy
	if want == nil {
		return
	}
	expected := "serves strangers"
	if !*want {
		expected = "refuses strangers"
	}
	open, seen := false, j.fact.said("proxy.relay")
	if seen != "" {
		open = statusOf(seen)/100 == 2
	} else {
		// Asked for a name that can not exist, a closed proxy refuses; an open one tries,
		// and then says what went wrong.
		for _, e := range j.fact.evidence() {
			status := statusOf(string(e.Text))
			switch e.Key {
			case "proxy.status", "proxy.connect":
				if tried := status/100 == 2 || status >= 500; tried || seen == "" {
					open, seen = open || tried, string(e.Text)
				}
			case "http.status": // the same question, before it was clear who answers
				if status == 502 || status == 504 {
					open, seen = true, string(e.Text)
				}
			}
		}
		if seen == "" {
			j.add(Unknown, "open-proxy", expected, "the proxy did not answer")
			return
		}
	}
	words := "refuses strangers"
	if open {
		words = "tries to serve strangers"
	}
	j.check(open == *want, "open-proxy", expected, words).heard(seen).fix("allow your own clients only")
}

func statusOf(line string) int {
	var version string
	var status int
	fmt.Sscan(line, &version, &status)
	return status
}
