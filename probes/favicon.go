package probes

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"

	"github.com/twmb/murmur3"
	"golang.org/x/net/html"

	"herald/wire"
)

// mostIcon bounds an icon, in bytes; a larger one is not hashed, since a part's hash
// names nothing.
const mostIcon = 96 << 10

// askFavicon asks for the site's icon on a connection that is still open, and notes its
// hashes.
func askFavicon(c *wire.Conversation, o *Observation, page *response) error {
	host := hostField(c)
	if err := request(c, "GET", iconPath(page.Body, host), host); err != nil {
		return err
	}
	icon, err := readResponse(c, "GET", mostIcon+1)
	if err != nil {
		return err
	}
	o.Confirmed = true
	if icon.Status == 200 && len(icon.Body) <= mostIcon && len(icon.Body) > 0 && !isPage(icon.Body) {
		sum := md5.Sum(icon.Body)
		o.Note("http.favicon.md5", []byte(hex.EncodeToString(sum[:])))
		o.Note("http.favicon.mmh3", strconv.AppendInt(nil, int64(faviconHash(icon.Body)), 10))
	}
	return nil
}

// faviconHash is the number by which search engines for services name an icon: MurmurHash3
// (x86, 32 bits, seed 0) of its Base64 form in lines of 76 characters, as a signed number.
func faviconHash(icon []byte) int32 {
	const line = 76 // RFC 2045, 6.8; every line has a line feed, the last too
	text := base64.StdEncoding.EncodeToString(icon)
	var b strings.Builder
	b.Grow(len(text) + len(text)/line + 1)
	for len(text) > 0 {
		n := min(line, len(text))
		b.WriteString(text[:n])
		b.WriteByte('\n')
		text = text[n:]
	}
	return int32(murmur3.StringSum32(b.String()))
}

// iconPath finds the page's icon (HTML, 4.6.7.8: <link rel="icon">) where it lies on the
// same host, else the usual place.
func iconPath(page []byte, host string) string {
	const usual = "/favicon.ico"
	tokens := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return usual
		case html.StartTagToken, html.SelfClosingTagToken:
			t := tokens.Token()
			if t.Data != "link" {
				continue
			}
			var rel, href string
			for _, a := range t.Attr {
				switch a.Key {
				case "rel":
					rel = a.Val
				case "href":
					href = a.Val
				}
			}
			if !containsWord([]byte(rel), "icon") {
				continue
			}
			if path := onHost(href, host); path != "" {
				return path
			}
		}
	}
}

// onHost resolves a reference of the page "/" to a request target on the same host, ""
// where it leads elsewhere.
func onHost(reference, host string) string {
	u, err := url.Parse(strings.TrimSpace(reference))
	if err != nil {
		return ""
	}
	u = (&url.URL{Scheme: "http", Host: host, Path: "/"}).ResolveReference(u)
	if u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Host, host) {
		return ""
	}
	return u.RequestURI()
}
