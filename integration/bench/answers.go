//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// told is what a scanner says of one address.
type told struct{ addr, protocol, product, version, verdict string }

// readers read the output of the scanners that we know, by the name of the program: herald's
// and zgrab2's JSON lines, fingerprintx's --json, nmap's -oX.
var readers = map[string]func(io.Reader) ([]told, error){
	"herald": readHerald, "zgrab2": readZgrab2, "fingerprintx": readFingerprintx, "nmap": readNmap,
}

// shares are how many of the endpoints were told right: the protocol; and the protocol,
// product and version. Below 0 where the answers are not read.
type shares struct{ protocol, all float64 }

// rightAnswers compares what was told with the voices. Endpoints that nothing was told of,
// and what is told of one a second time, count as wrong.
func rightAnswers(path, scanner string, k kase) (shares, error) {
	read := readers[filepath.Base(scanner)]
	if read == nil {
		return shares{-1, -1}, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return shares{}, err
	}
	defer file.Close()
	all, err := read(file)
	if err != nil {
		return shares{}, err
	}
	protocol, whole := 0, 0
	seen := map[string]bool{}
	for _, t := range all {
		if seen[t.addr] {
			protocol, whole = protocol-1, whole-1
			continue
		}
		seen[t.addr] = true
		addr, err := netip.ParseAddr(t.addr)
		if err != nil {
			return shares{}, err
		}
		b := addr.As4()
		v := voiceAt(k.port, uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]))
		if !v.named(t) {
			continue
		}
		protocol++
		if v.known(t, scanner) {
			whole++
		}
	}
	return shares{float64(protocol) / float64(k.n), float64(whole) / float64(k.n)}, nil
}

// named says whether the protocol is right.
func (v *voice) named(t told) bool {
	switch v.protocol {
	case silent, closes:
		return t.verdict == "silent" || t.verdict == "" && t.protocol == ""
	case noise:
		return t.verdict == "unknown" || t.verdict == "" && t.protocol == ""
	}
	return t.protocol == v.protocol
}

// known says whether product and version are right too. Herald must use its own names; of
// another scanner's the first word must be ours ("Dovecot imapd", "InterNetNews (INN)"), and
// its version may go on.
func (v *voice) known(t told, scanner string) bool {
	if filepath.Base(scanner) == "herald" {
		return t.product == v.product && t.version == v.version
	}
	first, _, _ := strings.Cut(v.product, " ")
	return strings.Contains(strings.ToLower(t.product), strings.ToLower(first)) && strings.HasPrefix(t.version, v.version)
}

// eachLine decodes JSON lines.
func eachLine[T any](r io.Reader, take func(T)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return err
		}
		take(one)
	}
	return lines.Err()
}

func readHerald(r io.Reader) (all []told, err error) {
	type line struct{ Address, Protocol, Product, Version, Verdict string }
	err = eachLine(r, func(l line) { all = append(all, told{l.Address, l.Protocol, l.Product, l.Version, l.Verdict}) })
	return all, err
}

// readZgrab2: the module that was asked for is the protocol, where it says success. No product
// is told.
func readZgrab2(r io.Reader) (all []told, err error) {
	type line struct {
		IP   string
		Data map[string]struct{ Status, Protocol string }
	}
	err = eachLine(r, func(l line) {
		t := told{addr: l.IP}
		for name, d := range l.Data {
			if d.Status == "success" {
				t.protocol = name
			}
		}
		all = append(all, t)
	})
	return all, err
}

// readFingerprintx: the product is what it has in a CPE.
func readFingerprintx(r io.Reader) (all []told, err error) {
	type line struct {
		IP, Protocol, Version string
		Metadata              struct{ CPEs []string }
	}
	err = eachLine(r, func(l line) {
		all = append(all, told{addr: l.IP, protocol: l.Protocol, product: strings.Join(l.Metadata.CPEs, " "), version: l.Version})
	})
	return all, err
}

// readNmap: a service that comes from the port's number alone is nobody's answer.
func readNmap(r io.Reader) (all []told, err error) {
	type host struct {
		Address struct {
			Addr string `xml:"addr,attr"`
		} `xml:"address"`
		Service struct {
			Name    string `xml:"name,attr"`
			Product string `xml:"product,attr"`
			Version string `xml:"version,attr"`
			Method  string `xml:"method,attr"`
			Tunnel  string `xml:"tunnel,attr"`
		} `xml:"ports>port>service"`
	}
	d := xml.NewDecoder(r)
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "host" {
			continue
		}
		var h host
		if err := d.DecodeElement(&h, &start); err != nil {
			return all, err
		}
		t := told{addr: h.Address.Addr, product: h.Service.Product, version: h.Service.Version}
		if h.Service.Method == "probed" && h.Service.Name != "unknown" && h.Service.Name != "tcpwrapped" {
			t.protocol = h.Service.Name
		}
		all = append(all, t)
	}
}
